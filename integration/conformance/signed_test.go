//go:build linux

package conformance

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// signedZones is two signed zones with every case of denial, a child of one of them on the same server, and an unsigned
// zone. %s are settings of signing.
const signedZones = `kind: Zone
name: example.test
nameservers: [ns1.example.test, ns2.other.test]
dnssec: %[1]s
---
kind: Zone
name: other.test
nameservers: [ns1.example.test]
dnssec: %[2]s
---
kind: Zone
name: child.example.test
nameservers: [ns1.example.test]
dnssec: %[2]s
---
kind: Zone
name: plain.test
nameservers: [ns1.example.test]
---
kind: Region
name: here
---
kind: Pool
name: dual
region: here
---
kind: Endpoint
name: dual/a
addresses: [192.0.2.1, "2001:db8::1"]
---
kind: Endpoint
name: dual/b
addresses: [192.0.2.2]
---
kind: Endpoint
name: dual/c
addresses: [192.0.2.3, "2001:db8::3"]
weight: 7
---
kind: Pool
name: four
region: here
---
kind: Endpoint
name: four/a
addresses: [198.51.100.1]
---
kind: Pool
name: named
region: here
---
kind: Endpoint
name: named/a
hostname: lb.cloud.test
---
kind: Policy
name: example.test
rules: [{failover: [dual]}]
---
kind: Policy
name: www.example.test
answers: 2
rules: [{failover: [dual, four]}]
---
kind: Policy
name: all.example.test
pick: all
rules: [{failover: [dual]}]
---
kind: Policy
name: four.example.test
rules: [{failover: [four]}]
---
kind: Policy
name: alias.example.test
rules: [{failover: [named]}]
---
kind: Policy
name: flat.example.test
rules: [{failover: [named]}]
---
kind: Policy
name: child.example.test
rules: [{failover: [named]}]
---
kind: Policy
name: "*.pol.example.test"
rules: [{failover: [dual]}]
---
kind: Policy
name: denied.example.test
rules:
  - when: {prefixes: [203.0.113.0/24]}
    failover: [dual]
  - {answer: nxdomain}
---
kind: Policy
name: half.example.test
rules:
  - when: {prefixes: [203.0.113.0/24]}
    failover: [dual]
  - {failover: [four]}
---
kind: Policy
name: deep.down.other.test
rules: [{failover: [dual]}]
`

// signedRecords are the records that concern neither policies nor signing.
const signedRecords = `ns1 A 192.0.2.53
ns1 AAAA 2001:db8::53
mail MX 10 mx, 20 mx2.other.test.
mx A 192.0.2.25
mixed TXT "Case"
srv SRV 1 2 53 NS1.Example.TEST.
a.b.c.ent A 192.0.2.9
*.wild TXT "any"
*.wild A 192.0.2.7
there.wild TXT "itself"
sub.there.wild A 192.0.2.8
x.*.starry A 192.0.2.6
*.cn CNAME x.wild
c1 CNAME c2
c2 CNAME www
c3 CNAME nothing.at.all
c4 CNAME deep.down.other.test.
c5 CNAME no.such.other.test.
c6 CNAME www.plain.test.
c7 CNAME away.example.net.
d DNAME wild
dd DNAME other.test.
hidden.d TXT "below"
cut NS ns.cut, ns1
ns.cut A 192.0.2.54
deeper.cut TXT "hidden"
secure NS ns.elsewhere.test.
secure DS 4711 13 2 abababababababababababababababababababababababababababababababab
child NS ns1
wide TYPE65280 \# 2 abcd
wide TYPE1234 \# 0
flat MX 5 mx
every NAPTR 1 2 "u" "sip" "!A!b!" R.Example.TEST.
every PTR WWW
every RP Who.Example.TEST. TXT
every AFSDB 1 Db
every KX 1 Kx
every CAA 0 issue "CA.test"
every HTTPS 1 Svc alpn=h2 ipv4hint=192.0.2.1
every SVCB 0 Svc
every TLSA 3 1 1 aabb
every SSHFP 1 1 aabbccddeeff00112233445566778899aabbccdd
every LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
every URI 10 1 "https://Example.TEST/"
every HINFO "CPU" "Os"
every CERT 1 2 3 qqrM
every DHCID qqrM
every EUI48 00-11-22-33-44-55
every OPENPGPKEY qqrM
every SMIMEA 3 0 0 aabb
every CSYNC 1 3 A NS
every SPF "v=spf1"
odd\.label TXT "x"
\000\001.odd TXT "y"
`

// writeSigned writes the documents of a state: which endpoints an override has down.
func writeSigned(t *testing.T, dir string, settings [2]string, down []string, more string) {
	t.Helper()
	text := fmt.Sprintf(signedZones, settings[0], settings[1]) + more
	byKey := map[string][]string{}
	var order []string
	for line := range strings.Lines(signedRecords + "www A 192.0.2.99 @plain\n@ MX 5 mx @other\n" +
		"ns2 A 192.0.2.55 @other\nwww A 192.0.2.77 @child\n*.w TXT \"z\" @child\n") {
		line, origin, other := strings.Cut(strings.TrimSpace(line), " @")
		zone := "example.test"
		if other {
			zone = origin + ".test"
			if origin == "child" {
				zone = "child.example.test"
			}
		}
		fields := strings.SplitN(line, " ", 3)
		key := zone + "/" + fields[0] + "/" + fields[1]
		if byKey[key] == nil {
			order = append(order, key)
		}
		if fields[1] == "MX" || fields[1] == "NS" {
			byKey[key] = append(byKey[key], strings.Split(fields[2], ", ")...)
			continue
		}
		byKey[key] = append(byKey[key], fields[2])
	}
	var b strings.Builder
	b.WriteString(text)
	for _, key := range order {
		fmt.Fprintf(&b, "---\nkind: Record\nname: %q\ndata: [", key)
		for i, d := range byKey[key] {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%q", d)
		}
		b.WriteString("]\n")
	}
	for _, d := range down {
		fmt.Fprintf(&b, "---\nkind: Override\nname: %s\nstate: down\n", d)
	}
	lab.Write(t, filepath.Join(dir, "all.yaml"), b.String())
}

// keysOf reads the public keys that a server has made.
func keysOf(t *testing.T, dir string) map[string]*dns.DNSKEY {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "K*.key"))
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]*dns.DNSKEY{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		r, err := dns.NewRR(string(b))
		if err != nil {
			t.Fatal(err)
		}
		keys[r.Header().Name] = r.(*dns.DNSKEY)
	}
	return keys
}

var signedTypes = []uint16{
	dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeNS, dns.TypeSOA, dns.TypeDS, dns.TypeDNSKEY,
	dns.TypeCNAME, dns.TypeCDS, dns.TypeCDNSKEY, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM,
	dns.TypeRRSIG, dns.TypeANY,
	dns.TypeSRV, dns.TypeDNAME, 65280, 1234, dns.TypeHTTPS, dns.TypeNAPTR, dns.TypeRP,
}

// everyType is the types of the name every, except those that are asked for everywhere.
var everyType = []uint16{
	dns.TypePTR, dns.TypeAFSDB, dns.TypeKX, dns.TypeCAA, dns.TypeSVCB, dns.TypeTLSA, dns.TypeSSHFP, dns.TypeLOC,
	dns.TypeURI, dns.TypeHINFO, dns.TypeCERT, dns.TypeDHCID, dns.TypeEUI48, dns.TypeOPENPGPKEY, dns.TypeSMIMEA,
	dns.TypeCSYNC, dns.TypeSPF,
}

// resolver starts a resolver that knows an address of each family for every name, and returns its address.
func resolver(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		reply := new(dns.Msg).SetReply(m)
		reply.RecursionAvailable = true
		h := dns.RR_Header{Name: m.Question[0].Name, Rrtype: m.Question[0].Qtype, Class: dns.ClassINET, Ttl: 60}
		switch h.Rrtype {
		case dns.TypeA:
			reply.Answer = []dns.RR{&dns.A{Hdr: h, A: net.IPv4(203, 0, 113, 77)}}
		case dns.TypeAAAA:
			reply.Answer = []dns.RR{&dns.AAAA{Hdr: h, AAAA: net.ParseIP("2001:db8::77")}}
		}
		_ = w.WriteMsg(reply)
	})}
	go func() { _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = s.Shutdown() })
	return conn.LocalAddr().String()
}

// signedNames lists every owner, empty non-terminals, and names that do not exist.
func signedNames(r *rand.Rand) (names []string) {
	owners := []string{
		"", "www", "all", "four", "alias", "flat", "denied", "half", "pol", "x.pol", "*.pol", "a.b.pol",
		"b.c.ent", "c.ent",
		"ent",
		"y.c.ent", "wild", "q.wild", "q.r.wild", "q.there.wild", "starry", "*.starry", "q.starry", "x.*.starry",
		"q.cn", "q.d", "q.dd", "down.dd", "deep.down.dd", "q.cut", "q.secure", "odd", "zz", "0", "-", "*", "*.q",
	}
	for line := range strings.Lines(signedRecords) {
		owners = append(owners, strings.Fields(line)[0])
	}
	for range 12 {
		o := owners[r.IntN(len(owners))]
		b := []byte{byte('a' + r.IntN(26)), byte('a' + r.IntN(26))}
		owners = append(owners, strings.TrimPrefix(string(b[:1+r.IntN(2)])+"."+o, "."))
	}
	seen := map[string]bool{}
	for _, o := range owners {
		name := strings.TrimPrefix(strings.TrimSuffix(o, ".")+".example.test.", ".")
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return append(names, "other.test.", "down.other.test.", "deep.down.other.test.", "q.other.test.",
		"child.example.test.", "www.child.example.test.", "q.child.example.test.", "q.w.child.example.test.",
		"w.child.example.test.", "_dsboot.child.example.test._signal.ns1.example.test.", "_signal.ns1.example.test.",
		"q._signal.ns1.example.test.", "_dsboot.example.test._signal.ns2.other.test.")
}

// TestSigned asks for every name and type of signed zones in several states of health, and judges each answer with its
// own validator. Both zones are played with NSEC and with NSEC3.
func TestSigned(t *testing.T) {
	const nsec, nsec3 = "{enabled: true}", "{enabled: true, nsec3: true}"
	// Unbound cannot read a file below a folder with braces in its name.
	t.Run("NSEC", func(t *testing.T) { playSigned(t, [2]string{nsec, nsec3}) })
	t.Run("NSEC3", func(t *testing.T) { playSigned(t, [2]string{nsec3, nsec}) })
}

func playSigned(t *testing.T, settings [2]string) {
	dir, keys := t.TempDir(), filepath.Join(t.TempDir(), "keys")
	writeSigned(t, dir, settings, nil, "")
	s := lab.Serve(t, "signed", "--files", dir, "--keys", keys, "--resolver", resolver(t))
	lab.Until(t, 10*time.Second, "three zones have keys", func() error {
		if n := len(keysOf(t, keys)); n != 3 {
			return fmt.Errorf("%d keys", n)
		}
		return nil
	})
	v := &validator{keys: keysOf(t, keys), now: time.Now()}
	child := v.keys["child.example.test."].ToDS(dns.SHA256)
	more := fmt.Sprintf("---\nkind: Record\nname: example.test/child/DS\ndata: [\"%d %d %d %s\"]\n", child.KeyTag,
		child.Algorithm, child.DigestType, child.Digest)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for i, down := range [][]string{
		nil,
		{"endpoint/dual/a", "endpoint/dual/b"},
		{"endpoint/dual/c"},
		{"endpoint/dual/a", "endpoint/dual/b", "endpoint/dual/c"},
		{"endpoint/dual/b", "endpoint/dual/c", "endpoint/four/a"},
	} {
		mark := fmt.Sprintf("---\nkind: Record\nname: example.test/mark/TXT\ndata: ['\"%d\"']\n", i)
		writeSigned(t, dir, settings, down, more+mark)
		lab.Expect(t, 20*time.Second, s.DNS, lab.Question{Name: "mark.example.test", Qtype: dns.TypeTXT},
			fmt.Sprintf(`"%d"`, i))
		askSigned(t, s.DNS, v, signedNames(r), signedTypes, down)
		if t.Failed() {
			return
		}
	}
	askSigned(t, s.DNS, v, []string{"every.example.test."}, everyType, nil)
	hold(t, s, v, settings)
}

// TestSignedByAnEdge is TestSigned for a server without keys. A signer signs what is in etcd and then goes, and health
// changes afterwards.
func TestSignedByAnEdge(t *testing.T) {
	settings := [2]string{"{enabled: true}", "{enabled: true, nsec3: true}"}
	m, dir, keys, names := lab.StartEtcd(t), t.TempDir(), t.TempDir(), resolver(t)
	for _, origin := range []string{"example.test", "other.test", "child.example.test"} {
		lab.LeewardOK(t, "", "key", "generate", origin, "--keys", keys)
	}
	v := &validator{keys: keysOf(t, keys), now: time.Now()}
	child := v.keys["child.example.test."].ToDS(dns.SHA256)
	more := fmt.Sprintf("---\nkind: Record\nname: example.test/child/DS\ndata: [\"%d %d %d %s\"]\n", child.KeyTag,
		child.Algorithm, child.DigestType, child.Digest)
	apply := func(i int, down []string) {
		t.Helper()
		mark := fmt.Sprintf("---\nkind: Record\nname: plain.test/mark/TXT\ndata: ['\"%d\"']\n", i)
		writeSigned(t, dir, settings, down, more+mark)
		lab.LeewardOK(t, "", "apply", "-f", dir, "--prune", "--etcd", m.Client)
	}
	apply(0, nil)
	signer := lab.Start(t, nil, "signer", lab.Binary, "sign", "--etcd", m.Client, "--keys", keys, "--id", "signer",
		"--resolver", names)
	s := lab.Serve(t, "edge", "--etcd", m.Client, "--signatures", "etcd", "--resolver", names)
	r := rand.New(rand.NewPCG(1, 2))
	for i, down := range [][]string{
		nil,
		{"endpoint/dual/a", "endpoint/dual/b"},
		{"endpoint/dual/a", "endpoint/dual/b", "endpoint/dual/c"},
	} {
		if i > 0 {
			apply(i, down)
		}
		lab.Expect(t, 20*time.Second, s.DNS, lab.Question{Name: "mark.plain.test", Qtype: dns.TypeTXT},
			fmt.Sprintf(`"%d"`, i))
		if i == 0 {
			lab.Until(t, 20*time.Second, "the zones are served", func() error {
				for origin := range v.keys {
					if err := isSigned(s.DNS, origin); err != nil {
						return err
					}
				}
				return nil
			})
		}
		askSigned(t, s.DNS, v, signedNames(r), signedTypes, down)
		if t.Failed() {
			return
		}
		signer.Kill()
	}
	apply(3, nil)
	lab.Expect(t, 20*time.Second, s.DNS, lab.Question{Name: "mark.plain.test", Qtype: dns.TypeTXT}, `"3"`)
	askSigned(t, s.DNS, v, []string{"every.example.test."}, everyType, nil)
	hold(t, s, v, settings)
}

// askSigned asks for everything, and the validator judges each answer.
func askSigned(t *testing.T, server string, v *validator, names []string, types []uint16, down []string) {
	t.Helper()
	c, err := (&dns.Client{Timeout: 5 * time.Second}).Dial(server)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.UDPSize = 4096
	faults := 0
	for _, name := range names {
		for _, typ := range types {
			m := new(dns.Msg)
			m.SetQuestion(name, typ)
			m.RecursionDesired = false
			m.SetEdns0(4096, true)
			reply, err := lab.Exchange(c.Conn, m, 5*time.Second)
			for tries := 1; err != nil && tries < 3; tries++ { // a busy machine loses packets
				reply, err = lab.Exchange(c.Conn, m, 5*time.Second)
			}
			if err != nil {
				t.Fatalf("%s %s: %v", name, dns.TypeToString[typ], err)
			}
			if reply.Truncated {
				continue // the test of transports judges it over TCP
			}
			if err := v.check(m.Question[0], reply); err != nil {
				t.Errorf("with %v down: %s %s: %v\n%v", down, name, dns.TypeToString[typ], err, reply)
				if faults++; faults == 5 {
					t.Fatal("and so on")
				}
			}
		}
	}
}

// hold lets Unbound judge the same, with the keys' DS as its trust anchors.
func hold(t *testing.T, s *lab.Server, v *validator, settings [2]string) {
	ask := unbound(t, s.DNS, v, []string{"example.test.", "other.test."},
		[]string{"example.test", "other.test", "plain.test", "child.example.test"})
	names := signedNames(rand.New(rand.NewPCG(1, 2)))
	for _, name := range names {
		if strings.HasSuffix(name, "cut.example.test.") || strings.HasSuffix(name, "secure.example.test.") {
			continue // nobody serves it
		}
		types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeDS, dns.TypeMX, dns.TypeDNSKEY}
		if name == "every.example.test." {
			types = append(everyType, dns.TypeNAPTR, dns.TypeRP, dns.TypeHTTPS)
		}
		for _, typ := range types {
			if strings.HasPrefix(name, "c7.") || strings.HasPrefix(name, "alias.") ||
				typ == dns.TypeDS && (name == "example.test." || name == "other.test.") {
				continue // they lead out of the tree
			}
			reply, err := ask(name, typ)
			if err != nil {
				t.Fatalf("unbound: %s %s: %v", name, dns.TypeToString[typ], err)
			}
			insecure := strings.HasSuffix(name, "c6.example.test.")
			if reply.Rcode == dns.RcodeServerFailure || !reply.AuthenticatedData && !insecure {
				t.Errorf("%s: unbound does not take %s %s:\n%v", settings[0], name, dns.TypeToString[typ], reply)
				return
			}
		}
	}
}

// unbound starts Unbound, which asks one server for all zones, with the DS of some keys as its trust anchors.
func unbound(t *testing.T, at string, v *validator, secure, origins []string) (
	ask func(name string, typ uint16) (*dns.Msg, error),
) {
	t.Helper()
	lab.Need(t, "unbound")
	dir, port := t.TempDir(), lab.LoopbackPort(t)
	var anchors, stubs strings.Builder
	for _, origin := range secure {
		ds := strings.ReplaceAll(v.keys[origin].ToDS(dns.SHA256).String(), "\t", " ")
		fmt.Fprintf(&anchors, "  trust-anchor: \"%s\"\n", ds)
	}
	for _, origin := range origins {
		host, p, _ := strings.Cut(at, ":")
		fmt.Fprintf(&stubs, "stub-zone:\n  name: %q\n  stub-addr: %s@%s\n", origin, host, p)
	}
	lab.Write(t, filepath.Join(dir, "unbound.conf"), fmt.Sprintf(`server:
  interface: 127.0.0.1@%d
  do-daemonize: no
  use-syslog: no
  logfile: ""
  username: ""
  chroot: ""
  pidfile: ""
  directory: %q
  num-threads: 1
  do-ip6: no
  do-not-query-localhost: no
  local-zone: "test." nodefault
  module-config: "validator iterator"
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
  aggressive-nsec: no
  val-log-level: 2
%s%sremote-control:
  control-enable: no
`, port, dir, anchors.String(), stubs.String()))
	lab.Start(t, nil, "unbound", "unbound", "-d", "-c", filepath.Join(dir, "unbound.conf"))
	own := fmt.Sprintf("127.0.0.1:%d", port)
	ask = func(name string, typ uint16) (*dns.Msg, error) {
		m := new(dns.Msg)
		m.SetQuestion(name, typ)
		m.SetEdns0(4096, true)
		reply, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(m, own)
		if err == nil && reply.Truncated {
			reply, _, err = (&dns.Client{Timeout: 5 * time.Second, Net: "tcp"}).Exchange(m, own)
		}
		return reply, err
	}
	lab.Until(t, 20*time.Second, "unbound answers", func() error {
		_, err := ask(secure[0], dns.TypeSOA)
		return err
	})
	return ask
}
