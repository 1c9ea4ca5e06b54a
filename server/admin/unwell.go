package admin

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"leeward/zones/steer"
)

// CutOff returns the server that answers if it has lost etcd, or nil. Such a server hears of nobody. That others are
// silent follows from it, and does not say that anything is wrong with them.
func (s *Status) CutOff() *Server {
	for i := range s.Servers {
		v := &s.Servers[i]
		state := v.Source.State
		if v.ID == s.Self && v.Source.Kind == "etcd" && (state == "cut off" || state == "saved copy") {
			return v
		}
	}
	return nil
}

// Over reports whether the pool carries more than its target.
func (p *Pool) Over() bool {
	l := p.LoadStatus
	return l != nil && l.Load.Known && l.Target > 0 && l.Load.Value > l.Target
}

// Overloaded reports whether a problem only says that a pool carries too much, which the pool itself tells.
func (s *Status) Overloaded(p *Problem) bool {
	name, of := strings.CutPrefix(p.Resource, "pools/")
	return of && p.Field == "load" && slices.ContainsFunc(s.Pools, func(p Pool) bool {
		return p.Pool == name && p.Over()
	})
}

// Elsewhere adds the problems that only other servers have to those of the status.
func (s *Status) Elsewhere() {
	type problem struct{ resource, field string }
	known := map[problem]bool{}
	for i := range s.Problems {
		known[problem{s.Problems[i].Resource, s.Problems[i].Field}] = true
	}
	var others []Problem
	who := map[Problem][]string{}
	for _, v := range slices.Concat(s.Servers, s.Signers) {
		if !v.Fresh || v.ID == s.Self {
			continue
		}
		for _, p := range v.ProblemsFirst {
			if known[problem{p.Resource, p.Field}] {
				continue
			}
			if who[p] == nil {
				others = append(others, p)
			}
			who[p] = append(who[p], v.ID)
		}
	}
	for _, p := range others {
		of := who[p]
		p.Message = some(of) + ": " + p.Message
		s.Problems = append(s.Problems, p)
	}
}

// Hurts reports whether clients have it worse than they should: something is out that nobody has taken out, a name has
// no pool for some clients, or signatures have expired. Other faults can wait for the morning.
func (s *Status) Hurts() bool {
	expired := s.Signing != nil && slices.ContainsFunc(s.Signing.List, func(z SignedZone) bool {
		return z.State == SignedExpired
	})
	if expired || len(s.FailingOpen)+len(s.Denied) > 0 {
		return true
	}
	for _, meant := range s.Gone() {
		if !meant {
			return true
		}
	}
	return false
}

// Gone returns the targets that are out, as overrides name them, and whether an operator has taken them out.
func (s *Status) Gone() map[string]bool {
	regions, pools := s.out()
	targets := map[string]bool{}
	for _, name := range regions {
		targets["region/"+name] = s.meant("region/"+name) != nil
	}
	for _, p := range pools {
		targets["pool/"+p.Pool] = s.meant("pool/"+p.Pool) != nil
	}
	return targets
}

// ailing says what else wants attention, so that a summary never sounds as if all were well while something is not. It
// has a sentence for each kind of fault, most of all, and the number of other kinds.
func (h *headline) ailing() {
	before, a := len(h.sentences), h.Ailing()
	h.servers()
	h.vantages(a)
	h.parts(a)
	h.loads(a)
	h.overridden(a)
	h.resources(a)
	h.surroundings(a)
	if more := len(h.sentences) - before - most; more > 0 {
		h.sentences = h.sentences[:before+most]
		h.add("%s of fault: see below.", counted(more, "more kind"))
	}
}

// some says of how many things of a kind something holds, and names them: "1 of 3 servers is not heard of: fra.".
func (h *headline) some(names []string, all int, kind, one, many string) {
	switch n := len(names); {
	case n == 0:
	case all == 1:
		h.add("%s %s.", names[0], one)
	default:
		verb := many
		if n == 1 {
			verb = one
		}
		h.add("%d of %s %s: %s.", n, counted(all, kind), verb, some(names))
	}
}

// few counts things of which something holds, and names them: "1 removal is held back: zones/example.test.".
func (h *headline) few(names []string, kind, one, many string) {
	switch n := len(names); n {
	case 0:
	case 1:
		h.add("1 %s %s: %s.", kind, one, names[0])
	default:
		h.add("%s %s: %s.", counted(n, kind), many, some(names))
	}
}

// servers says which servers do not follow their source, and which are silent.
func (h *headline) servers() {
	var cut, silent, unkept []string
	off := h.CutOff()
	for i := range h.Servers {
		switch v := &h.Servers[i]; {
		case v == off:
		case !v.Fresh && off == nil:
			silent = append(silent, v.ID)
		case v.Fresh && v.Source.State != "following":
			cut = append(cut, v.ID)
		case v.Fresh && v.CopyError != "":
			unkept = append(unkept, v.ID)
		}
	}
	switch {
	case off == nil:
	case off.Source.State == "saved copy":
		h.add("%s has not reached etcd yet, and answers from its copy on disk.", off.ID)
	case off.Source.Since.IsZero():
		h.add("%s is cut off from etcd, and answers from what it knew.", off.ID)
	default:
		h.add("%s is cut off from etcd since %s, and answers from what it knew.", off.ID,
			steer.OnClock(off.Source.Since, h.Time.UTC()))
	}
	if len(cut) == 1 && len(h.Servers) == 1 {
		h.add("%s does not follow its source (%s).", cut[0], h.Servers[0].Source.State)
	} else {
		h.some(cut, len(h.Servers), "server", "does not follow the source", "do not follow the source")
	}
	h.some(silent, len(h.Servers), "server", "is not heard of", "are not heard of")
	h.some(unkept, len(h.Servers), "server", "cannot keep its copy on disk", "cannot keep their copies on disk")
	silent = nil
	for i := range h.Signers {
		if v := &h.Signers[i]; off == nil && (!v.Fresh || v.Source.State != "following" || v.Written.Trouble() != "") {
			silent = append(silent, v.ID)
		}
	}
	h.some(silent, len(h.Signers), "signer", "does not sign", "do not sign")
}

// vantages says which vantages do not vote.
func (h *headline) vantages(a *Status) {
	var names []string
	for i := range a.Vantages {
		v, why := &a.Vantages[i], "blind"
		if !v.Fresh {
			why = "silent"
		}
		names = append(names, v.ID+" ("+why+")")
	}
	h.some(names, len(h.Vantages), "vantage", "does not vote", "do not vote")
}

// parts says which pools are out for one family only, and which hostnames do not resolve.
func (h *headline) parts(a *Status) {
	gone := h.Gone()
	has := func(target string) bool { _, is := gone[target]; return is }
	var names []string
	for i := range a.Pools {
		p := &a.Pools[i]
		if has("pool/"+p.Pool) || has("region/"+p.Region) {
			continue
		}
		for _, f := range []struct {
			name string
			steer.FamilyStatus
		}{{"A", p.IPv4}, {"AAAA", p.IPv6}, {"CNAME", p.Names}} {
			if f.Total > 0 && !f.Available {
				names = append(names, p.Pool+" ("+f.name+")")
				break
			}
		}
	}
	h.few(names, "pool", "is out in part", "are out in part")
	names = nil
	for i := range a.Endpoints {
		if n := a.Endpoints[i].Hostname; n != nil && n.Error != "" {
			names = append(names, n.Name)
		}
	}
	h.few(names, "hostname", "does not resolve", "do not resolve")
}

// loads says which pools carry more than their target, or pass clients on.
func (h *headline) loads(a *Status) {
	var over, passing []string
	for i := range a.Pools {
		p := &a.Pools[i]
		switch l := p.LoadStatus; {
		case l == nil:
		case p.Over():
			over = append(over, p.Pool)
			if l.Keep < 1 {
				over[len(over)-1] += " (passes clients on)"
			}
		case l.Keep < 1 && p.Override == "":
			passing = append(passing, p.Pool)
		}
	}
	h.few(over, "pool", "is over its target", "are over their target")
	h.few(passing, "pool", "passes some of its clients on", "pass some of their clients on")
}

// overridden says which overrides are in force that the outages do not tell.
func (h *headline) overridden(a *Status) {
	told := h.Gone()
	for i := range h.Pools { // these overrides are why their region is out
		if p := &h.Pools[i]; told["region/"+p.Region] {
			told["pool/"+p.Pool] = true
		}
	}
	for i := range h.Endpoints { // and these their pool
		if e := &h.Endpoints[i]; told["pool/"+e.Pool] {
			told["endpoint/"+e.Endpoint] = true
		}
	}
	var names []string
	add := func(target, state string) {
		if !told[target] {
			names = append(names, target+" ("+state+")")
		}
		told[target] = true
	}
	for i := range h.Overrides {
		add(h.Overrides[i].Target, h.Overrides[i].State)
	}
	for i := range a.Pools {
		if p := &a.Pools[i]; p.Override != "" && !told["region/"+p.Region] {
			add("pool/"+p.Pool, p.Override)
		}
	}
	for i := range a.Endpoints {
		if e := &a.Endpoints[i]; e.Override != "" && !told["region/"+e.Region] && !told["pool/"+e.Pool] {
			add("endpoint/"+e.Endpoint, e.Override)
		}
	}
	h.few(names, "override", "is in force", "are in force")
}

// resources says which resources are not in service as they were written.
func (h *headline) resources(a *Status) {
	faulty := map[string]bool{}
	for i := range a.Problems {
		if p := &a.Problems[i]; !h.Overloaded(p) { // that is told already
			faulty[p.Resource] = true
		}
	}
	h.few(slices.Sorted(maps.Keys(faulty)), "resource", "has a problem", "have problems")
	var held []string
	for i := range a.Held {
		held = append(held, a.Held[i].Resource)
	}
	h.few(held, "removal", "is held back", "are held back")
	held = nil
	for i := range h.Servers { // what is gone from etcd may be in all their answers
		if v := &h.Servers[i]; len(a.Held) == 0 && v.Fresh && v.Held > 0 && v.ID != h.Self {
			held = append(held, v.ID)
		}
	}
	h.some(held, len(h.Servers), "server", "holds removals back", "hold removals back")
}

// surroundings says what is wrong with all that a server works with.
func (h *headline) surroundings(a *Status) {
	var names []string
	for i := range a.Watches {
		names = append(names, a.Watches[i].Watch)
	}
	if len(names) > 0 {
		h.add("etcd says nothing of %s.", list(names))
	}
	if a.Database != nil {
		h.add("etcd's database: %s.", a.Database.Problem)
	}
	names = nil
	for i := range a.Geo {
		names = append(names, a.Geo[i].File)
	}
	h.few(names, "location database", "cannot be read", "cannot be read")
	names = nil
	for i := range a.Secondaries {
		names = append(names, fmt.Sprintf("%s of %s", a.Secondaries[i].Server, a.Secondaries[i].Zone))
	}
	h.few(names, "notification", "has no answer", "have no answer")
	names = nil
	for i := range a.Following {
		names = append(names, a.Following[i].Zone)
	}
	h.few(names, "zone", "is not current at its primary", "are not current at their primaries")
	if a.Signing == nil {
		return
	}
	names = nil
	for i := range a.Signing.List {
		if z := &a.Signing.List[i]; z.State != SignedExpired && z.State != SignedNear { // these are told
			names = append(names, z.Zone)
		}
	}
	h.few(names, "zone", "has no new signatures", "have no new signatures")
	if a.Signing.KeptError != "" {
		h.add("Signatures cannot be kept on disk.")
	}
}
