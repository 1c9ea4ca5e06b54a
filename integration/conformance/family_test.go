//go:build linux

package conformance

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// record is one line of a master file. Names in it are absolute.
type record struct {
	owner, rrtype, data string
	ttl                 int
}

func (r record) String() string {
	return fmt.Sprintf("%s %d IN %s %s", r.owner, r.ttl, r.rrtype, r.data)
}

// zoneText is a zone: its SOA, the NS of its apex, then all else.
type zoneText struct {
	origin  string // absolute
	records []record
}

// family is some related zones, and the questions about them. All their names end in its base. So many families live in
// one server without meeting, and many variants of one family can live there while it is shrunk.
type family struct {
	zones  []zoneText
	probes []probe
}

// base is the end of a family's names when it is made. named gives the family a base of its own, of the same length.
const base = "x00000.test."

func (w *family) rebased(n int) *family {
	to := fmt.Sprintf("x%05d.test.", n)
	return w.renamed(func(s string) string { return strings.ReplaceAll(s, base, to) })
}

// based undoes rebased.
func (w *family) based() *family { return w.renamed(toBase) }

var anyBase = regexp.MustCompile(`x[0-9]{5}\.test\.`)

func toBase(s string) string { return anyBase.ReplaceAllString(s, base) }

func (w *family) renamed(in func(string) string) *family {
	out := &family{}
	for _, z := range w.zones {
		records := make([]record, len(z.records))
		for i, r := range z.records {
			records[i] = record{in(r.owner), r.rrtype, in(r.data), r.ttl}
		}
		out.zones = append(out.zones, zoneText{in(z.origin), records})
	}
	for _, p := range w.probes {
		p.name = in(p.name)
		out.probes = append(out.probes, p)
	}
	return out
}

// files adds the family's master files by origin without the final dot.
func (w *family) files(to map[string]string) {
	for _, z := range w.zones {
		to[strings.TrimSuffix(z.origin, ".")] = z.text()
	}
}

func (z *zoneText) text() string {
	var b strings.Builder
	for _, r := range z.records {
		fmt.Fprintln(&b, r)
	}
	return b.String()
}

// makeFamily makes a family of one to four zones with the given generator.
func makeFamily(r *rand.Rand) *family {
	g := &maker{Rand: r}
	g.origins = []string{base}
	if g.chance(60) {
		g.origins = append(g.origins, "child."+base)
	}
	if g.chance(25) {
		// with and without a zone between
		g.origins = append(g.origins, pick(g, "deep.child.", "a.b.c.", "x.dn.", "d.")+base)
	}
	if g.chance(30) {
		g.origins = append(g.origins, "other."+pick(g, "b.", "")+base)
	}
	g.origins = unique(g.origins)
	w := &family{}
	for _, o := range g.origins {
		w.zones = append(w.zones, g.zone(o))
	}
	validTogether(w.zones)
	w.probes = g.ask(w)
	return w
}

// maker makes families.
type maker struct {
	*rand.Rand
	origins []string
	zoneOf  string // the origin of the zone that is being made
	known   []string
	out     []record
}

func (g *maker) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *maker, from ...T) T { return from[g.IntN(len(from))] }

func unique(names []string) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// label is one label: mostly one of a few, so that names meet, and now and then an odd one.
func (g *maker) label() string {
	if g.chance(85) {
		return pick(g, "a", "b", "c", "d", "www", "ns", "mail", "dn", "_tcp", "e")
	}
	return pick(g, "A", "Www", "*", `a\.b`, `\000z`, `sp\032ace`, `\255`, `q\"uote`, `se\;mi`, `back\\slash`, `at\@`,
		"xn--bcher-kva", "1", "-", strings.Repeat("l", 63), `\*`)
}

// name is a name in the zone that is being made: a known one, one close to it, or a new one.
func (g *maker) name() string {
	switch n := g.IntN(10); {
	case n < 4 && len(g.known) > 0:
		return pick(g, g.known...)
	case n < 6 && len(g.known) > 0:
		return g.under(pick(g, g.known...))
	}
	name := g.zoneOf
	for range 1 + g.IntN(3) {
		name = g.under(name)
	}
	return name
}

// under is a name one label below, if there is room.
func (g *maker) under(name string) string {
	if n := g.label() + "." + name; wireSize(n) <= 240 {
		return n
	}
	return name
}

// wireSize is a name's size in wire form.
func wireSize(name string) int {
	var buf [512]byte
	n, err := dns.PackDomainName(name, buf[:], 0, nil, false)
	if err != nil {
		return 1000
	}
	return n
}

// canonical is a name in lower case, with escapes only where they are needed.
func canonical(name string) string {
	var buf [512]byte
	n, err := dns.PackDomainName(name, buf[:], 0, nil, false)
	if err != nil {
		return strings.ToLower(name)
	}
	text, _, err := dns.UnpackDomainName(buf[:n], 0)
	if err != nil {
		return strings.ToLower(name)
	}
	return strings.ToLower(text)
}

// target is a name for RDATA: mostly in the zone, or else in another zone of this family, or nobody's.
func (g *maker) target() string {
	switch n := g.IntN(20); {
	case n < 13:
		return g.name()
	case n < 17:
		o := pick(g, g.origins...)
		return pick(g, o, g.label()+"."+o, "ns1."+o, "www."+o, g.label()+"."+g.label()+"."+o)
	case n < 18:
		return g.zoneOf
	}
	return pick(g, "www.outside.invalid.", "test.", "nowhere.test.", ".")
}

func (g *maker) add(owner string, ttl int, rrtype, data string) {
	g.known = append(g.known, owner)
	g.out = append(g.out, record{owner, rrtype, data, ttl})
}

func (g *maker) ttl() int { return pick(g, 0, 1, 60, 300, 300, 3600, 86400) }

// plainTypes are the types of names that are not special.
var plainTypes = []string{
	"A", "A", "AAAA", "TXT", "MX", "SRV", "CAA", "PTR", "TYPE65280", "HINFO", "SVCB", "HTTPS",
	"NAPTR", "SSHFP", "TLSA", "RP", "LOC",
}

// data is RDATA of a type.
func (g *maker) data(rrtype string) string {
	switch rrtype {
	case "A":
		return fmt.Sprintf("192.0.2.%d", g.IntN(256))
	case "AAAA":
		return fmt.Sprintf("2001:db8::%x", 1+g.IntN(1<<16-1))
	case "TXT":
		return pick(g, `"plain"`, `"MiXed" "two strings"`, `"\000\255\"\\"`, `""`, `"`+
			strings.Repeat("t", 1+g.IntN(250))+`"`)
	case "MX":
		return fmt.Sprintf("%d %s", g.IntN(100), g.target())
	case "SRV":
		return fmt.Sprintf("%d %d %d %s", g.IntN(3), g.IntN(100), g.IntN(65536), g.target())
	case "CAA":
		return pick(g, `0 issue "ca.test"`, `128 iodef "mailto:a@ca.test"`)
	case "PTR":
		return g.target()
	case "MINFO":
		return g.target() + " " + g.target()
	case "TYPE65280":
		return pick(g, `\# 0`, `\# 3 aB00Ff`, `\# 17 000102030405060708090a0b0c0d0e0f10`)
	case "HINFO":
		return `"Cpu" "Os"`
	case "SVCB", "HTTPS":
		if g.chance(30) {
			return "0 " + g.target()
		}
		return fmt.Sprintf("%d %s", 1+g.IntN(3), pick(g, ".", g.target())) +
			pick(g, "", " alpn=h2,h3", " port=8443 ipv4hint=192.0.2.1", " key65400=odd")
	case "NAPTR":
		return `100 10 "S" "SIP+D2U" "" ` + g.target()
	case "SSHFP":
		return "1 1 123456789abcdef67890123456789abcdef67890"
	case "TLSA":
		return "3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971"
	case "RP":
		return "admin." + g.zoneOf + " " + g.target()
	case "LOC":
		return "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m"
	case "DS":
		return fmt.Sprintf("%d 13 2 %064x", g.IntN(65536), g.Uint64())
	}
	panic("no data for type " + rrtype)
}

// set adds an RRset of one to a few records.
func (g *maker) set(owner, rrtype string) {
	ttl := g.ttl()
	for range pick(g, 1, 1, 2, 3) {
		g.add(owner, ttl, rrtype, g.data(rrtype))
	}
}

// zone makes a zone that all four servers accept.
func (g *maker) zone(origin string) zoneText {
	g.zoneOf, g.known, g.out = origin, []string{origin}, nil
	ttl := g.ttl()
	soa := record{
		origin, "SOA",
		fmt.Sprintf("ns1.%s host\\.master.%s %d %d 900 86400 %d", origin, origin, 1+g.IntN(1<<31),
			pick(g, 3600, 3600, 0), pick(g, 0, 1, 30, 300, 3600)), g.ttl(),
	}
	servers := []string{"ns1." + origin}
	for range g.IntN(3) {
		servers = append(servers, g.target())
	}
	g.out = append(g.out, soa)
	for _, s := range unique(servers) {
		if s != "." && s != "test." && !strings.HasPrefix(s, "*.") {
			g.add(origin, ttl, "NS", strings.ToLower(s))
		}
	}
	if g.chance(4) { // at the apex: the zone has nothing else
		g.add(origin, g.ttl(), "DNAME", g.target())
	}
	if g.chance(85) {
		g.set("ns1."+origin, "A")
	}
	for _, o := range g.origins { // the cut to a zone of ours, mostly
		if o != origin && strings.HasSuffix(o, "."+origin) && g.chance(75) {
			g.cut(o, "ns1."+o)
		}
	}
	for range 3 + g.IntN(10) {
		g.item()
	}
	return zoneText{origin, valid(origin, g.out)}
}

// item adds one corner case.
func (g *maker) item() {
	switch g.IntN(15) {
	case 0, 1:
		g.set(g.name(), pick(g, plainTypes...))
	case 2:
		owner := g.name()
		for range 2 + g.IntN(3) {
			g.set(owner, pick(g, plainTypes...))
		}
	case 3:
		g.set("*."+g.name(), pick(g, plainTypes...))
	case 4:
		g.add("*."+g.name(), g.ttl(), "CNAME", g.target())
	case 5, 6: // chains and loops come from few names
		owner := g.name()
		for range 1 + g.IntN(4) {
			next := g.target()
			g.add(owner, g.ttl(), "CNAME", next)
			if owner = next; !strings.HasSuffix(owner, g.zoneOf) {
				break
			}
		}
	case 7:
		owner := g.name()
		if g.chance(5) {
			owner = "*." + owner
		}
		g.add(owner, g.ttl(), "DNAME", g.target())
		if g.chance(40) {
			g.set(owner, pick(g, plainTypes...))
		}
	case 8, 9:
		g.cut(g.name(), "")
	case 10: // an empty non-terminal or two
		owner := g.under(g.under(g.name()))
		g.set(owner, pick(g, plainTypes...))
	case 11: // near 512 or 1232 octets
		owner, ttl := pick(g, g.name(), "*."+g.name()), g.ttl()
		rrtype := pick(g, "A", "AAAA", "TXT", "MX", "MX", "PTR", "MINFO")
		size := map[string]int{
			"A": 16, "AAAA": 28, "TXT": 100, "MX": pick(g, 20, 30), "PTR": pick(g, 16, 24),
			"MINFO": 24,
		}[rrtype]
		// what they end in
		far := g.label() + "." + pick(g, "pool.outside.invalid.", "outside.invalid.", "A.Pool.Outside.invalid.")
		for range (pick(g, 420, 1140)+g.IntN(100))/size + g.IntN(3) {
			data := g.data(rrtype)
			if rrtype == "MX" { // Knot 3.2.6 loops for ever if a wildcard covers many targets
				data = fmt.Sprintf("%d %s", g.IntN(1000), pick(g, g.zoneOf, "www.outside.invalid.", g.label()+"."+far))
			}
			if rrtype == "PTR" {
				data = pick(g, fmt.Sprintf("h%d.", g.IntN(1000)), g.label()+".", "") + far
			}
			if rrtype == "MINFO" {
				data = fmt.Sprintf("h%d.%s %s", g.IntN(1000), far, pick(g, g.zoneOf, far, "."))
			}
			if rrtype == "TXT" {
				data = fmt.Sprintf(`"%0*d"`, size-13, g.IntN(1e9))
			}
			g.add(owner, ttl, rrtype, data)
		}
	case 12: // a star in the middle of a name
		g.set(g.label()+".*."+g.name(), pick(g, plainTypes...))
	case 13:
		if g.chance(40) {
			g.crowd()
		}
	case 14: // a long name, and a DNAME that makes it longer
		long := strings.Repeat("m", 60)
		owner := fmt.Sprintf("%s.%[1]s.%[1]s.", long) + g.zoneOf
		if wireSize(owner) <= 240 {
			g.add("long."+g.zoneOf, g.ttl(), "DNAME", owner)
			if g.chance(50) {
				g.set(pick(g, "a.", "*.")+owner, "A")
			}
		}
	}
}

// crowd delegates a name to many servers whose names end alike. Nothing else comes below it, and all of them have
// addresses, because Knot 3.2.6 loops for ever if a wildcard covers many targets, or if many do not exist.
func (g *maker) crowd() {
	at, ttl := "crowd."+g.zoneOf, g.ttl()
	if slices.ContainsFunc(g.out, func(r record) bool { return r.owner == at }) {
		return
	}
	end := pick(g, "ns."+at, at, "dns.outside.invalid.", "Ns.outside.invalid.")
	for i := range 10 + g.IntN(40) {
		ns := fmt.Sprintf("s%d.%s%s", i, pick(g, "", "", "x."), end)
		g.out = append(g.out, record{at, "NS", ns, ttl})
		if strings.HasSuffix(ns, at) {
			g.out = append(g.out, record{ns, "A", g.data("A"), 300})
		}
	}
}

// cut delegates a name; ns is one of its servers if it is not empty.
func (g *maker) cut(at, ns string) {
	ttl := g.ttl()
	if ns != "" {
		g.add(at, ttl, "NS", ns)
	}
	for range 1 + g.IntN(2) {
		ns = pick(g, "ns."+at, "a.ns."+at, at, g.target(), g.target())
		g.add(at, ttl, "NS", ns)
	}
	for _, r := range slices.Clone(g.out) { // glue of this cut, and what sits below others
		if r.rrtype == "NS" && strings.HasSuffix(r.data, g.zoneOf) && g.chance(40) {
			g.set(r.data, pick(g, "A", "AAAA"))
		}
	}
	if g.chance(30) {
		g.set(at, "DS")
	}
	if g.chance(25) { // occluded: below the cut and not glue
		g.set(g.under(at), pick(g, plainTypes...))
	}
	if g.chance(15) {
		g.add(g.under(at), g.ttl(), pick(g, "CNAME", "NS"), g.target())
	}
	if g.chance(15) {
		g.set("*."+at, pick(g, plainTypes...))
	}
	if g.chance(10) {
		g.set(at, pick(g, "A", "TXT"))
	}
}

// validTogether removes what is refused because of another zone: NSD has one tree for all zones, and accepts no name
// below a DNAME.
func validTogether(zones []zoneText) {
	var owners []string
	for _, z := range zones {
		owners = append(owners, z.origin)
		for _, r := range z.records {
			owners = append(owners, canonical(r.owner))
		}
	}
	owners = unique(owners)
	for i, z := range zones {
		zones[i].records = slices.DeleteFunc(z.records, func(r record) bool {
			above := "." + canonical(r.owner)
			return r.rrtype == "DNAME" && slices.ContainsFunc(owners, func(o string) bool {
				return strings.HasSuffix(o, above)
			})
		})
	}
}

// valid removes what some server refuses: a CNAME beside other types, two CNAMEs or DNAMEs, names below a DNAME, NS
// beside a DNAME, the root as a server's name, duplicate records, several TTLs in a set, DS where there is no cut, and
// data outside of the zone. If the name of an NS of the apex is in the zone, it gets an address there.
func valid(origin string, all []record) []record {
	key := canonical
	types := make(map[string]map[string]int) // owner, type: TTL
	dnames := make(map[string]bool)
	seen := make(map[string]bool)
	size := make(map[string]int) // of an RRset, records
	var out []record
	for _, r := range all {
		owner := key(r.owner)
		mine := types[owner]
		_, cname := mine["CNAME"]
		_, dname := mine["DNAME"]
		_, ns := mine["NS"]
		ttl, there := mine[r.rrtype]
		under := false
		for d := range dnames {
			under = under || strings.HasSuffix(owner, "."+d)
		}
		covers := false
		if r.rrtype == "DNAME" {
			for o := range types {
				covers = covers || strings.HasSuffix(o, "."+owner)
			}
		}
		switch {
		case owner != origin && !strings.HasSuffix(owner, "."+origin),
			under, covers, cname,
			r.rrtype == "CNAME" && len(mine) > 0,
			r.rrtype == "DNAME" && (dname || (ns && owner != origin)),
			r.rrtype == "NS" && (dname && owner != origin || r.data == "." || strings.HasPrefix(owner, "*.")),
			r.rrtype == "DS" && (owner == origin || !ns),
			wireSize(r.owner) > 255:
			continue
		}
		if there {
			r.ttl = ttl
		}
		line := owner + " " + r.rrtype + " " + r.data
		if r.rrtype != "TXT" {
			line = strings.ToLower(line)
		}
		if set := owner + " " + r.rrtype; seen[line] || size[set] == 100 { // BIND's max-records-per-type
			continue
		} else {
			size[set]++
		}
		seen[line] = true
		if mine == nil {
			types[owner] = make(map[string]int)
		}
		types[owner][r.rrtype] = r.ttl
		if r.rrtype == "DNAME" {
			dnames[owner] = true
		}
		out = append(out, r)
	}
	// BIND takes the records of a name that an earlier NS named for that NS's glue, and then refuses a DS there.
	out = slices.DeleteFunc(out, func(r record) bool {
		return r.rrtype == "DS" && slices.ContainsFunc(out, func(ns record) bool {
			return ns.rrtype == "NS" && canonical(ns.owner) != canonical(r.owner) &&
				canonical(ns.data) == canonical(r.owner)
		})
	})
	servers := 0
	out = slices.DeleteFunc(out, func(r record) bool {
		if r.rrtype != "NS" || canonical(r.owner) != origin {
			return false
		}
		ns := canonical(r.data)
		if ns == origin || strings.HasSuffix(ns, "."+origin) {
			_, four := types[ns]["A"]
			_, six := types[ns]["AAAA"]
			if !four && !six {
				return true
			}
		}
		servers++
		return false
	})
	if servers == 0 {
		out = slices.Insert(out, 1, record{origin, "NS", "ns.outside.invalid.", types[origin]["SOA"]})
	}
	return out
}
