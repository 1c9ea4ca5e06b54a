//go:build linux

package interop

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// adoption is primaries of all makes, Leeward, which adopts their zones and lays policies over them, and secondaries of
// Leeward.
type adoption struct {
	primaries []*adopted
	etcd      *lab.Member
	here      *lab.Server
	behind    map[string]string // secondaries' addresses, by their program
}

// owned is the names over which we lay something, in each zone.
var owned = []string{"www", "deep.away", "deep.down", "deep.cut", "cut", "new"}

// alteration is a change at a primary.
type alteration struct {
	what    string
	text    string   // the zone, after its SOA, NS and the names of master
	names   int      // from master
	bare    bool     // not even those: text is what the zone has beside its SOA
	only    string   // the only primary with which it is played; "": all
	lost    bool     // the primary has forgotten its past when it has this
	sign    bool     // the zone is signed
	letters bool     // only the case of names changes
	refused string   // why Leeward rejects it, and keeps the version before
	under   []string // of the owned names: those that the primary's zone hides
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "many A 10.%d.%d.%d\n", i>>16, i>>8&255, i&255)
	}
	return b.String()
}

const above = "away CNAME ns\ndown DNAME other.test.\n" +
	"cut NS ns.cut\ncut NS deep.cut\nns.cut A 192.0.2.7\ndeep.cut A 192.0.2.8\n"

// alterations are the changes, in their order. The first one is the zone at the beginning.
var alterations = []alteration{
	{what: "the zone as it is", names: 100},
	{what: "replaced whole", text: "one TXT \"1\"\ntwo.below TXT \"2\"\n*.wild MX 10 ns\na.b.c.d TXT x\n"},
	{what: "journal removed", names: 100, lost: true},
	{what: "a set of 1,000", names: 100, text: many(1000)},
	{what: "a TTL alone", names: 100, text: strings.ReplaceAll(many(1000), "many A", "many 77 A")},
	{what: "a set of 100,000", text: many(100_000), only: "pdns", refused: "no message can hold"},
	{what: "100,000 records", names: 100_000, only: "bind"},
	{
		what: "a CNAME, a DNAME and a cut above policies", names: 10, text: above,
		under: []string{"deep.down", "deep.cut", "cut"},
	},
	{
		what: "the same in other letters", letters: true, names: 10,
		text: strings.NewReplacer("away CNAME ns", "aWay CNAME NS", "other", "OTHER", "cut NS ns.cut",
			"CUT NS Ns.Cut").Replace(above), under: []string{"deep.down", "deep.cut", "cut"},
	},
	{what: "a DNAME at the apex", text: "@ DNAME other.test.\n", bare: true, under: owned},
	{what: "gone again, and a CNAME at a policy", names: 10, text: "new CNAME www\n"},
	{what: "signed, with NSEC3", names: 10, text: "*.wild A 192.0.2.1\ncut.below NS ns.other.test.\n", sign: true},
	{what: "SOA and NS alone", bare: true},
	{what: "full again", names: 100},
}

// zone returns the text of a zone after an alteration.
func (c *alteration) zone(t *testing.T, zone string, serial int) string {
	text := master(zone, serial, c.names, c.text)
	if c.bare {
		text = fmt.Sprintf("$ORIGIN %s.\n$TTL 300\n@ SOA ns.other.test. hostmaster %d 3600 5 86400 60\n"+
			"@ NS ns.other.test.\n%s", zone, serial, c.text)
	}
	if !c.sign {
		return text
	}
	dir := t.TempDir()
	lab.Write(t, filepath.Join(dir, "zone"), text)
	for _, flags := range [][]string{{}, {"-f", "KSK"}} {
		lab.Must(t, nil, slices.Concat([]string{"dnssec-keygen", "-q", "-K", dir, "-a", "ECDSAP256SHA256"}, flags,
			[]string{zone})...)
	}
	return lab.Must(t, nil, "dnssec-signzone", "-q", "-S", "-K", dir, "-d", dir, "-3", "abcd", "-o", zone, "-f", "-",
		filepath.Join(dir, "zone"))
}

// TestAdoption: zones of BIND, NSD, Knot and PowerDNS, with policies on top, are changed in each way in which a
// primary's zone may change. After each change Leeward has the same as the primary for every name and type, except for
// what is laid over, and secondaries have the same as Leeward.
func TestAdoption(t *testing.T) {
	lab.Need(t, "named", "nsd", "knotd", "pdns_server", "sqlite3", "dnssec-signzone", "etcd")
	x := newAdoption(t)
	ended := make([]ending, len(x.primaries))
	t.Run("with etcd", func(t *testing.T) {
		for i, p := range x.primaries {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				ended[i] = x.play(t, i)
			})
		}
	})
	if t.Failed() {
		return
	}
	x.etcd.Process.Kill()
	t.Run("without etcd", func(t *testing.T) {
		for i, p := range x.primaries {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				e := ended[i]
				c := alterations[slices.IndexFunc(alterations, func(c alteration) bool { return c.text == above })]
				c.what = "while etcd is away"
				x.change(t, e.primary, x.zone(i), &c, e.serial+1)
			})
		}
	})
}

// ending is the final state of a zone.
type ending struct {
	primary *adopted
	serial  int
}

func newAdoption(t *testing.T) *adoption {
	t.Helper()
	x := &adoption{etcd: lab.StartEtcd(t), behind: map[string]string{}}
	makes := []string{"bind", "nsd", "knot", "pdns", "sqlite"}
	var all []string
	for _, name := range makes {
		all = append(all, name+".test")
	}
	// Each has a zone of its own, and the zone of the one before, which moves to it.
	zones := func(i int) []string { return []string{all[i], all[(i+len(all)-1)%len(all)]} }
	x.primaries = adoptees(t, t.TempDir(), "127.0.0.1", makes, zones)
	var secondaries []string
	for _, name := range []string{"bind", "nsd", "knot"} {
		x.behind[name] = fmt.Sprintf("127.0.0.1:%d", lab.LoopbackPort(t))
		secondaries = append(secondaries, x.behind[name])
	}
	x.here = lab.NewServer(t, "adopter", "--etcd", x.etcd.Client)
	x.apply(t, eu)
	for i, p := range x.primaries {
		x.follow(t, i, p, "", "")
		for _, zone := range zones(i) {
			lab.Write(t, p.file(zone), alterations[0].zone(t, zone, 1))
		}
		p.start()
		for _, zone := range zones(i) {
			if p.name == "sqlite" {
				p.loaded(t, zone)
			}
			p.has(t, zone, 1)
		}
	}
	x.here.Start(t)
	x.here.Ready(t)
	startSecondaries(t, t.TempDir(), x.here.DNS, secondaries, "", all...)
	return x
}

func (x *adoption) zone(i int) string { return x.primaries[i].name + ".test" }

func (x *adoption) apply(t *testing.T, documents string) {
	t.Helper()
	if o := lab.Leeward(t, documents, "apply", "--etcd", x.etcd.Client, "-f", "-"); o.Code != 0 {
		t.Fatal(o)
	}
}

// follow makes Leeward transfer a zone from a primary, with more fields of its transfer, and of the Zone.
func (x *adoption) follow(t *testing.T, i int, p *adopted, transfer, more string) {
	t.Helper()
	zone := x.zone(i)
	var notify []string
	for _, server := range slices.Sorted(maps.Values(x.behind)) {
		notify = append(notify, fmt.Sprintf("%q", server))
	}
	documents := fmt.Sprintf("---\nkind: Zone\nname: %s\ntransfer: {primaries: [%q], allow: [127.0.0.1], notify: "+
		"[%s]%s}\n%s",
		zone, p.at, strings.Join(notify, ", "), transfer, more)
	for _, name := range owned {
		documents += fmt.Sprintf("---\n{kind: Policy, name: %s.%s, ttl: 20s, rules: [{failover: [eu]}]}\n", name, zone)
	}
	x.apply(t, documents)
}

// play makes all changes to the zone of a primary.
func (x *adoption) play(t *testing.T, i int) ending {
	p, zone, serial := x.primaries[i], x.zone(i), 1
	for at := range alterations {
		c := &alterations[at]
		if c.only != "" && c.only != p.name {
			continue
		}
		if at == 0 {
			x.equal(t, p, zone, c, serial)
			continue
		}
		serial++
		x.change(t, p, zone, c, serial)
	}

	// Another primary has a different version of the zone, and has come to a higher serial in its own way. There, the
	// serial that is here stands for another version.
	p = x.primaries[(i+1)%len(x.primaries)]
	other := alteration{what: "another primary, which has had this serial too", names: 7}
	p.load(t, zone, &other, serial)
	other.text = "one TXT \"more\"\n"
	serial++
	p.load(t, zone, &other, serial)
	x.follow(t, i, p, "", "")
	x.equal(t, p, zone, &other, serial)

	// The former primary has a lower serial, which Leeward rejects unless it is asked to accept it.
	p = x.primaries[i]
	x.follow(t, i, p, "", "")
	lab.Until(t, 2*time.Minute, "the lower serial is an error", func() error {
		z, err := followingOf(x.here, zone)
		if err == nil && !strings.Contains(z.Error, "leeward retransfer "+zone) {
			err = fmt.Errorf("%+v", z)
		}
		return err
	})
	serial--
	c := alterations[len(alterations)-1]
	c.what = "a lower serial, taken whole"
	x.follow(t, i, p, ", retransfer: once", "")
	stands(t, x.here, zone, serial)
	// For the secondaries, the zone went back too.
	x.follow(t, i, p, ", retransfer: once", "serialOffset: 1000\n")
	x.equal(t, p, zone, &c, serial)
	return ending{p, serial}
}

// load makes a primary serve a zone as it is after an alteration.
func (p *adopted) load(t *testing.T, zone string, c *alteration, serial int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	lab.Write(t, p.file(zone), c.zone(t, zone, serial))
	if c.lost {
		p.forget(t)
	}
	if !c.lost || p.name == "sqlite" {
		p.loaded(t, zone)
	}
	p.has(t, zone, serial)
}

// change makes a change at the primary, and notifies Leeward.
func (x *adoption) change(t *testing.T, p *adopted, zone string, c *alteration, serial int) {
	t.Helper()
	p.load(t, zone, c, serial)
	if r, err := dns.Exchange(new(dns.Msg).SetNotify(dns.Fqdn(zone)), x.here.DNS); err != nil ||
		r.Rcode != dns.RcodeSuccess {
		t.Fatalf("NOTIFY: %v, %v", r, err)
	}
	if c.refused == "" {
		x.equal(t, p, zone, c, serial)
		return
	}
	lab.Until(t, 2*time.Minute, c.what+": it is refused", func() error {
		z, err := followingOf(x.here, zone)
		if err == nil && (z.State != "failing" || z.Serial != serial-1 || !strings.Contains(z.Error, c.refused)) {
			err = fmt.Errorf("%+v", z)
		}
		return err
	})
}

// following is the state of a zone that lives elsewhere, in the status.
type following struct {
	Zone, State, Error string
	Serial             int
}

func followingOf(s *lab.Server, zone string) (following, error) {
	var status struct{ Following []following }
	if err := s.Status(&status); err != nil {
		return following{}, err
	}
	i := slices.IndexFunc(status.Following, func(f following) bool { return f.Zone == zone })
	if i < 0 {
		return following{}, fmt.Errorf("the status does not have %s", zone)
	}
	return status.Following[i], nil
}

// stands waits until a zone has arrived from its primary with a serial.
func stands(t *testing.T, s *lab.Server, zone string, serial int) {
	t.Helper()
	lab.Until(t, 2*time.Minute, fmt.Sprintf("%s has serial %d of %s", s.Name, serial, zone), func() error {
		z, err := followingOf(s, zone)
		if err == nil && (z.Serial != serial || z.State != "current") {
			err = fmt.Errorf("%+v", z)
		}
		return err
	})
}

// equal waits until Leeward has a serial of a primary, and secondaries have what Leeward makes of it. Then it compares
// what they have.
func (x *adoption) equal(t *testing.T, p *adopted, zone string, c *alteration, serial int) {
	t.Helper()
	began := time.Now()
	stands(t, x.here, zone, serial)
	theirs := unsigned(zoneOf(t, p.at, zone))
	want := c.counts(theirs, zone)
	var here []dns.RR
	lab.Until(t, 2*time.Minute, c.what+": it is served", func() error { // a moment after the status has it
		here = zoneOf(t, x.here.DNS, zone)
		got := c.counts(here, zone)
		if c.letters && p.name == "bind" { // its differences leave letters as they were
			want, got = lowered(want), lowered(got)
		}
		if d := cmp.Diff(want, got); d != "" {
			return fmt.Errorf("(-primary +here)\n%s", d)
		}
		return nil
	})
	questions := questionsOf(zone, theirs, here)
	answers := answersOf(t, x.here.DNS, questions)
	for i, a := range answersOf(t, p.at, questions) {
		q := questions[i]
		if a == absent && c.laid(q.Name, dns.TypeA, zone) {
			a = empty // what is laid over makes the name exist
		}
		alias := "\n" + q.Name + "\t300\tin\tcname"
		if c.laid(q.Name, dns.TypeCNAME, zone) && strings.Contains(a, alias) {
			continue // what is laid over hides it, with all that is behind it
		}
		if !c.laid(q.Name, q.Qtype, zone) && a != answers[i] {
			t.Errorf("%s: %v: the primary says\n%s\nand Leeward\n%s", c.what, q, a, answers[i])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x.behind)) {
		server := x.behind[name]
		lab.Until(t, 2*time.Minute, c.what+": it is at "+name+" behind", func() error {
			want, err := soaOf(x.here.DNS, zone)
			if err != nil {
				return err
			}
			got, err := soaOf(server, zone)
			if err == nil && got.Serial != want.Serial {
				err = fmt.Errorf("it has serial %d, and Leeward %d", got.Serial, want.Serial)
			}
			return err
		})
		want, got := texts(here), texts(zoneOf(t, server, zone))
		if name != "bind" { // all others have names in lower case, in RDATA too
			want, got = lowered(want), lowered(got)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("%s (-here +%s behind)\n%s", c.what, name, d)
		}
		for i, a := range answersOf(t, server, questions) {
			if a != answers[i] {
				t.Errorf("%s: %v: Leeward says\n%s\nand %s behind it\n%s", c.what, questions[i], answers[i], name, a)
			}
		}
	}
	t.Logf("%s: %d records, %d questions, %v", c.what, len(here), len(questions),
		time.Since(began).Round(time.Millisecond))
}

// laid says whether the records of a type at a name are ours, after an alteration.
func (c *alteration) laid(name string, typ uint16, zone string) bool {
	owner := strings.TrimSuffix(strings.ToLower(dns.Fqdn(name)), "."+zone+".")
	return slices.Contains(owned, owner) && !slices.Contains(c.under, owner) &&
		(typ == dns.TypeA || typ == dns.TypeAAAA || typ == dns.TypeCNAME)
}

// counts returns the records of a zone that must be equal, as text: without what is laid over, and without the SOA's
// serial, which is Leeward's own.
func (c *alteration) counts(all []dns.RR, zone string) []string {
	return texts(slices.DeleteFunc(slices.Clone(all), func(r dns.RR) bool {
		return c.laid(r.Header().Name, r.Header().Rrtype, zone)
	}))
}

// unsigned removes what signing has made, which is not transferred.
func unsigned(all []dns.RR) []dns.RR {
	return slices.DeleteFunc(all, func(r dns.RR) bool {
		switch r.Header().Rrtype {
		case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM, dns.TypeDNSKEY, dns.TypeCDS,
			dns.TypeCDNSKEY:
			return true
		}
		return false
	})
}

// texts formats records, sorted. Owners are in lower case, as in NSD, Knot and Leeward. The SOA has no serial.
func texts(all []dns.RR) []string {
	var out []string
	for _, r := range all {
		if soa, ok := r.(*dns.SOA); ok {
			soa = dns.Copy(soa).(*dns.SOA)
			soa.Serial, r = 0, soa
		}
		out = append(out, strings.ToLower(r.Header().String())+strings.TrimPrefix(r.String(), r.Header().String()))
	}
	slices.Sort(out)
	return out
}

func lowered(all []string) (out []string) {
	for _, s := range all {
		out = append(out, strings.ToLower(s))
	}
	slices.Sort(out)
	return out
}

// zoneOf returns all records of a zone by AXFR, the SOA once.
func zoneOf(t *testing.T, server, zone string) []dns.RR {
	t.Helper()
	all := lab.Transferred(t, server, zone)
	return all[:len(all)-1]
}

// questionsOf returns questions for every name of a zone, for a missing name below each, and for all types that any
// has, at most some hundred.
func questionsOf(zone string, zones ...[]dns.RR) []lab.Question {
	types := map[string][]uint16{}
	for _, r := range slices.Concat(zones...) {
		name := strings.ToLower(r.Header().Name)
		types[name] = append(types[name], r.Header().Rrtype)
	}
	var all []lab.Question
	names := slices.Sorted(maps.Keys(types))
	for i, name := range names {
		if len(names) > 300 && i%(len(names)/300) != 0 {
			continue
		}
		asked := append(types[name], dns.TypeA, dns.TypeTXT, dns.TypeMX)
		slices.Sort(asked)
		for _, typ := range slices.Compact(asked) {
			if typ != dns.TypeSOA {
				all = append(all, lab.Question{Name: name, Qtype: typ})
			}
		}
		all = append(all, lab.Question{Name: "nx." + name, Qtype: dns.TypeA})
	}
	return all
}

// The results of answersOf for NXDOMAIN, and for a name without that type.
const (
	absent = "NXDOMAIN aa=true tc=false"
	empty  = "NOERROR aa=true tc=false"
)

// answersOf asks a server, and returns what servers agree on in each response: the RCODE, AA, the answers, and where it
// refers to.
func answersOf(t *testing.T, server string, questions []lab.Question) []string {
	t.Helper()
	c, err := net.Dial("tcp", server)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var all []string
	for _, q := range questions {
		r, err := lab.Exchange(c, q.Message(), 20*time.Second)
		if err != nil {
			c.Close()
			if c, err = net.Dial("tcp", server); err != nil { // some close after a number of queries
				t.Fatal(err)
			}
			if r, err = lab.Exchange(c, q.Message(), 20*time.Second); err != nil {
				t.Fatalf("%s: %v: %v", server, q, err)
			}
		}
		out := []string{fmt.Sprintf("%s aa=%v tc=%v", dns.RcodeToString[r.Rcode], r.Authoritative, r.Truncated)}
		// some repeat the letters of the question, some have those of the zone
		out = append(out, lowered(texts(r.Answer))...)
		if len(r.Answer) == 0 && !r.Authoritative {
			out = append(out, lowered(texts(r.Ns))...)
		}
		all = append(all, strings.Join(out, "\n"))
	}
	return all
}
