//go:build linux

package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Tree is a true delegation from a root down to three Leeward servers in three networks, and a host from which judges
// look at it. NSD serves the root, the top-level domain and all else that is not ours.
//
//	.                   root     192.0.2.1
//	├─ test.            tld      192.0.2.2      also arpa. (reverse names), asnlookup.zonemaster.net.
//	│  ├─ example.test. ns1, ns2 below it, ns3.hoster.test: Leeward
//	│  │  ├─ kid        Leeward again: parent and child on one server
//	│  │  └─ child      nsd      192.0.2.3
//	│  └─ hoster.test.  ns3 below it, ns1.example.test: Leeward
//	└─ arpa., net.
//
// Nobody here has a way out of the yard, so the tree has everything that judges would ask the Internet for. All
// addresses are reserved for documentation (RFC 5737, RFC 3849).
type Tree struct {
	Yard    *Yard
	Judge   *Host             // who asks
	Hints   string            // file
	Anchor  string            // file with the DS of the root, if the tree is signed
	Keys    map[string]string // TSIG keys' files, by name
	Servers []*Server
	Etcd    *Member
}

// TreeServers are the Leeward servers, one network each.
var TreeServers = []struct{ name, A, aaaa string }{
	{"ns1.example.test", "192.0.2.53", "2001:db8:1::53"},
	{"ns2.example.test", "198.51.100.53", "2001:db8:2::53"},
	{"ns3.hoster.test", "203.0.113.53", "2001:db8:3::53"},
}

const TreeRoot, treeTLD, treeChild, TreeJudge = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.200"

// treeResources are the resources that are served: a zone with everything that judges may stumble over, its child, and
// the zone of the third server.
const treeResources = `
kind: Zone
name: example.test
nameservers: [ns1.example.test, ns2.example.test, ns3.hoster.test]
hostmaster: hostmaster@example.test
transfer: {allow: [key external-dns]}
update:
  - {key: acme, names: ["_acme-challenge.**"], types: [TXT]}
  - {key: external-dns, names: ["**"], types: [A, AAAA, CNAME, TXT]}
---
kind: Zone
name: kid.example.test
nameservers: [ns1.example.test, ns3.hoster.test]
hostmaster: hostmaster@example.test
---
kind: Zone
name: hoster.test
nameservers: [ns3.hoster.test, ns1.example.test]
hostmaster: hostmaster@example.test
---
{kind: Record, name: hoster.test/@/MX, data: ["0 ."]}
---
{kind: Record, name: hoster.test/@/AAAA, data: ["2001:db8:3::80"]}
---
{kind: Record, name: example.test/@/MX, data: ["10 mail.example.test."]}
---
{kind: Record, name: example.test/@/TXT, data: ['"v=spf1 mx -all"']}
---
{kind: Record, name: example.test/@/CAA, data: ['0 issue "ca.example.test"']}
---
{kind: Record, name: example.test/mail/A, data: [192.0.2.25]}
---
{kind: Record, name: example.test/alias/CNAME, data: [www.example.test.]}
---
{kind: Record, name: example.test/old/DNAME, data: [example.test.]}
---
{kind: Record, name: example.test/*.wild/A, data: [192.0.2.99]}
---
{kind: Record, name: example.test/*.wild/TXT, data: ['"anything"']}
---
{kind: Record, name: example.test/a.b.ent/TXT, data: ['"below an empty name"']}
---
{kind: Record, name: example.test/_sip._tcp/SRV, data: ["0 5 5060 www.example.test."]}
---
{kind: Record, name: example.test/svc/HTTPS, data: ["1 . alpn=h2"]}
---
{kind: Record, name: example.test/child/NS, data: [ns.child.example.test.]}
---
{kind: Record, name: example.test/ns.child/A, data: [192.0.2.3]}
---
{kind: Record, name: example.test/kid/NS, data: [ns1.example.test., ns3.hoster.test.]}
---
{kind: Record, name: kid.example.test/@/MX, data: ["0 ."]}
---
{kind: Record, name: kid.example.test/@/AAAA, data: ["2001:db8:1::77"]}
---
{kind: Record, name: kid.example.test/www/A, data: [192.0.2.77]}
---
{kind: Region, name: here, latitude: 53, longitude: 8}
---
{kind: Region, name: there, latitude: 39, longitude: -77}
---
{kind: Pool, name: here, region: here}
---
{kind: Pool, name: there, region: there}
---
{kind: Endpoint, name: here/lb-1, addresses: [192.0.2.80, "2001:db8:1::80"]}
---
{kind: Endpoint, name: here/lb-2, addresses: [192.0.2.81, "2001:db8:1::81"]}
---
{kind: Endpoint, name: there/lb, addresses: [198.51.100.80, "2001:db8:2::80"]}
---
{kind: Policy, name: example.test, ttl: 300s, rules: [{nearest: [here, there]}]}
---
{kind: Policy, name: www.example.test, ttl: 300s, rules: [{nearest: [here, there]}]}
---
{kind: Policy, name: "*.apps.example.test", ttl: 300s, rules: [{failover: [here, there]}]}
`

// SignedZones are the zones of Leeward in a signed tree: how they deny, which keys sign them, and how they are
// delegated.
var SignedZones = []struct {
	Name     string
	settings string   // dnssec of the Zone
	keys     []string // flags of `leeward key generate`
}{
	{"example.test", "{enabled: true}", nil},
	{"kid.example.test", "{enabled: true, nsec3: true}", []string{"--algorithm", "15"}},
	{"hoster.test", "{enabled: true}", []string{"--algorithm", "15", "--split"}},
	{"hashed.test", "{enabled: true, nsec3: true}", []string{"--split"}},
}

// treeHashed is a zone that only a signed tree has: all that is steered or is denied in other ways, by NSEC3.
const treeHashed = `
---
kind: Zone
name: hashed.test
nameservers: [ns1.example.test, ns3.hoster.test]
hostmaster: hostmaster@example.test
---
{kind: Record, name: hashed.test/@/MX, data: ["0 ."]}
---
{kind: Record, name: hashed.test/*.wild/TXT, data: ['"anything"']}
---
{kind: Record, name: hashed.test/a.b.ent/TXT, data: ['"below an empty name"']}
---
{kind: Record, name: hashed.test/alias/CNAME, data: [www.example.test.]}
---
{kind: Record, name: hashed.test/open/NS, data: [ns1.example.test.]}
---
{kind: Zone, name: open.hashed.test, nameservers: [ns1.example.test], hostmaster: hostmaster@example.test}
---
{kind: Record, name: open.hashed.test/www/A, data: [192.0.2.79]}
---
{kind: Policy, name: hashed.test, ttl: 300s, rules: [{nearest: [here, there]}]}
---
{kind: Policy, name: www.hashed.test, ttl: 300s, answers: 2, rules: [{failover: [here, there]}]}
---
{kind: Policy, name: "*.apps.hashed.test", ttl: 300s, rules: [{failover: [here, there]}]}
`

const treeHashedDelegation = `
hashed.test. 3600 NS ns1.example.test.
hashed.test. 3600 NS ns3.hoster.test.
`

// treeDelegations are the delegations in the zone test.; the glue is added.
const treeDelegations = `
example.test. 3600 NS ns1.example.test.
example.test. 3600 NS ns2.example.test.
example.test. 3600 NS ns3.hoster.test.
hoster.test. 3600 NS ns3.hoster.test.
hoster.test. 3600 NS ns1.example.test.
`

// NewTree makes a tree. more are further resources, and the delegations to them.
func NewTree(t *testing.T, more, delegations string) *Tree { return layOut(t, more, delegations, "") }

// NewSignedTree makes a tree that is signed from the root to the zones of SignedZones. child.example.test,
// open.hashed.test, arpa. and net. are not signed.
func NewSignedTree(t *testing.T, more, delegations string) *Tree {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	return layOut(t, treeHashed+more, treeHashedDelegation+delegations, folder)
}

// layOut makes a tree. It is signed if there is a folder for keys.
func layOut(t *testing.T, more, delegations, folder string) *Tree {
	t.Helper()
	NeedRoot(t)
	Need(t, "ip", "nft", "etcd", "etcdctl", "nsd")
	x := &Tree{Yard: NewYard(t)}
	dir := t.TempDir()
	if folder != "" {
		Need(t, "ldns-keygen", "ldns-signzone")
	}
	x.Hints = filepath.Join(dir, "root.hints")
	Write(t, x.Hints, fmt.Sprintf(". 3600 NS a.root.\na.root. 3600 A %s\n", TreeRoot))

	root := x.Host(t, "root", TreeRoot)
	delegations += treeDelegations
	rootZone := fmt.Sprintf(`
. 3600 SOA a.root. nobody.test. 1 14400 3600 604800 300
. 3600 NS a.root.
a.root. 3600 A %s
test. 3600 NS a.nic.test.
arpa. 3600 NS a.nic.test.
net. 3600 NS a.nic.test.
a.nic.test. 3600 A %s
`, TreeRoot, treeTLD)
	tld := x.Host(t, "tld", treeTLD)
	soa := "3600 SOA a.nic.test. nobody.test. 1 14400 3600 604800 300"
	reverse := fmt.Sprintf("arpa. %s\narpa. 3600 NS a.nic.test.\n", soa)
	networks := fmt.Sprintf("asnlookup.zonemaster.net. %s\nasnlookup.zonemaster.net. 3600 NS a.nic.test.\n", soa)
	resources := treeResources + more
	if folder != "" {
		var ds string
		resources, ds = signedResources(t, resources, folder)
		delegations += ds
	}
	for i, s := range TreeServers {
		owner, zone, _ := strings.Cut(s.name, ".")
		for _, a := range []string{s.A, s.aaaa} {
			rrtype := "A"
			if a == s.aaaa {
				rrtype = "AAAA"
				if !x.Yard.IPv6 {
					continue
				}
			}
			resources += fmt.Sprintf("---\n{kind: Record, name: %s/%s/%s, data: [%q]}\n", zone, owner, rrtype, a)
			delegations += fmt.Sprintf("%s. 3600 %s %s\n", s.name, rrtype, a)
			name, err := dns.ReverseAddr(a)
			if err != nil {
				t.Fatal(err)
			}
			reverse += fmt.Sprintf("%s 3600 PTR %s.\n", name, s.name)
			networks += announced(name, netip.MustParseAddr(a), 64500+i)
		}
	}
	tldZone := fmt.Sprintf("test. %s\ntest. 3600 NS a.nic.test.\na.nic.test. 3600 A %s\n%s", soa, treeTLD,
		delegations)
	if folder != "" {
		var ds string
		tldZone, ds = sign(t, "test.", tldZone)
		rootZone, x.Anchor = sign(t, ".", rootZone+ds)
	}
	startNSD(t, root, TreeRoot, map[string]string{".": rootZone})
	startNSD(t, tld, treeTLD, map[string]string{
		"arpa.": reverse,
		"net.": fmt.Sprintf("net. %s\nnet. 3600 NS a.nic.test.\nasnlookup.zonemaster.net. 3600 "+
			"NS a.nic.test.\n", soa),
		"asnlookup.zonemaster.net.": networks,
		"test.":                     tldZone,
	})
	child := x.Host(t, "child", treeChild)
	startNSD(t, child, treeChild, map[string]string{"child.example.test.": fmt.Sprintf(`
child.example.test. 3600 SOA ns.child.example.test. nobody.test. 1 14400 3600 604800 300
child.example.test. 3600 NS ns.child.example.test.
ns.child.example.test. 3600 A %s
www.child.example.test. 3600 A 192.0.2.78
`, treeChild)})

	etcd := x.Host(t, "etcd", "192.0.2.9")
	x.Etcd = NewMember(t, etcd, "one", "192.0.2.9", 2379, 2380, filepath.Join(dir, "etcd"), "one=http://192.0.2.9:2380")
	x.Etcd.Start(t)
	x.Etcd.Wait(t)
	documents := filepath.Join(dir, "leeward.yaml")
	Write(t, documents, resources)
	Must(t, etcd, Binary, "apply", "--etcd", x.Etcd.Client, "-f", documents)
	x.Keys = map[string]string{}
	for _, key := range []string{"acme", "external-dns"} {
		x.Keys[key] = filepath.Join(dir, key+".key")
		Write(t, x.Keys[key], fmt.Sprintf("key \"%s\" {\n\talgorithm hmac-sha256;\n\tsecret \"%s\";\n};\n", key,
			UpdateSecret))
	}
	for i, s := range TreeServers {
		h := x.Host(t, fmt.Sprintf("ns%d", i+1), s.A, s.aaaa)
		args := []string{"--listen", s.A + ":53"}
		if x.Yard.IPv6 {
			args = append(args, "--listen", "["+s.aaaa+"]:53")
		}
		for _, file := range x.Keys {
			args = append(args, "--tsig-key", file)
		}
		if folder != "" {
			args = append(args, "--keys", folder)
		}
		v := ServerAt(h, s.name, s.A+":53", "127.0.0.1:8053",
			append(args, "--etcd", x.Etcd.Client, "--region", []string{"here", "there", "here"}[i])...)
		v.Start(t)
		x.Servers = append(x.Servers, v)
	}
	x.Judge = x.Host(t, "judge", TreeJudge, "2001:db8:200::1")
	for _, v := range x.Servers {
		v.Ready(t)
	}
	return x
}

// signedResources has zones signed by new keys. It also returns their DS records, for the zone above.
func signedResources(t *testing.T, resources, folder string) (all, ds string) {
	t.Helper()
	for _, z := range SignedZones {
		head := "kind: Zone\nname: " + z.Name + "\n"
		if !strings.Contains(resources, head) {
			t.Fatalf("there is no zone %s", z.Name)
		}
		resources = strings.Replace(resources, head, head+"dnssec: "+z.settings+"\n", 1)
		LeewardOK(t, "", append([]string{"key", "generate", z.Name, "--keys", folder}, z.keys...)...)
		record := strings.TrimSpace(LeewardOK(t, "", "key", "ds", z.Name, "--keys", folder))
		owner, data, _ := strings.Cut(record, " IN DS ")
		if label, below := strings.CutSuffix(owner, ".example.test."); below {
			resources += fmt.Sprintf("---\n{kind: Record, name: example.test/%s/DS, data: [%q]}\n", label, data)
			continue
		}
		ds += fmt.Sprintf("%s 3600 DS %s\n", owner, data)
	}
	return resources, ds
}

// sign signs a zone of the tree that is not ours with a new KSK and ZSK. It returns the zone with its DS; for the root,
// the name of a file with the DS.
func sign(t *testing.T, origin, text string) (signed, above string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "zone")
	Write(t, file, text)
	var keys []string
	for _, role := range [][]string{{"-k"}, nil} {
		argv := append(append([]string{"env", "-C", dir, "ldns-keygen", "-a", "ECDSAP256SHA256"}, role...), origin)
		keys = append(keys, filepath.Join(dir, strings.TrimSpace(Must(t, nil, argv...))))
	}
	day := time.Now().UTC() // judges warn about signatures that began a moment ago
	Must(t, nil, append([]string{
		"ldns-signzone", "-o", origin, "-i", day.AddDate(0, 0, -1).Format("20060102"),
		"-e", day.AddDate(0, 0, 14).Format("20060102"), file,
	}, keys...)...)
	signed = read(t, file+".signed")
	if origin == "." {
		return signed, keys[0] + ".ds"
	}
	return signed, read(t, keys[0]+".ds")
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Host adds a host that reaches all networks of the yard directly.
func (x *Tree) Host(t *testing.T, name string, addresses ...string) *Host {
	t.Helper()
	var all []netip.Prefix
	for _, a := range addresses {
		ip := netip.MustParseAddr(a)
		bits := 24
		if ip.Is6() {
			bits = 64
		}
		all = append(all, netip.PrefixFrom(ip, bits))
	}
	h := x.Yard.Host(t, name, all...)
	Must(t, nil, "ip", "-n", h.namespace, "route", "add", "default", "dev", "cable")
	if x.Yard.IPv6 {
		Must(t, nil, "ip", "-n", h.namespace, "-6", "route", "add", "default", "dev", "cable")
	}
	return h
}

// announced is what the tree says about the network of an address: an AS of its own announces it. The form is Team
// Cymru's.
func announced(reverse string, a netip.Addr, as int) string {
	under, bits := "origin", 24
	if a.Is6() {
		under, bits = "origin6", 48
	}
	name := strings.NewReplacer("in-addr.arpa.", "", "ip6.arpa.", "").Replace(reverse)
	return fmt.Sprintf("%s%s.asnlookup.zonemaster.net. 3600 TXT \"%d | %s | ZZ | test | 2024-01-01\"\n", name, under,
		as,
		netip.PrefixFrom(a, bits).Masked())
}

// startNSD serves master files by origin on port 53 of an address of h, and waits until it answers.
func startNSD(t testing.TB, h *Host, address string, zones map[string]string) {
	t.Helper()
	dir := t.TempDir()
	var conf strings.Builder
	fmt.Fprintf(&conf, `server:
	ip-address: %s
	username: ""
	server-count: 1
	database: ""
	zonesdir: %q
	xfrdfile: %[3]q
	zonelistfile: %[4]q
	pidfile: %[5]q
	xfrdir: %[2]q
	minimal-responses: yes
	rrl-ratelimit: 0
	rrl-whitelist-ratelimit: 0
remote-control:
	control-enable: no
`, address, dir, filepath.Join(dir, "xfrd"), filepath.Join(dir, "list"), filepath.Join(dir, "pid"))
	for origin, text := range zones {
		file := "zone." + strings.TrimSuffix(origin, ".")
		Write(t, filepath.Join(dir, file), text)
		fmt.Fprintf(&conf, "zone:\n\tname: %q\n\tzonefile: %q\n", origin, file)
	}
	Write(t, filepath.Join(dir, "nsd.conf"), conf.String())
	p := Start(t, h, "nsd in "+h.Name, "nsd", "-d", "-c", filepath.Join(dir, "nsd.conf"))
	for origin := range zones {
		Until(t, 60*time.Second, "NSD has loaded "+origin, func() error {
			if !p.Alive() {
				t.Fatalf("nsd in %s has ended:\n%s", h.Name, p.Out.Tail(30))
			}
			m, err := Ask(h, address+":53", Question{Name: origin, Qtype: dns.TypeSOA})
			if err != nil {
				return err
			}
			if m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 {
				return fmt.Errorf("%v\n%s", m, p.Out.Tail(5))
			}
			return nil
		})
	}
}

const UpdateSecret = "dXBkYXRlcyBhcmUgc2lnbmVkIHdpdGggdGhpcyBrZXk="
