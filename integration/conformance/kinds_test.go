//go:build linux

package conformance

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// The kinds of disagreement among BIND, NSD and Knot, as docs/dns.md names them.
const (
	kindANY        = "ANY"
	kindMeta       = "RRSIG or NSEC asked for"
	kindTruncation = "truncation"
	kindLoop       = "alias loop"
	kindLong       = "long alias chain"
	kindAcross     = "alias into another zone"
	kindYX         = "name too long after DNAME"
	kindStarDNAME  = "DNAME at a wildcard"
	kindSOATTL     = "SOA asked for, negative answer"
	kindOneTree    = "names that are in another zone"
	kindGlue       = "glue of a cut at a name server's name, or too much glue"
)

// kindOf names the way in which BIND, NSD and Knot disagree. An unknown way gets a name made of the fields and servers.
func kindOf(w *family, p probe, r [servers]*reply) string {
	three := r[bind:servers]
	any := func(holds func(*reply) bool) bool { return slices.ContainsFunc(three, holds) }
	var fields []string
	for _, pair := range [][2]int{{bind, nsd}, {bind, knot}, {nsd, knot}} {
		fields = append(fields, differences(r[pair[0]], r[pair[1]])...)
	}
	fields = unique(fields)
	aliased := any(func(r *reply) bool { return len(r.links()) > 0 })
	apart := func(i int) bool { // the other two of the three agree
		rest := slices.DeleteFunc([]int{bind, nsd, knot}, func(j int) bool { return i == j })
		return len(differences(r[rest[0]], r[rest[1]])) == 0
	}
	switch {
	case p.qtype == dns.TypeANY:
		return kindANY
	case (p.qtype == dns.TypeRRSIG || p.qtype == dns.TypeNSEC) && (aliased || len(r[nsd].links()) > 0):
		return kindMeta
	case any(func(r *reply) bool { return r.rcode == dns.RcodeYXDomain }):
		return kindYX
	case any((*reply).loops):
		return kindLoop
	case any(func(r *reply) bool { return len(r.links()) >= 4 }):
		return kindLong
	case any(func(r *reply) bool { return r.tc }):
		return kindTruncation
	case any(func(r *reply) bool { return w.leaves(r, p.qtype == dns.TypeDS) }):
		return kindAcross
	case any(func(r *reply) bool {
		return strings.Contains("\n"+strings.Join(r.answer, "\n"), "\n*.") && r.hasDNAME()
	}) || w.wildDNAME(p.name):
		return kindStarDNAME
	case p.qtype == dns.TypeSOA && r[bind].rcode != dns.RcodeServerFailure &&
		strings.Contains(strings.Join(r[bind].authority, ""), " 0 in soa "):
		return kindSOATTL
	case apart(nsd) && w.crowded(w.authority(p)):
		return kindOneTree
	}
	if slices.Equal(fields, []string{fieldGlue}) {
		return kindGlue
	}
	return strings.Join(fields, "+") + ": " + groups(r)
}

// links are the CNAMEs of the answer, owner to target.
func (r *reply) links() map[string]string {
	out := make(map[string]string)
	for _, line := range r.answer {
		if f := strings.Fields(line); len(f) == 5 && f[3] == "cname" {
			out[f[0]] = f[4]
		}
	}
	return out
}

func (r *reply) hasDNAME() bool {
	return slices.ContainsFunc(r.answer, func(line string) bool { return strings.Contains(line, " in dname ") })
}

// loops says whether the answer's CNAMEs lead back to an earlier name.
func (r *reply) loops() bool {
	links := r.links()
	for from := range links {
		to := from
		for range len(links) {
			next, ok := links[to]
			if !ok {
				break
			}
			if to = next; to == from {
				return true
			}
		}
	}
	return false
}

// zoneOf is the closest origin above a name, "" if there is none.
func (w *family) zoneOf(name string) string {
	closest := ""
	for _, z := range w.zones {
		if within := name == z.origin || strings.HasSuffix(name, "."+z.origin); within && len(z.origin) > len(closest) {
			closest = z.origin
		}
	}
	return closest
}

// leaves says whether a CNAME of the answer leads from one of our zones into another. The DS of an apex belongs to the
// zone above.
func (w *family) leaves(r *reply, ds bool) bool {
	for from, to := range r.links() {
		if z := w.zoneOf(to); z != "" && (z != w.zoneOf(from) || ds && z == to) {
			return true
		}
	}
	return false
}

// wildDNAME says whether a DNAME at a wildcard is above the name, or covers it.
func (w *family) wildDNAME(name string) bool {
	name = canonical(name)
	for _, z := range w.zones {
		for _, r := range z.records {
			owner := canonical(r.owner)
			if r.rrtype == "DNAME" && strings.HasPrefix(owner, "*.") && strings.HasSuffix(name, owner[1:]) {
				return true
			}
		}
	}
	return false
}

// authority is a name in the zone that answers a probe. For the DS of a zone that is its parent.
func (w *family) authority(p probe) string {
	name := canonical(p.name)
	if _, up, ok := cutLabel(name); ok && p.qtype == dns.TypeDS && w.zoneOf(name) == name {
		return up
	}
	return name
}

// crowded says whether the zone of a name has names of other zones below its apex: hidden owners, or names in RDATA.
func (w *family) crowded(name string) bool {
	zone := w.zoneOf(canonical(name))
	if zone == "" {
		return false
	}
	for _, z := range w.zones {
		for _, r := range z.records {
			if z.origin != zone && strings.HasSuffix(canonical(r.owner), "."+zone) {
				return true
			}
			for _, f := range strings.Fields(r.data) {
				if strings.HasSuffix(canonical(f), "."+zone) && z.origin != zone {
					return true
				}
			}
		}
	}
	return false
}
