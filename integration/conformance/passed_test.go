//go:build linux

package conformance

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// passedZone is the zone that primaries sign.
const passedZone = `$TTL 300
@ SOA ns hostmaster 1 3600 2 1209600 120
@ NS ns
@ MX 5 Mail
ns A 127.0.0.1
ns AAAA ::1
mail A 192.0.2.25
www A 192.0.2.1
www A 192.0.2.2
www AAAA 2001:db8::1
a.b.c.ent TXT "x"
*.wild A 192.0.2.3
*.wild TXT "any"
there.wild TXT "itself"
sub.there.wild A 192.0.2.4
x.*.starry A 192.0.2.5
*.cn CNAME x.wild
al CNAME www
al2 CNAME al
al3 CNAME q.wild
al4 CNAME nothing.at.all
far CNAME away.example.net.
d DNAME wild
cut NS ns.cut
cut NS ns
ns.cut A 192.0.2.54
secure NS ns.secure
secure DS 4711 13 2 abababababababababababababababababababababababababababababababab
ns.secure A 192.0.2.55
insecure.only.deep NS ns.elsewhere.test.
one.deeper NS ns.elsewhere.test.
two.deeper TXT "beside"
upper SRV 1 2 53 Www
upper NAPTR 1 2 "u" "sip" "!A!b!" R.Www
wide TYPE65280 \# 2 abcd
caa CAA 0 issue "ca.test"
odd\.label TXT "x"
`

// passedNames are names in the zone, empty non-terminals, and names that do not exist.
var passedNames = strings.Fields(`@ ns mail www a.b.c.ent b.c.ent c.ent ent q.ent q.c.ent wild *.wild q.wild q.q.wild
	there.wild q.there.wild sub.there.wild starry *.starry q.starry x.*.starry cn q.cn al al2 al3 al4 far d q.d q.q.d
	there.d cut ns.cut q.cut secure ns.secure q.secure deep only.deep insecure.only.deep q.insecure.only.deep q.only.deep deeper one.deeper
	two.deeper q.deeper upper wide caa odd\.label 0 zz q q.q.q *.q -`)

var passedTypes = []uint16{
	dns.TypeA, dns.TypeTXT, dns.TypeNS, dns.TypeDS, dns.TypeCAA, 65280, dns.TypeAAAA, dns.TypeMX, dns.TypeSOA,
	dns.TypeDNSKEY, dns.TypeCNAME, dns.TypeNSEC3PARAM, dns.TypeSRV, dns.TypeNAPTR,
}

// signingPrimary is a primary that signs, and its zone.
type signingPrimary struct{ origin, at string }

// startSigning starts NSD with two zones that BIND's tools have signed, with NSEC and with NSEC3 and opt-out, Knot with
// one that it signs itself with NSEC3, and BIND with one that it signs itself with NSEC.
func startSigning(t *testing.T, dir string) (all []signingPrimary) {
	t.Helper()
	origins := []string{"nsec.test", "optout.test", "hashed.test", "made.test"}
	for _, origin := range origins {
		lab.Write(t, filepath.Join(dir, origin+".zone"), "$ORIGIN "+origin+".\n"+passedZone)
	}
	run := func(argv ...string) {
		t.Helper()
		c := exec.Command(argv[0], argv[1:]...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", argv, err, out)
		}
	}
	for _, origin := range origins[:2] {
		run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", origin)
		argv := []string{"dnssec-signzone", "-S", "-z", "-o", origin, "-f", origin + ".signed"}
		if origin == "optout.test" {
			argv = append(argv, "-A", "-H", "5", "-3", "aabbccdd")
		}
		run(append(argv, origin+".zone")...)
	}
	ports := [3]int{lab.LoopbackPort(t), lab.LoopbackPort(t), lab.LoopbackPort(t)}
	for _, sub := range []string{"nsd", "knot", "bind"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	own := filepath.Join(dir, "nsd")
	conf := fmt.Sprintf("server:\n\tip-address: 127.0.0.1@%d\n\tusername: \"\"\n\tserver-count: 1\n\tdatabase: \"\"\n"+
		"\tzonesdir: %q\n\txfrdfile: %q\n\tzonelistfile: %q\n\tpidfile: %q\n\txfrdir: %q\n\trrl-ratelimit: 0\n"+
		"remote-control:\n\tcontrol-enable: no\n", ports[0], dir, filepath.Join(own, "xfrd"),
		filepath.Join(own, "list"), filepath.Join(own, "pid"), own)
	for _, origin := range origins[:2] {
		conf += fmt.Sprintf("zone:\n\tname: %q\n\tzonefile: %q\n\tprovide-xfr: 127.0.0.1 NOKEY\n", origin,
			origin+".signed")
		all = append(all, signingPrimary{origin + ".", fmt.Sprintf("127.0.0.1:%d", ports[0])})
	}
	lab.Write(t, filepath.Join(dir, "nsd.conf"), conf)
	lab.Start(t, nil, "nsd", "nsd", "-d", "-c", filepath.Join(dir, "nsd.conf"))
	own = filepath.Join(dir, "knot")
	lab.Write(t, filepath.Join(dir, "knot.conf"), fmt.Sprintf("server:\n  rundir: %q\n  listen: 127.0.0.1@%d\n"+
		"database:\n  storage: %q\nacl:\n  - id: all\n    address: 127.0.0.1\n    action: [transfer, update]\n"+
		"policy:\n  - id: p\n    single-type-signing: on\n    nsec3: on\n    nsec3-iterations: 3\n"+
		"    nsec3-salt-length: 4\nzone:\n  - domain: hashed.test\n    storage: %q\n    file: hashed.test.zone\n"+
		"    zonefile-sync: -1\n    zonefile-load: difference-no-serial\n    journal-content: all\n"+
		"    dnssec-signing: on\n    dnssec-policy: p\n    acl: all\n", own, ports[1], own, dir))
	lab.Start(t, nil, "knotd", "knotd", "-c", filepath.Join(dir, "knot.conf"))
	all = append(all, signingPrimary{"hashed.test.", fmt.Sprintf("127.0.0.1:%d", ports[1])})
	own = filepath.Join(dir, "bind")
	lab.Write(t, filepath.Join(dir, "named.conf"), fmt.Sprintf("options { directory %q; pid-file none; "+
		"session-keyfile none; lock-file none; managed-keys-directory %[1]q; listen-on port %[2]d { 127.0.0.1; }; "+
		"listen-on-v6 { none; }; recursion no; notify no; dnssec-validation no; minimal-responses yes; "+
		"empty-zones-enable no; check-names primary ignore; check-integrity no; };\ncontrols {};\n"+
		"zone \"made.test\" { type primary; file %[3]q; dnssec-policy default; inline-signing yes; "+
		"allow-transfer { any; }; };\n", own, ports[2], filepath.Join(dir, "made.test.zone")))
	lab.Start(t, nil, "named", "named", "-g", "-n", "1", "-c", filepath.Join(dir, "named.conf"))
	all = append(all, signingPrimary{"made.test.", fmt.Sprintf("127.0.0.1:%d", ports[2])})
	for _, p := range all {
		lab.Until(t, 30*time.Second, p.origin+" is signed", func() error { return isSigned(p.at, p.origin) })
	}
	return all
}

// passing returns the documents of zones that Leeward has from these primaries.
func passing(primaries []signingPrimary, more string) string {
	var b strings.Builder
	for _, p := range primaries {
		fmt.Fprintf(&b, "---\nkind: Zone\nname: %s\ntransfer: {primaries: [%q], allow: [127.0.0.0/8]}\n%s",
			strings.TrimSuffix(p.origin, "."), p.at, more)
	}
	return b.String()
}

// keysAt asks for the keys of the zones.
func keysAt(t *testing.T, primaries []signingPrimary) map[string]*dns.DNSKEY {
	t.Helper()
	keys := map[string]*dns.DNSKEY{}
	for _, p := range primaries {
		reply := asked(t, p.at, p.origin, dns.TypeDNSKEY)
		for _, x := range reply.Answer {
			if k, is := x.(*dns.DNSKEY); is {
				keys[p.origin] = k
			}
		}
	}
	return keys
}

// asked asks with the DO bit, over TCP if that is needed.
func asked(t *testing.T, at, name string, typ uint16) (reply *dns.Msg) {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, typ)
	m.RecursionDesired = false
	m.SetEdns0(4096, true)
	var err error
	for _, network := range []string{"udp", "udp", "tcp"} {
		reply, _, err = (&dns.Client{Net: network, Timeout: 5 * time.Second}).Exchange(m, at)
		if err == nil && !reply.Truncated {
			return reply
		}
	}
	t.Fatalf("%s %s at %s: %v", name, dns.TypeToString[typ], at, err)
	return nil
}

// sorted returns the lines of a zone, sorted.
func sorted(text string) string {
	lines := strings.Split(strings.TrimSpace(strings.ToLower(text)), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// entire returns the records of a whole transfer of a zone.
func entire(t *testing.T, at, origin string) []string {
	t.Helper()
	return strings.Split(strings.TrimSpace(transferred(t, at, origin)), "\n")
}

// followed asks for the differences from a secondary's version, and returns the secondary's new version. Getting the
// whole zone instead is a fault.
func followed(t *testing.T, at, origin string, have []string) []string {
	t.Helper()
	var soa *dns.SOA
	for _, line := range have {
		r, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		if s, is := r.(*dns.SOA); is {
			soa = s
		}
	}
	m := new(dns.Msg)
	m.SetIxfr(origin, soa.Serial, soa.Ns, soa.Mbox)
	ch, err := patient().In(m, at)
	if err != nil {
		t.Fatal(err)
	}
	var all []dns.RR
	for e := range ch {
		if e.Error != nil {
			t.Fatal(e.Error)
		}
		all = append(all, e.RR...)
	}
	if len(all) == 1 {
		return have
	}
	if len(all) < 3 || all[1].Header().Rrtype != dns.TypeSOA {
		t.Fatalf("no differences from %d, but all of %s: %d records", soa.Serial, origin, len(all))
	}
	there := map[string]bool{}
	for _, line := range have {
		there[line] = true
	}
	adds := true
	for _, r := range all[1 : len(all)-1] {
		if _, is := r.(*dns.SOA); is {
			adds = !adds
		}
		if there[r.String()] == adds {
			t.Fatalf("a difference has %s, added: %v", r, adds)
		}
		if there[r.String()] = true; !adds {
			delete(there, r.String())
		}
	}
	return slices.Sorted(maps.Keys(there))
}

// texts returns the records of a section, sorted.
func texts(section []dns.RR) (all []string) {
	for _, r := range section {
		if r.Header().Rrtype != dns.TypeOPT {
			all = append(all, strings.ToLower(strings.ReplaceAll(r.String(), "\t", " ")))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestPrimariesThatSign is about zones that their primaries sign: NSD, Knot and BIND, with NSEC, NSEC3 and opt-out.
func TestPrimariesThatSign(t *testing.T) {
	lab.Need(t, "dnssec-signzone", "named", "nsd", "knotd", "unbound", "ldns-verify-zone", "nsupdate")
	primaries := startSigning(t, t.TempDir())
	// Unbound cannot read a file below a folder with spaces in its name.
	t.Run("anew", func(t *testing.T) { signAnew(t, primaries[:2]) })
	t.Run("passed", func(t *testing.T) { pass(t, primaries) })
}

// pass: with nothing laid over them, the zones are answered as the primaries answer them.
func pass(t *testing.T, primaries []signingPrimary) {
	docs := t.TempDir()
	lab.Write(t, filepath.Join(docs, "all.yaml"), passing(primaries, ""))
	s := lab.Serve(t, "passes", "--files", docs)
	for _, p := range primaries {
		lab.Until(t, 20*time.Second, p.origin+" is here", func() error { return isSigned(s.DNS, p.origin) })
	}
	v := &validator{keys: keysAt(t, primaries), now: time.Now()}
	var origins []string
	for _, p := range primaries {
		origins = append(origins, p.origin)
		file := filepath.Join(t.TempDir(), "zone")
		text := transferred(t, s.DNS, p.origin)
		if got, want := sorted(text), sorted(transferred(t, p.at, p.origin)); got != want {
			t.Errorf("%s is handed on as\n%s\nand the primary has\n%s", p.origin, got, want)
		}
		lab.Write(t, file, text)
		if out, err := exec.Command("ldns-verify-zone", file).CombinedOutput(); err != nil {
			t.Errorf("ldns-verify-zone of %s: %v\n%s", p.origin, err, out)
		}
	}
	ask := unbound(t, s.DNS, v, origins, origins)
	for _, p := range primaries {
		for _, owner := range passedNames {
			name := strings.TrimPrefix(owner+"."+p.origin, "@.")
			types := passedTypes
			if owner != "@" && owner != "upper" { // these have the most
				types = types[:6]
			}
			for _, typ := range types {
				comparePassed(t, v, p, s.DNS, name, typ)
			}
			if strings.HasPrefix(owner, "far") || slices.ContainsFunc([]string{
				"cut", "secure", "one.deeper",
				"insecure.only.deep",
			}, func(cut string) bool { return strings.HasSuffix(owner, cut) }) {
				continue // they lead to names that nobody serves
			}
			for _, typ := range []uint16{dns.TypeA, dns.TypeTXT, dns.TypeDS} {
				reply, err := ask(name, typ)
				if err != nil {
					t.Fatalf("unbound: %s %s: %v", name, dns.TypeToString[typ], err)
				}
				out := p.origin == "optout.test." // opt-out proves little
				if owner != "@" && (reply.Rcode == dns.RcodeServerFailure || !reply.AuthenticatedData && !out) {
					t.Errorf("unbound does not take %s %s:\n%v", name, dns.TypeToString[typ], reply)
				}
			}
		}
	}
	if !t.Failed() {
		followPassed(t, s, primaries[2])
	}
}

// comparePassed asks Leeward and the primary. Both have the same RCODE and the same answer, and what Leeward proves is
// valid. The records of the proof may differ: NSD and BIND sometimes send more than is needed, and BIND sends an SOA
// with TTL 0 if an SOA was asked for that does not exist.
func comparePassed(t *testing.T, v *validator, p signingPrimary, at, name string, typ uint16) {
	t.Helper()
	want, got := asked(t, p.at, name, typ), asked(t, at, name, typ)
	if a, b := texts(got.Answer), texts(want.Answer); got.Rcode != want.Rcode || !slices.Equal(a, b) ||
		got.Authoritative != want.Authoritative {
		t.Errorf("%s %s is\n%v\nand the primary says\n%v", name, dns.TypeToString[typ], got, want)
	}
	if err := v.check(got.Question[0], got); err != nil {
		t.Errorf("%s %s: %v\n%v", name, dns.TypeToString[typ], err, got)
	}
}

// followPassed changes a zone at its primary, which signs the change. Leeward transfers the differences and passes them
// on, and equals the primary after each.
func followPassed(t *testing.T, s *lab.Server, p signingPrimary) {
	t.Helper()
	lab.Need(t, "nsupdate")
	_, port, _ := net.SplitHostPort(p.at)
	have := entire(t, s.DNS, p.origin)
	for i, change := range []string{
		"update add new.$ 60 A 192.0.2.1", "update delete wild.$\nupdate delete *.wild.$", "update add www.$ 60 TXT x",
		"update add sub.$ 60 NS ns.elsewhere.test.", "update delete a.b.c.ent.$ TXT\nupdate delete new.$ A",
	} {
		if o := lab.Command(t, nil, fmt.Sprintf("server 127.0.0.1 %s\nzone %s\n%s\nsend\n", port, p.origin,
			strings.ReplaceAll(change, "$", p.origin)), "nsupdate"); o.Code != 0 {
			t.Fatal(o)
		}
		serial := asked(t, p.at, p.origin, dns.TypeSOA).Answer[0].(*dns.SOA).Serial
		lab.Until(t, 20*time.Second, "the change is here", func() error {
			m := new(dns.Msg).SetNotify(p.origin)
			if _, _, err := (&dns.Client{Timeout: time.Second}).Exchange(m, s.DNS); err != nil {
				return err
			}
			if now := asked(t, s.DNS, p.origin, dns.TypeSOA).Answer[0].(*dns.SOA).Serial; now != serial {
				return fmt.Errorf("change %d: serial %d, and %d at the primary", i, now, serial)
			}
			return nil
		})
		want := sorted(transferred(t, p.at, p.origin))
		have = followed(t, s.DNS, p.origin, have)
		if got := sorted(strings.Join(have, "\n")); got != want {
			t.Errorf("after change %d differences lead to\n%s\nand the primary has\n%s", i, got, want)
		}
		if got := sorted(transferred(t, s.DNS, p.origin)); got != want {
			t.Errorf("after change %d all that is handed on is\n%s\nand the primary has\n%s", i, got, want)
		}
	}
	if n := s.Metric(t, "leeward_transfer_received_total", `result="ok",type="ixfr"`); n < 5 {
		t.Errorf("%v differences have come", n)
	}
}

// signAnew: if the zones are signed here, with policies and records laid over them, they are entirely ours. Nothing of
// the primaries' signing is left, and everything that is answered and transferred validates.
func signAnew(t *testing.T, primaries []signingPrimary) {
	docs, keys := t.TempDir(), filepath.Join(t.TempDir(), "keys")
	text := passing(primaries[:1], "dnssec: {enabled: true}\n") +
		passing(primaries[1:], "dnssec: {enabled: true, nsec3: true}\n") +
		"---\n{kind: Region, name: here}\n---\n{kind: Pool, name: p, region: here}\n" +
		"---\n{kind: Endpoint, name: p/a, addresses: [198.51.100.1]}\n" +
		"---\n{kind: Endpoint, name: p/b, addresses: [198.51.100.2, \"2001:db8::2\"]}\n"
	for _, p := range primaries {
		origin := strings.TrimSuffix(p.origin, ".")
		for _, owner := range []string{"www.", "q.wild.", "own.", "al.", ""} {
			text += fmt.Sprintf("---\n{kind: Policy, name: %q, rules: [{failover: [p]}]}\n", owner+origin)
		}
		for record, data := range map[string]string{
			"deep/TXT": `'"ours"'`, "*.ours/A": "192.0.2.9", "two.deeper/TXT": `'"ours"'`, "one.deeper/DS": "1 13 2 " +
				strings.Repeat("ab", 32),
		} {
			text += fmt.Sprintf("---\n{kind: Record, name: %q, data: [%s]}\n", origin+"/"+record, data)
		}
	}
	lab.Write(t, filepath.Join(docs, "all.yaml"), text)
	s := lab.Serve(t, "anew", "--files", docs, "--keys", keys)
	v := &validator{now: time.Now()}
	for _, p := range primaries {
		lab.Until(t, 20*time.Second, p.origin+" is here", func() error { return isSigned(s.DNS, p.origin) })
	}
	v.keys = keysOf(t, keys)
	origins := []string{primaries[0].origin, primaries[1].origin}
	ask := unbound(t, s.DNS, v, origins, origins)
	for _, origin := range origins {
		file := filepath.Join(t.TempDir(), "zone")
		lab.Write(t, file, transferred(t, s.DNS, origin))
		if out, err := exec.Command("ldns-verify-zone", file).CombinedOutput(); err != nil {
			t.Errorf("ldns-verify-zone of %s: %v\n%s", origin, err, out)
		}
		var names []string
		for _, owner := range append(passedNames, "own", "q.ours", "*.ours", "ours", "q.q.wild") {
			name := strings.TrimPrefix(owner+"."+origin, "@.")
			names = append(names, name)
			if strings.HasPrefix(owner, "far") || owner == "@" || slices.ContainsFunc([]string{
				"cut", "secure", "one.deeper", "insecure.only.deep",
			}, func(cut string) bool { return strings.HasSuffix(owner, cut) }) {
				continue // they lead to names that nobody serves
			}
			reply, err := ask(name, dns.TypeA)
			if err != nil || !reply.AuthenticatedData {
				t.Errorf("unbound does not take %s (%v):\n%v", name, err, reply)
			}
		}
		askSigned(t, s.DNS, v, names, passedTypes, nil)
	}
}
