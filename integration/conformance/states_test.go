//go:build linux

package conformance

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// steeredZones are zones with a policy of every kind: two signed ones, a signed and an unsigned child of one of them,
// and an unsigned one. %s are settings of signing.
const steeredZones = `kind: Zone
name: steer.test
nameservers: [ns1.steer.test, ns2.other.test]
%[1]s---
kind: Zone
name: other.test
nameservers: [ns1.steer.test]
%[2]s---
kind: Zone
name: in.steer.test
nameservers: [ns1.steer.test]
%[2]s---
kind: Zone
name: open.steer.test
nameservers: [ns1.steer.test]
---
kind: Zone
name: plain.test
nameservers: [ns1.steer.test]
---
{kind: Region, name: eu, latitude: 50, longitude: 8}
---
{kind: Region, name: us, latitude: 39, longitude: -77}
---
kind: Map
name: offices
prefixes: {198.51.100.0/24: [us]}
---
{kind: Pool, name: eu, region: eu, capacity: {target: 100, max: 200}}
---
{kind: Pool, name: us, region: us, capacity: {target: 100, max: 200}}
---
{kind: Pool, name: half, region: eu, minHealthy: 100%%}
---
{kind: Pool, name: four, region: eu}
---
{kind: Pool, name: six, region: us}
---
{kind: Pool, name: big, region: eu}
---
{kind: Pool, name: named, region: eu}
---
{kind: Pool, name: inside, region: eu}
`

// steeredEndpoints are endpoints by pool, with their addresses or the hostname.
var steeredEndpoints = []string{
	`eu/a addresses: [192.0.2.1, "2001:db8::1"]`,
	`eu/b addresses: [192.0.2.2]`,
	`eu/c addresses: [192.0.2.3, 192.0.2.4, "2001:db8::3"], weight: 7`,
	`eu/last addresses: [192.0.2.9], weight: 0`,
	`us/a addresses: [198.51.100.1, "2001:db8:1::1"]`,
	`us/b addresses: [198.51.100.2, "2001:db8:1::2"]`,
	`half/a addresses: [192.0.2.11]`,
	`half/b addresses: [192.0.2.12, "2001:db8::12"]`,
	`four/a addresses: [192.0.2.21]`,
	`four/b addresses: [192.0.2.22]`,
	`six/a addresses: ["2001:db8:6::1"]`,
	`six/b addresses: ["2001:db8:6::2"]`,
	`named/a hostname: lb.cloud.test`,
	`inside/a hostname: all.other.test`,
}

// steeredPolicies are names with the fields of their documents.
var steeredPolicies = []string{
	`steer.test rules: [{failover: [eu, us]}], answers: 2`,
	`ns1.steer.test rules: [{failover: [four, six]}], pick: all`,
	`weights.steer.test rules: [{failover: [{eu: 70, us: 30}]}]`,
	`three.steer.test rules: [{failover: [{eu: 70, us: 30}, four]}], answers: 3`,
	`geo.steer.test rules: [{when: {prefixes: [203.0.113.0/24]}, failover: [us, eu]}, ` +
		`{when: {countries: [US]}, failover: [us]}, {failover: [eu, us]}]`,
	`near.steer.test map: offices, rules: [{nearest: [eu, us]}]`,
	`over.steer.test rules: [{failover: [eu, us]}]`,
	`sticky.steer.test rules: [{failover: [eu, us]}], pick: sticky, answers: 2`,
	`all.steer.test rules: [{failover: [eu, us]}], pick: all`,
	`load.steer.test rules: [{failover: [eu, us]}], pick: least-load, answers: 2`,
	`spill.steer.test rules: [{failover: [eu, us]}], spill: true, answers: 2`,
	`half.steer.test rules: [{failover: [half, us]}], answers: 2`,
	`big.steer.test rules: [{failover: [big]}], answers: 5`,
	`bigall.steer.test rules: [{failover: [big]}], pick: all`,
	`bigsticky.steer.test rules: [{failover: [big]}], pick: sticky, answers: 5`,
	`four.steer.test rules: [{failover: [four]}]`,
	`six.steer.test rules: [{failover: [six]}], answers: 2`,
	`either.steer.test rules: [{when: {prefixes: [203.0.113.0/24]}, failover: [six]}, {failover: [four]}], ttl: 7s`,
	`nodata.steer.test rules: [{failover: [eu, us]}], whenAllDown: nodata, ttl: 7s`,
	`servfail.steer.test rules: [{failover: [eu, us]}], whenAllDown: servfail`,
	`none.steer.test rules: [{when: {prefixes: [203.0.113.0/24]}, answer: nodata}, {failover: [eu]}], ttl: 7s`,
	`refused.steer.test rules: [{when: {prefixes: [203.0.113.0/24]}, answer: refused}, {failover: [eu]}]`,
	`nx.steer.test rules: [{when: {prefixes: [203.0.113.0/24]}, answer: nxdomain}, {failover: [eu]}], ttl: 7s`,
	`"*.p.steer.test" rules: [{failover: [eu, us]}], answers: 2`,
	`"*.none.p.steer.test" rules: [{failover: [eu, us]}], whenAllDown: nodata, ttl: 7s`,
	`alias.steer.test rules: [{failover: [named]}]`,
	`within.steer.test rules: [{failover: [inside]}]`,
	`flat.steer.test rules: [{failover: [named]}], flatten: true`,
	`short.steer.test rules: [{failover: [eu, us]}], ttl: 1s`,
	`long.steer.test rules: [{failover: [eu, us]}], ttl: 2147483647s`,
	`planned.steer.test rules: [{failover: [{eu: 50, us: 50}]}], ` +
		`schedule: [{from: 2026-01-01T00:00:00Z, weights: {eu: 0%}}]`,
	`under.a.b.steer.test rules: [{failover: [eu, us]}]`,
	`in.steer.test rules: [{failover: [eu, us]}]`,
	`over.in.steer.test rules: [{failover: [eu, us]}]`,
	`over.open.steer.test rules: [{failover: [eu, us]}]`,
	`all.other.test rules: [{failover: [eu, us]}], pick: all`,
	`over.other.test rules: [{failover: [eu, us]}]`,
	`a.w.other.test rules: [{failover: [eu, us]}], whenAllDown: nodata, ttl: 7s`,
	`over.plain.test rules: [{failover: [eu, us]}]`,
}

// steeredRecords are records beside policies, and what leads to them.
var steeredRecords = []string{
	`steer.test/over/TXT "beside"`, `steer.test/over/MX 5 all`, `steer.test/over/HTTPS 1 . alpn=h2`,
	`steer.test/over/CAA 0 issue "ca.test"`, `steer.test/_x._tcp/SRV 1 2 53 all`, `steer.test/@/MX 5 all`,
	`steer.test/svc/HTTPS 0 all`, `steer.test/odd/SRV 1 2 53 ns1`,
	`steer.test/x.p/TXT "itself"`, `steer.test/below.x.p/A 192.0.2.77`,
	`steer.test/c1/CNAME c2`, `steer.test/c2/CNAME over`, `steer.test/c3/CNAME q.p`,
	`steer.test/c4/CNAME all.other.test.`,
	`steer.test/c5/CNAME over.in`, `steer.test/c6/CNAME over.open`, `steer.test/c7/CNAME over.plain.test.`,
	`steer.test/c8/CNAME nodata`, `steer.test/c9/CNAME servfail`, `steer.test/c10/CNAME nx`,
	`steer.test/c11/CNAME no.such.other.test.`,
	`steer.test/c12/CNAME q.none.p`, `steer.test/*.stars/CNAME q.p`, `other.test/back/CNAME c1.steer.test.`,
	`steer.test/d/DNAME p`, `steer.test/dd/DNAME other.test.`, `other.test/dn/DNAME a.b.steer.test.`,
	`steer.test/zero/A 192.0.2.99 ttl 0s`, `steer.test/most/A 192.0.2.98 ttl 2147483647s`,
	`steer.test/in/NS ns1.steer.test.`, `steer.test/open/NS ns1.steer.test.`,
	`steer.test/gone/NS ns.gone, ns1`, `steer.test/ns.gone/A 192.0.2.53`, `steer.test/ns.gone/AAAA 2001:db8::53`,
	`steer.test/a\.b/TXT "dot"`, `steer.test/\000\255.a\.b/A 192.0.2.66`, `steer.test/sp\032ace/TXT "s"`,
	`steer.test/*/TYPE65280 \# 2 abcd`, `other.test/ns2/A 192.0.2.55`, `open.steer.test/t/TXT "open"`,
	`in.steer.test/t/TXT "in"`, `other.test/*.w/CNAME a.w`, `steer.test/a.b/TXT "above a policy"`,
}

// recordOf splits a record into its document's name and its data.
func recordOf(r string) (name, data string) {
	at := strings.LastIndex(r, "/")
	for strings.Count(r[:at], "/") > 1 {
		at = strings.LastIndex(r[:at], "/")
	}
	end := at + strings.Index(r[at:], " ")
	return r[:end], r[end+1:]
}

// steeredText writes the documents: how the two kinds of zones are signed, and what else there is.
func steeredText(first, second, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, steeredZones, first, second)
	for _, e := range steeredEndpoints {
		name, fields, _ := strings.Cut(e, " ")
		fmt.Fprintf(&b, "---\n{kind: Endpoint, name: %s, %s}\n", name, fields)
	}
	for i := range 12 {
		fmt.Fprintf(&b, "---\n{kind: Endpoint, name: big/n%d, addresses: [192.0.2.%d, \"2001:db8:b::%d\"]}\n", i, 100+i,
			i)
	}
	for _, p := range steeredPolicies {
		name, fields, _ := strings.Cut(p, " ")
		fmt.Fprintf(&b, "---\n{kind: Policy, name: %s, %s}\n", name, fields)
	}
	for _, r := range steeredRecords {
		name, data := recordOf(r)
		data, ttl, has := strings.Cut(data, " ttl ")
		fmt.Fprintf(&b, "---\nkind: Record\nname: '%s'\ndata: [", name)
		for i, d := range strings.Split(data, ", ") {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "'%s'", d)
		}
		b.WriteString("]\n")
		if has {
			fmt.Fprintf(&b, "ttl: %s\n", ttl)
		}
	}
	return b.String() + more
}

// override returns documents of overrides for targets.
func override(fields string, targets ...string) string {
	var b strings.Builder
	for _, t := range targets {
		fmt.Fprintf(&b, "---\n{kind: Override, name: %s, %s}\n", t, fields)
	}
	return b.String()
}

// healthStates are states of health, with the addresses of all.steer.test in each.
var healthStates = []struct {
	name, docs string
	all        []string
}{
	{"all up", "", euAddresses},
	{
		"one down", override("state: down", "endpoint/eu/a", "endpoint/half/a", "endpoint/big/n3"),
		euAddresses[1:],
	},
	{"one left", override("state: down", "endpoint/eu/a", "endpoint/eu/c", "endpoint/us/a", "endpoint/big/n1",
		"endpoint/big/n5", "endpoint/big/n11", "endpoint/six/a", "endpoint/four/b"), euAddresses[1:2]},
	{"a region down", override("state: down", "region/eu"), usAddresses},
	{"the other region down", override("state: down", "region/us"), euAddresses},
	{"all down", override("state: down", "region/eu", "region/us"), euAddresses},
	{"a pool drained", override("state: drain", "pool/eu"), usAddresses},
	{"all drained", override("state: drain", "region/eu", "region/us"), euAddresses},
	{"one drained and the rest down", override("state: down", "region/us", "endpoint/eu/b", "endpoint/eu/c",
		"endpoint/eu/last") + override("state: drain", "endpoint/eu/a"), euAddresses[1:]},
	{"a drill", override("state: drain, drill: true, "+aroundNow(), "region/eu"), usAddresses},
	{"said to be up", override("state: up", "region/eu", "region/us"), euAddresses},
}

var (
	euAddresses = []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}
	usAddresses = []string{"198.51.100.1", "198.51.100.2"}
)

// aroundNow returns when a drill begins and ends by itself.
func aroundNow() string {
	now := time.Now().UTC()
	return fmt.Sprintf("from: %s, until: %s", now.Add(-time.Minute).Format(time.RFC3339),
		now.Add(time.Hour).Format(time.RFC3339))
}

var (
	steeredTypes = []uint16{
		dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeHTTPS, dns.TypeMX, dns.TypeDS, dns.TypeCNAME, dns.TypeNS,
		dns.TypeANY, dns.TypeNSEC, dns.TypeRRSIG, dns.TypeSRV, dns.TypeDNSKEY, dns.TypeSOA, 65280, dns.TypeCDS,
		dns.TypeDNAME, dns.TypeNSEC3, dns.TypeNSEC3PARAM,
	}
	steeredClients = []netip.Prefix{
		{},
		netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.51.100.0/24"),
		netip.MustParsePrefix("8.8.8.0/24"), netip.MustParsePrefix("2001:4860::/48"),
		netip.MustParsePrefix("0.0.0.0/0"),
	}
)

// steeredNames are all owners, names below and between them, and some in other case.
func steeredNames() (names []string) {
	add := func(more ...string) { names = append(names, more...) }
	for _, p := range steeredPolicies {
		name, _, _ := strings.Cut(p, " ")
		add(strings.Trim(name, `"`) + ".")
	}
	for _, r := range steeredRecords {
		name, _ := recordOf(r)
		parts := strings.SplitN(name, "/", 3)
		add(strings.TrimPrefix(parts[1]+"."+parts[0]+".", "@."))
	}
	for _, owner := range strings.Fields(`q.p Q.P q.q.p q.x.p q.below.x.p p none.p q.none.p b a.b q.a.b q.over OVER q q.q
		q.stars over.d q.d over.dd no.dd under.dn q.in q.open open q.gone gone q.a\.b \001.a\.b - zz *.q
		q.c1 q.zero _tcp q._tcp aLl.OpEn q.under.a.b`) {
		add(owner + ".steer.test.")
	}
	for c := 'p'; c <= 'z'; c++ { // for some of these the record of a policy proves that they do not exist
		add(string(c)+".w.other.test.", string(c)+".none.p.steer.test.")
	}
	add("q.other.test.", "under.dn.other.test.", "q.dn.other.test.", "other.test.", "t.open.steer.test.")
	for i, name := range names { // in the oracle's form
		names[i] = strings.ReplaceAll(name, `\032`, `\ `)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// judged is one question of a walk.
type judged struct {
	name   string
	typ    uint16
	client netip.Prefix
	size   uint16
	do, cd bool
}

func (q judged) String() string {
	s := fmt.Sprintf("%s %s client %v", q.name, dns.TypeToString[q.typ], q.client)
	if !q.do {
		s += " without DO"
	}
	return s
}

// ask asks over a connection. After TC it asks again over TCP.
func (q judged) ask(t *testing.T, c net.Conn, at string) *dns.Msg {
	t.Helper()
	m := lab.Question{Name: q.name, Qtype: q.typ, Client: q.client}.Message()
	m.CheckingDisabled = q.cd
	o := m.IsEdns0()
	o.SetUDPSize(q.size)
	if q.do {
		o.SetDo()
	}
	reply, err := lab.Exchange(c, m, 5*time.Second)
	for tries := 1; err != nil && tries < 4; tries++ { // a busy machine loses packets
		reply, err = lab.Exchange(c, m, 5*time.Second)
	}
	if err == nil && reply.Truncated {
		reply, _, err = (&dns.Client{Net: "tcp", Timeout: 10 * time.Second}).Exchange(m, at)
	}
	if err != nil {
		t.Fatalf("%v: %v", q, err)
	}
	return reply
}

// seen is what a resolver could have cached from all states: denial, and answers.
type seen struct {
	loose  bool              // sets may be parts of the unsigned answers, as from an edge without keys
	denial map[string]dns.RR // by its text without the TTL: the one with the longest TTL
	there  map[rrsetKey]bool // by the owner in the signature, which may be a wildcard
}

func newSeen() *seen { return &seen{denial: map[string]dns.RR{}, there: map[rrsetKey]bool{}} }

func (s *seen) note(reply *dns.Msg) {
	for i, section := range [][]dns.RR{reply.Answer, reply.Ns, reply.Extra} {
		for _, r := range section {
			switch r := r.(type) {
			case *dns.NSEC, *dns.NSEC3:
				if i != 1 { // perhaps of a wildcard, which proves nothing
					continue
				}
				text := strings.TrimPrefix(r.String(), r.Header().String()) + r.Header().Name
				if had := s.denial[text]; had == nil || had.Header().Ttl < r.Header().Ttl {
					s.denial[text] = r
				}
			case *dns.RRSIG:
				owner := strings.ToLower(r.Hdr.Name)
				if n := int(r.Labels); n < labelsOfName(owner) {
					owner = "*." + suffix(owner, n)
				}
				s.there[rrsetKey{owner, r.TypeCovered}] = true
			}
		}
	}
}

// contradictions compares each denial of any state with each answer of any other, like a resolver that makes its own
// negative answers (RFC 8198). No name is denied that exists in another state. A type of a policy with a short TTL may
// be: rules and whenAllDown that answer nothing deny it.
func (s *seen) contradictions(t *testing.T, v *validator) {
	t.Helper()
	for k := range s.there {
		if k.typ == dns.TypeNSEC || k.typ == dns.TypeNSEC3 {
			continue
		}
		zone := v.zoneOf(k.owner)
		if k.typ == dns.TypeDS {
			zone = v.zoneOf(parentOf(k.owner))
		}
		for _, r := range s.denial {
			p := v.proofs(setsOf([]dns.RR{r}), zone)
			if p.covers(k.owner) {
				t.Errorf("%s is there, and is denied by %v", k.owner, r)
			}
			types, known := p.types(k.owner)
			short := r.Header().Ttl <= 7 && (k.typ == dns.TypeA || k.typ == dns.TypeAAAA)
			if known && !has(types, k.typ) && !short {
				t.Errorf("%s has %s, which is denied by %v", k.owner, dns.TypeToString[k.typ], r)
			}
		}
	}
	if len(s.denial) < 40 || len(s.there) < 100 {
		t.Errorf("only %d records of denial and %d sets were seen", len(s.denial), len(s.there))
	}
}

// without removes what signing adds to a section, and the parts of an answer that are drawn.
func without(section []dns.RR, drawn bool) (all []string) {
	for _, r := range section {
		r := dns.Copy(r)
		h := r.Header()
		switch h.Rrtype {
		case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeOPT:
			continue
		case dns.TypeA, dns.TypeAAAA:
			if drawn {
				all = append(all, strings.ToLower(h.Name)+" "+dns.TypeToString[h.Rrtype])
				continue
			}
		}
		if soa, is := r.(*dns.SOA); is { // its serial says where the zone comes from
			soa.Serial = 0
		}
		all = append(all, strings.ToLower(h.Name)+strings.TrimPrefix(r.String(), h.String()))
	}
	slices.Sort(all)
	return all
}

// sameBut compares an answer with that of the same unsigned zones: signing changes only what docs/dnssec.md says.
func sameBut(q judged, signed, plain *dns.Msg, loose bool) error {
	nx := strings.HasPrefix(strings.ToLower(q.name), "nx.") || strings.HasPrefix(q.name, "c10.")
	if nx && q.do && plain.Rcode == dns.RcodeNameError && signed.Rcode == dns.RcodeSuccess {
		return nil
	}
	switch q.typ {
	case dns.TypeANY, dns.TypeRRSIG: // nothing says which set is answered
		return nil
	case dns.TypeNSEC: // with NSEC3 an alias is followed
		return nil
	}
	if signed.Rcode != plain.Rcode {
		return fmt.Errorf("%s, and without signing %s", dns.RcodeToString[signed.Rcode], dns.RcodeToString[plain.Rcode])
	}
	switch q.typ {
	case dns.TypeNSEC3, dns.TypeNSEC3PARAM, dns.TypeDNSKEY, dns.TypeCDS:
		return nil
	}
	a, b := without(signed.Answer, true), without(plain.Answer, true)
	if loose || strings.HasPrefix(q.name, "three.") { // the pool is drawn, and one has more addresses
		a, b = slices.Compact(a), slices.Compact(b)
	}
	if !slices.Equal(a, b) {
		return fmt.Errorf("the answer is %q, and without signing %q", a, b)
	}
	return nil
}

// walk asks a server for everything. The validator judges each answer, and walk compares it with that of the server
// that does not sign.
func walk(t *testing.T, state string, r *rand.Rand, v *validator, at, plain string, s *seen) {
	t.Helper()
	one, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := net.Dial("udp", plain)
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	faults := 0
	for _, name := range steeredNames() {
		steered := slices.ContainsFunc(steeredPolicies, func(p string) bool {
			return strings.HasPrefix(p, name[:len(name)-1])
		})
		for i, typ := range steeredTypes {
			for j, client := range steeredClients {
				if j > 0 && (i > 1 || !steered && r.IntN(4) > 0) || i > 5 && !steered && r.IntN(2) > 0 {
					continue
				}
				q := judged{name, typ, client, 4096, r.IntN(8) > 0, r.IntN(8) == 0}
				if r.IntN(4) == 0 {
					q.size = []uint16{512, 1232}[r.IntN(2)]
				}
				if v.renew != nil {
					v.renew()
				}
				signed, unsigned := q.ask(t, one, at), q.ask(t, two, plain)
				err := sameBut(q, signed, unsigned, s.loose)
				switch {
				case err != nil:
				case !q.do:
					err = bare(q, signed)
				case signed.Rcode == dns.RcodeServerFailure || signed.Rcode == dns.RcodeRefused: // as without signing
				default:
					s.note(signed)
					err = v.check(dns.Question{Name: q.name, Qtype: q.typ, Qclass: dns.ClassINET}, signed)
				}
				if err != nil {
					t.Errorf("%s: %v: %v\n%v", state, q, err, signed)
					if faults++; faults == 6 {
						t.Fatal("and so on")
					}
				}
			}
		}
	}
}

// bare returns an error if a query without DO gets what only signing adds.
func bare(q judged, reply *dns.Msg) error {
	for _, section := range [][]dns.RR{reply.Answer, reply.Ns, reply.Extra} {
		for _, r := range section {
			switch typ := r.Header().Rrtype; typ {
			case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3:
				if q.typ != typ && q.typ != dns.TypeANY {
					return fmt.Errorf("%s without DO", dns.TypeToString[typ])
				}
			}
		}
	}
	return nil
}

// judges are the other validators: Unbound, without caches, and delv for some of the questions.
type judges struct {
	ask     func(name string, typ uint16) (*dns.Msg, error)
	anchors string
	failed  map[string]bool // names that failed, which Unbound remembers for five seconds
}

// take lets both judge the answers of a server. They cannot judge what is refused, or fails by configuration.
func (j *judges) take(t *testing.T, state string, r *rand.Rand, at string, plain string) {
	t.Helper()
	insecure := func(name string) bool {
		name = strings.ToLower(name)
		return strings.Contains(name, "open.steer.test.") || strings.HasPrefix(name, "c6.") ||
			strings.HasPrefix(name, "c7.") || strings.HasSuffix(name, "plain.test.")
	}
	var some []judged
	for _, name := range steeredNames() {
		if strings.HasSuffix(name, "gone.steer.test.") || strings.HasPrefix(name, "alias.") {
			continue // nobody serves it
		}
		for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeDS} {
			if typ == dns.TypeDS && (strings.Count(name, ".") < 3 || insecure(name)) {
				continue // the zone above is not here
			}
			if typ > dns.TypeA && r.IntN(3) > 0 {
				continue
			}
			want, err := lab.Ask(nil, plain, lab.Question{Name: name, Qtype: typ})
			if err != nil {
				t.Fatal(err)
			}
			reply, err := j.ask(name, typ)
			if err != nil {
				t.Fatalf("%s: unbound: %s %s: %v", state, name, dns.TypeToString[typ], err)
			}
			for begin := time.Now(); j.failed[name] && reply.Rcode == dns.RcodeServerFailure &&
				want.Rcode == dns.RcodeSuccess && time.Since(begin) < 20*time.Second; {
				time.Sleep(time.Second)
				if reply, err = j.ask(name, typ); err != nil {
					t.Fatal(err)
				}
			}
			j.failed[name] = j.failed[name] || reply.Rcode == dns.RcodeServerFailure
			if want.Rcode == dns.RcodeServerFailure || want.Rcode == dns.RcodeRefused {
				if reply.Rcode != dns.RcodeServerFailure {
					t.Errorf("%s: %s is a failure, and unbound says\n%v", state, name, reply)
				}
				continue
			}
			if reply.Rcode == dns.RcodeServerFailure || reply.AuthenticatedData == insecure(name) {
				t.Errorf("%s: unbound does not take %s %s:\n%v", state, name, dns.TypeToString[typ], reply)
				return
			}
			if strings.HasSuffix(name, "steer.test.") && !insecure(name) && len(want.Answer) < 2 {
				some = append(some, judged{name: name, typ: typ})
			}
		}
	}
	host, port, _ := net.SplitHostPort(at)
	r.Shuffle(len(some), func(a, b int) { some[a], some[b] = some[b], some[a] })
	for _, q := range some[:min(6, len(some))] {
		var out []byte
		var err error
		for range 4 { // a busy machine may be late
			out, err = exec.Command("timeout", "60", "delv", "@"+host, "-p", port, "-a", j.anchors, "+root=steer.test",
				"-t", dns.TypeToString[q.typ], "-q", q.name).CombinedOutput()
			if !strings.Contains(string(out), "timed out") {
				break
			}
		}
		if err != nil || !strings.Contains(string(out), "fully validated") {
			t.Errorf("%s: delv does not take %s %s: %v\n%s", state, q.name, dns.TypeToString[q.typ], err, out)
		}
	}
}

// newJudges starts them, with a server to ask.
func newJudges(t *testing.T, at string, v *validator) *judges {
	j := &judges{failed: map[string]bool{}, anchors: filepath.Join(t.TempDir(), "anchors")}
	j.ask = unbound(t, at, v, []string{"steer.test.", "other.test."},
		[]string{"steer.test", "other.test", "plain.test", "in.steer.test", "open.steer.test"})
	key := v.keys["steer.test."]
	lab.Write(t, j.anchors, fmt.Sprintf("trust-anchors { %q static-key %d %d %d %q; };\n", key.Hdr.Name, key.Flags,
		key.Protocol, key.Algorithm, key.PublicKey))
	return j
}

// TestSignedInEveryState asks for everything that zones with policies of all kinds have, and do not have, in every
// state of health, and for clients whose subnets get other answers. The validator of this room, Unbound and delv judge
// each answer. It is compared with that of a server that has the same zones and does not sign. All denial of all states
// is compared with everything that exists in any.
func TestSignedInEveryState(t *testing.T) {
	lab.Need(t, "delv", "unbound")
	const nsec, nsec3 = "dnssec: {enabled: true}\n", "dnssec: {enabled: true, nsec3: true}\n"
	t.Run("NSEC", func(t *testing.T) { everyState(t, nsec, nsec3) })
	t.Run("NSEC3", func(t *testing.T) { everyState(t, nsec3, nsec) })
}

func everyState(t *testing.T, first, second string) {
	signed, unsigned, keys, names := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "keys"), resolver(t)
	lab.Write(t, filepath.Join(signed, "all.yaml"), steeredText(first, second, ""))
	lab.Write(t, filepath.Join(unsigned, "all.yaml"), steeredText("", "", ""))
	s := lab.Serve(t, "signed", "--files", signed, "--keys", keys, "--resolver", names)
	plain := lab.Serve(t, "plain", "--files", unsigned, "--resolver", names)
	lab.Until(t, 10*time.Second, "three zones have keys", func() error {
		if n := len(keysOf(t, keys)); n != 3 {
			return fmt.Errorf("%d keys", n)
		}
		return nil
	})
	v := &validator{keys: keysOf(t, keys), open: []string{"open.steer.test."}, now: time.Now()}
	j := newJudges(t, s.DNS, v)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r, all := rand.New(rand.NewPCG(seed, 0)), newSeen()
	for i, state := range healthStates {
		more := state.docs + above(v, i)
		lab.Write(t, filepath.Join(signed, "all.yaml"), steeredText(first, second, more))
		lab.Write(t, filepath.Join(unsigned, "all.yaml"), steeredText("", "", more))
		for _, at := range []string{s.DNS, plain.DNS} {
			mark := lab.Question{Name: "mark.plain.test", Qtype: dns.TypeTXT}
			lab.Expect(t, 20*time.Second, at, mark, fmt.Sprintf(`"%d"`, i))
			all := lab.Question{Name: "all.steer.test", Qtype: dns.TypeA}
			lab.Expect(t, 20*time.Second, at, all, slices.Clone(state.all)...)
		}
		walk(t, state.name, r, v, s.DNS, plain.DNS, all)
		j.take(t, state.name, r, s.DNS, plain.DNS)
		if t.Failed() {
			return
		}
	}
	all.contradictions(t, v)
}

// above is the DS of the signed child, and a mark that identifies the state.
func above(v *validator, mark int) string {
	ds := v.keys["in.steer.test."].ToDS(dns.SHA256)
	return fmt.Sprintf("---\n{kind: Record, name: steer.test/in/DS, data: ['%d %d %d %s']}\n"+
		"---\n{kind: Record, name: plain.test/mark/TXT, data: ['\"%d\"']}\n", ds.KeyTag, ds.Algorithm, ds.DigestType,
		ds.Digest, mark)
}
