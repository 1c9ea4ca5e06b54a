//go:build linux

package conformance

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/miekg/dns"
)

// probe is one question to all servers.
type probe struct {
	name  string // as it is sent: its case is kept
	qtype uint16
	size  uint16 // of EDNS; 0: no OPT record
	do    bool
	tcp   bool
}

func (p probe) String() string {
	s := p.name + " " + typeName(p.qtype)
	if p.size > 0 {
		s += fmt.Sprintf(" edns=%d", p.size)
	}
	if p.do {
		s += " do"
	}
	if p.tcp {
		s += " tcp"
	}
	return s
}

func (p probe) message(id uint16) *dns.Msg {
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Id: id}, Question: []dns.Question{{
		Name: p.name, Qtype: p.qtype,
		Qclass: dns.ClassINET,
	}}}
	if p.size > 0 {
		m.SetEdns0(p.size, p.do)
	}
	return m
}

// probesOfZone is how many questions are asked for each zone of a family.
const probesOfZone = 50

// ask makes the questions about a family: for its names, and for names near, above and below them.
func (g *maker) ask(w *family) []probe {
	var names []string
	var records []record
	for _, z := range w.zones {
		records = append(records, z.records...)
		for _, r := range z.records {
			names = append(names, r.owner)
			for _, f := range strings.Fields(r.data) {
				if _, ok := dns.IsDomainName(f); ok && strings.HasSuffix(f, ".test.") {
					names = append(names, f)
				}
			}
		}
	}
	names = unique(names)
	var out []probe
	for tries := 0; len(out) < probesOfZone*len(w.zones) && tries < 10000; tries++ {
		var p probe
		switch n := g.IntN(20); {
		case n < 6: // a record that exists
			r := pick(g, records...)
			p.name, p.qtype = r.owner, typeNumber(r.rrtype)
		default:
			p.name = g.near(pick(g, names...))
			p.qtype = g.qtype()
		}
		// a wildcard's own name, or one that it covers
		p.name = strings.ReplaceAll(p.name, `*`, pick(g, `*`, `*`, "star"))
		if g.chance(15) {
			p.name = randomCase(g.Rand, p.name)
		}
		if wireSize(p.name) > 255 {
			continue
		}
		if g.chance(70) {
			p.size = pick[uint16](g, 512, 1232, 1232, 1232, 4096)
			p.do = g.chance(30)
		}
		p.tcp = g.chance(2)
		out = append(out, p)
	}
	return out
}

// near is a name, or one close to it.
func (g *maker) near(name string) string {
	for range 3 {
		switch g.IntN(8) {
		case 0, 1, 2:
			return name
		case 3, 4:
			name = g.label() + "." + name
		case 5:
			if _, up, ok := cutLabel(name); ok && strings.HasSuffix(up, base) {
				name = up
			}
		case 6:
			if _, up, ok := cutLabel(name); ok && strings.HasSuffix(up, base) {
				name = g.label() + "." + up
			}
		case 7:
			if label, up, ok := cutLabel(name); ok && strings.HasSuffix(up, base) {
				name = label + "." + g.label() + "." + up
			}
		}
	}
	return name
}

// cutLabel takes the first label off a name.
func cutLabel(name string) (label, up string, ok bool) {
	at := dns.Split(name)
	if len(at) < 2 {
		return "", "", false
	}
	return name[:at[1]-1], name[at[1]:], true
}

// qtype is a type to ask for.
func (g *maker) qtype() uint16 {
	switch n := g.IntN(20); {
	case n < 8:
		return pick(g, dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX)
	case n < 15:
		return pick(g, dns.TypeNS, dns.TypeSOA, dns.TypeCNAME, dns.TypeDNAME, dns.TypeDS)
	case n < 16:
		return dns.TypeANY
	case n < 17:
		return pick[uint16](g, 65280, 65281, 64999, dns.TypeNULL)
	case n < 18 && g.chance(25):
		return pick(g, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeDNSKEY, dns.TypeCDS)
	}
	return typeNumber(pick(g, plainTypes...))
}

func typeName(t uint16) string { return dns.Type(t).String() }

func typeNumber(name string) uint16 {
	if n, ok := dns.StringToType[name]; ok {
		return n
	}
	var n uint16
	fmt.Sscanf(name, "TYPE%d", &n)
	return n
}

// randomCase puts random letters in upper case (the 0x20 bits).
func randomCase(r *rand.Rand, name string) string {
	if !strings.HasSuffix(name, base) {
		return name
	}
	b := []byte(strings.TrimSuffix(name, base))
	for i, c := range b {
		if c >= 'a' && c <= 'z' && r.IntN(2) == 0 {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b) + base
}
