//go:build linux

package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// TestPrimarySignaturesKept: policies and records are laid over zones that their primary has signed, with our key among
// its keys. An RRset that is the primary's keeps the primary's signature, and all others have ours. unbound, delv and
// ldns-verify-zone accept all of it with the primary's key alone.
func TestPrimarySignaturesKept(t *testing.T) {
	lab.Need(t, "dnssec-signzone", "nsd", "knotd", "named", "unbound", "ldns-verify-zone", "delv")
	for _, primary := range []string{"nsd", "knotd", "named"} {
		t.Run(primary, func(t *testing.T) { keepOver(t, primary) })
	}
}

// keepOver tests one primary.
func keepOver(t *testing.T, primary string) {
	dir, keys, docs := t.TempDir(), filepath.Join(t.TempDir(), "keys"), t.TempDir()
	run := func(argv ...string) {
		t.Helper()
		c := exec.Command(argv[0], argv[1:]...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", argv, err, out)
		}
	}
	port := lab.LoopbackPort(t)
	var primaries []signingPrimary
	var origins []string
	for origin, denial := range map[string][]string{
		"nsec.test": nil, "nsec3.test": {"-H", "0", "-3", "-"}, "optout.test": {"-A", "-H", "5", "-3", "aabbccdd"},
	} {
		lab.LeewardOK(t, "", "key", "generate", origin, "--keys", keys)
		files, err := filepath.Glob(filepath.Join(keys, "K"+origin+".*.key"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		ours, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		lab.Write(t, filepath.Join(dir, origin+".zone"), "$ORIGIN "+origin+".\n"+passedZone+string(ours))
		run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", origin)
		run(append(append([]string{"dnssec-signzone", "-S", "-z", "-o", origin, "-f", origin + ".signed"}, denial...),
			origin+".zone")...)
		primaries = append(primaries, signingPrimary{origin + ".", fmt.Sprintf("127.0.0.1:%d", port)})
		origins = append(origins, origin+".")
	}
	startHolding(t, primary, dir, port, origins)
	text := passing(primaries, "dnssec: {enabled: true, keep: true}\n") +
		"---\n{kind: Region, name: here}\n---\n{kind: Pool, name: p, region: here}\n" +
		"---\n{kind: Endpoint, name: p/a, addresses: [198.51.100.1]}\n" +
		"---\n{kind: Endpoint, name: p/b, addresses: [198.51.100.2, \"2001:db8::2\"]}\n"
	for _, p := range primaries {
		lab.Until(t, 30*time.Second, p.origin+" is signed", func() error { return isSigned(p.at, p.origin) })
		origin := strings.TrimSuffix(p.origin, ".")
		for _, owner := range []string{"www.", "q.wild.", "own.", "al.", ""} {
			text += fmt.Sprintf("---\n{kind: Policy, name: %q, rules: [{failover: [p]}]}\n", owner+origin)
		}
		for record, data := range map[string]string{
			"deep/TXT": `'"ours"'`, "*.ours/A": "192.0.2.9", "two.deeper/TXT": `'"ours"'`,
			"one.deeper/DS": "1 13 2 " + strings.Repeat("ab", 32),
		} {
			text += fmt.Sprintf("---\n{kind: Record, name: %q, data: [%s]}\n", origin+"/"+record, data)
		}
	}
	lab.Write(t, filepath.Join(docs, "all.yaml"), text)
	s := lab.Serve(t, "keeps", "--files", docs, "--keys", keys)
	for _, p := range primaries {
		lab.Until(t, 20*time.Second, p.origin+" is here", func() error {
			reply := asked(t, s.DNS, "own."+p.origin, dns.TypeA)
			if len(reply.Answer) < 2 {
				return fmt.Errorf("own.%s is not answered with a signature:\n%v", p.origin, reply)
			}
			return nil
		})
	}
	v := &validator{keys: map[string]*dns.DNSKEY{}, also: keysOf(t, keys), now: time.Now()}
	for _, p := range primaries {
		for _, r := range asked(t, p.at, p.origin, dns.TypeDNSKEY).Answer {
			if k, is := r.(*dns.DNSKEY); is && k.KeyTag() != v.also[p.origin].KeyTag() {
				v.keys[p.origin] = k
			}
		}
	}
	ask := unbound(t, s.DNS, v, origins, origins)
	for _, p := range primaries {
		file := filepath.Join(t.TempDir(), "zone")
		lab.Write(t, file, transferred(t, s.DNS, p.origin))
		if out, err := exec.Command("ldns-verify-zone", file).CombinedOutput(); err != nil {
			t.Errorf("ldns-verify-zone of %s: %v\n%s", p.origin, err, out)
		}
		by := map[uint16]int{}
		var names []string
		for _, owner := range append(passedNames, "own", "q.ours", "*.ours", "ours", "q.q.wild") {
			name := strings.TrimPrefix(owner+"."+p.origin, "@.")
			names = append(names, name)
			for _, r := range asked(t, s.DNS, name, dns.TypeTXT).Answer {
				if sig, is := r.(*dns.RRSIG); is {
					by[sig.KeyTag]++
				}
			}
			if strings.HasPrefix(owner, "far") || owner == "@" || awayFrom(owner) {
				continue
			}
			for _, typ := range []uint16{dns.TypeA, dns.TypeTXT} {
				reply, err := ask(name, typ)
				if err != nil || !reply.AuthenticatedData {
					t.Errorf("unbound does not take %s %s (%v):\n%v", name, dns.TypeToString[typ], err, reply)
				}
			}
		}
		if by[v.keys[p.origin].KeyTag()] == 0 || by[v.also[p.origin].KeyTag()] == 0 {
			t.Errorf("%s: signatures of TXT by key: %v; want some of both", p.origin, by)
		}
		askSigned(t, s.DNS, v, names, passedTypes, nil)
		trustOnly(t, s.DNS, v.keys[p.origin], "own."+p.origin, "there.wild."+p.origin)
	}
}

// startHolding starts a primary with zones that were signed before: FILE.signed in a folder.
func startHolding(t *testing.T, kind, dir string, port int, origins []string) {
	t.Helper()
	own := filepath.Join(dir, kind)
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Fatal(err)
	}
	var head, zone string
	argv := []string{kind, "-c", filepath.Join(dir, kind+".conf")}
	switch kind {
	case "nsd":
		argv = append(argv, "-d")
		head = fmt.Sprintf("server:\n\tip-address: 127.0.0.1@%d\n\tusername: \"\"\n\tserver-count: 1\n"+
			"\tdatabase: \"\"\n\tzonesdir: %q\n\txfrdfile: %q\n\tzonelistfile: %q\n\tpidfile: %q\n\txfrdir: %q\n"+
			"\trrl-ratelimit: 0\nremote-control:\n\tcontrol-enable: no\n", port, dir, filepath.Join(own, "xfrd"),
			filepath.Join(own, "list"), filepath.Join(own, "pid"), own)
		zone = "zone:\n\tname: %[1]q\n\tzonefile: \"%[1]s.signed\"\n\tprovide-xfr: 127.0.0.1 NOKEY\n"
	case "knotd":
		head = fmt.Sprintf("server:\n  rundir: %q\n  listen: 127.0.0.1@%d\ndatabase:\n  storage: %[1]q\n"+
			"acl:\n  - id: all\n    address: 127.0.0.1\n    action: transfer\ntemplate:\n  - id: default\n"+
			"    storage: %[3]q\n    file: \"%%s.signed\"\n    zonefile-sync: -1\n    acl: all\nzone:\n", own, port,
			dir)
		zone = "  - domain: %s\n"
	case "named":
		argv = append(argv, "-g", "-n", "1")
		head = fmt.Sprintf("options { directory %q; pid-file none; session-keyfile none; lock-file none; "+
			"managed-keys-directory %[1]q; listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; "+
			"notify no; dnssec-validation no; empty-zones-enable no; check-names primary ignore; check-integrity no; "+
			"};\ncontrols {};\n", own, port)
		zone = "zone %[1]q { type primary; file \"" + dir + "/%[1]s.signed\"; allow-transfer { any; }; };\n"
	}
	for _, origin := range origins {
		head += fmt.Sprintf(zone, strings.TrimSuffix(origin, "."))
	}
	lab.Write(t, argv[2], head)
	lab.Start(t, nil, kind, argv...)
}

// awayFrom reports whether an owner is in a zone that nobody serves.
func awayFrom(owner string) bool {
	for _, cut := range []string{"cut", "secure", "one.deeper", "insecure.only.deep"} {
		if strings.HasSuffix(owner, cut) {
			return true
		}
	}
	return false
}

// trustOnly lets delv validate names with one key as the trust anchor.
func trustOnly(t *testing.T, at string, key *dns.DNSKEY, names ...string) {
	t.Helper()
	anchor := filepath.Join(t.TempDir(), "anchor")
	lab.Write(t, anchor, fmt.Sprintf("trust-anchors { %q static-key %d %d %d %q; };\n", key.Hdr.Name, key.Flags,
		key.Protocol, key.Algorithm, key.PublicKey))
	host, port, _ := strings.Cut(at, ":")
	for _, name := range names {
		out, err := exec.Command("timeout", "20", "delv", "@"+host, "-p", port, "-a", anchor, "+root="+key.Hdr.Name,
			name, "A").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "fully validated") {
			t.Errorf("delv %s: %v\n%s", name, err, out)
		}
	}
}
