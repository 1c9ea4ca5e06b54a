package admin

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"leeward/zones"
	"leeward/zones/steer"
)

// Move says where the clients of a region go while its pools are out.
type Move struct {
	From string   `json:"from"`
	To   []string `json:"to"` // regions, by how many orders of pools lead there, most first
}

// Say sums the status up in a few sentences: what is out, since when, who says so, where its clients go, and which
// names fail open. The words are the same wherever a status is shown. However much is wrong, they fit the first lines
// of a terminal: of more than three things of one kind, they give the number and examples.
func (s *Status) Say() string {
	h := headline{Status: s}
	var pools []*Pool
	h.out, pools = s.out()
	h.regions()
	h.pools(pools)
	if n := len(s.FailingOpen); n > 0 {
		verb := "fail open"
		if n == 1 {
			verb = "fails open"
		}
		h.add("%s %s: %s.", counted(n, "name"), verb, some(s.FailingOpen))
	}
	h.denied()
	h.expiry()
	if len(h.sentences) == 0 {
		h.well()
	}
	h.ailing()
	return strings.Join(h.sentences, " ")
}

// headline is a summary under construction.
type headline struct {
	*Status
	out       []string // regions
	sentences []string
}

func (h *headline) add(format string, args ...any) {
	h.sentences = append(h.sentences, fmt.Sprintf(format, args...))
}

// most is how many things of one kind are named one by one.
const most = 3

// regions says which regions are out, and where their clients go.
func (h *headline) regions() {
	h.outages(h.out, len(h.Regions), "region")
	if len(h.out) <= most {
		h.led(h.out)
	}
}

// pools says which pools are out in regions that are not out as a whole.
func (h *headline) pools(pools []*Pool) {
	var out, from []string
	for _, p := range pools {
		out = append(out, p.Pool)
		if !slices.Contains(from, p.Region) {
			from = append(from, p.Region)
		}
	}
	h.outages(out, len(h.Pools), "pool")
	if len(out) <= most {
		h.led(from)
	}
}

// outages says which things of one kind are out. Those that went at about the same time for the same reason
// share a sentence.
func (h *headline) outages(names []string, all int, kind string) {
	var groups []*group
	causes := h.causes(kind, names)
	for i, name := range names {
		c := causes[i]
		if n := slices.IndexFunc(groups, func(g *group) bool { return g.cause.like(c) }); n >= 0 {
			g := groups[n]
			g.names = append(g.names, name)
			if c.since.After(g.cause.since) {
				g.cause.since = c.since // all of them are out since the last one is
			}
			continue
		}
		groups = append(groups, &group{[]string{name}, c})
	}
	if n := len(names); n > most && len(groups) > 1 {
		h.add("%d of %s are out: %s.", n, counted(all, kind), some(names))
		return
	}
	for _, g := range groups {
		why, n := g.cause.words(h.Time), len(g.names)
		switch {
		case n == 1 && kind == "pool":
			h.add("Pool %s is %s.", g.names[0], why)
		case n == 1:
			h.add("%s is %s.", g.names[0], why)
		case n == all && n == 2:
			h.add("Both %ss are %s.", kind, why)
		case n == all:
			h.add("All %s are %s.", counted(n, kind), why)
		case n > most:
			h.add("%d of %s are %s: %s.", n, counted(all, kind), why, some(g.names))
		case kind == "pool":
			h.add("Pools %s are %s.", list(g.names), why)
		default:
			h.add("%s are %s.", list(g.names), why)
		}
	}
}

// group is things that are out for the same reason.
type group struct {
	names []string
	cause cause
}

// denied says which names have no pool for some clients, and how those clients are answered.
func (h *headline) denied() {
	names := map[string][]string{} // by how they are answered
	for _, d := range h.Denied {
		names[d.Says] = append(names[d.Says], d.Policy)
	}
	for _, says := range slices.Sorted(maps.Keys(names)) {
		verb := "say"
		if len(names[says]) == 1 {
			verb = "says"
		}
		h.add("%s %s %s: %s.", counted(len(names[says]), "name"), verb, says, some(names[says]))
	}
}

// led says where the clients of these regions go.
func (h *headline) led(from []string) {
	var texts []string
	for _, m := range h.Moves {
		if slices.Contains(from, m.From) {
			texts = append(texts, m.From+" go to "+list(m.To[:min(most, len(m.To))]))
		}
	}
	switch {
	case len(texts) == 0:
	case len(from) == 1:
		h.add("Its clients %s.", strings.TrimPrefix(texts[0], from[0]+" "))
	default:
		h.add("Clients of %s.", strings.Join(texts, ", those of "))
	}
}

// meant returns the override that takes the target out, or nil if there is none. A region is also taken out by
// overrides of all its pools, and a pool by those of all its endpoints. Then it is the one that ends first.
func (s *Status) meant(target string) *Override {
	for i := range s.Overrides {
		if o := &s.Overrides[i]; o.Target == target && o.State != string(zones.Up) {
			return o
		}
	}
	var first *Override
	for _, part := range s.parts(target) {
		o := s.meant(part)
		if o == nil {
			return nil
		}
		if first == nil || o.Until != nil && (first.Until == nil || o.Until.Before(*first.Until)) {
			first = o
		}
	}
	return first
}

// parts returns the pools of a region and the endpoints of a pool, as overrides name them. It returns none of a pool of
// which no endpoint has an override.
func (s *Status) parts(target string) (parts []string) {
	switch kind, name, _ := strings.Cut(target, "/"); kind {
	case "region":
		for i := range s.Pools {
			if p := &s.Pools[i]; p.Region == name {
				parts = append(parts, "pool/"+p.Pool)
			}
		}
	case "pool":
		within := func(o Override) bool { return strings.HasPrefix(o.Target, "endpoint/"+name+"/") }
		if !slices.ContainsFunc(s.Overrides, within) {
			return nil
		}
		for i := range s.Endpoints {
			if e := &s.Endpoints[i]; e.Pool == name {
				parts = append(parts, "endpoint/"+e.Endpoint)
			}
		}
	}
	return parts
}

// cause is how something is out: by an operator's override, or since when and by whose votes.
type cause struct {
	meant        string // by an override, in words
	since        time.Time
	down, voters int
	reason       string // that most votes give
}

// like reports whether two things are out for the same reason, and since about the same time.
func (c cause) like(o cause) bool {
	apart := c.since.Sub(o.since).Abs()
	c.since, o.since = time.Time{}, time.Time{}
	return c == o && apart <= 30*time.Second
}

// words says the cause: "drained until 03:00 UTC (kernel)", "out since 02:14 UTC (3 of 3 vantages: timeout)".
func (c cause) words(now time.Time) string {
	if c.meant != "" {
		return c.meant
	}
	text := "out"
	if !c.since.IsZero() {
		text += " since " + steer.OnClock(c.since, now.UTC())
	}
	if c.down == 0 {
		return text
	}
	text += fmt.Sprintf(" (%d of %s", c.down, counted(c.voters, "vantage"))
	if c.reason != "" {
		text += ": " + c.reason
	}
	return text + ")"
}

// causes finds out how regions or pools are out. It looks at each endpoint once, however many are out.
func (h *headline) causes(kind string, names []string) []cause {
	type votes struct {
		reasons      map[string]int
		voters, down map[string]bool
	}
	out, of, at := make([]cause, len(names)), make([]votes, len(names)), make(map[string]int, len(names))
	for i, name := range names {
		if o := h.meant(kind + "/" + name); o != nil {
			out[i].meant = h.override(o)
			continue
		}
		at[name], of[i] = i, votes{map[string]int{}, map[string]bool{}, map[string]bool{}}
	}
	for k := range h.Endpoints {
		e := &h.Endpoints[k]
		name := e.Pool
		if kind == "region" {
			name = e.Region
		}
		i, is := at[name]
		if !is {
			continue
		}
		for _, a := range e.Addresses {
			if a.Verdict == "down" && a.Since != nil && a.Since.After(out[i].since) {
				out[i].since = *a.Since // a target is out since its last address is
			}
			for _, v := range a.Votes {
				if v.Counted {
					of[i].voters[v.Vantage] = true
				}
				if v.Counted && v.State == "down" {
					of[i].down[v.Vantage] = true
					of[i].reasons[v.Reason]++
				}
			}
		}
	}
	for i := range out {
		if v := of[i]; len(v.down) > 0 {
			out[i].down, out[i].voters = len(v.down), len(v.voters)
			// A tie goes to the first by name, so that every server says the same.
			out[i].reason = slices.SortedFunc(maps.Keys(v.reasons), func(a, b string) int {
				return cmp.Or(v.reasons[b]-v.reasons[a], strings.Compare(a, b))
			})[0]
		}
	}
	return out
}

// override says how an operator has taken something out.
func (h *headline) override(o *Override) string {
	text := map[string]string{string(zones.Drain): "drained", string(zones.Down): "set down"}[o.State]
	if o.Drill {
		text = "out for a drill"
	}
	if o.Until != nil {
		text += " until " + steer.OnClock(*o.Until, h.Time.UTC())
	}
	if o.Reason != "" {
		text += " (" + o.Reason + ")"
	}
	return text
}

// well says that everything answers, and how many endpoints are down nevertheless.
func (h *headline) well() {
	down := 0
	for i := range h.Endpoints {
		if slices.ContainsFunc(h.Endpoints[i].Addresses, func(a Address) bool { return a.Verdict == "down" }) {
			down++
		}
	}
	what := counted(len(h.Regions), "region")
	if len(h.Regions) == 0 {
		what = counted(len(h.Pools), "pool")
	}
	switch {
	case len(h.Pools) == 0:
		h.add("Nothing is steered: there is no pool.")
	case len(h.Regions) == 1:
		h.add("%s answers", h.Regions[0].Region)
	case len(h.Pools) == 1:
		h.add("Pool %s answers", h.Pools[0].Pool)
	case strings.HasPrefix(what, "2 "):
		h.add("Both %s answer", strings.TrimPrefix(what, "2 "))
	default:
		h.add("All %s answer", what)
	}
	if len(h.Pools) == 0 {
		return
	}
	last := &h.sentences[len(h.sentences)-1]
	if down > 0 {
		verb := "are"
		if down == 1 {
			verb = "is"
		}
		*last += fmt.Sprintf("; %d of %s %s down", down, counted(len(h.Endpoints), "endpoint"), verb)
	}
	*last += "."
}

// counted formats a number of things: "1 name", "3 names".
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// list formats names as a sentence has them: "a", "a and b", "a, b and c".
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// some formats the first few names, and how many more there are.
func some(names []string) string {
	if len(names) <= most {
		return list(names)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most-1], ", "), len(names)-most+1)
}
