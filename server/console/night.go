package console

import (
	"fmt"
	"net/http"
	"slices"

	"leeward/server/admin"
	"leeward/server/history"
	"leeward/zones/steer"
)

// nightly is what the first screen shows below its summary.
type nightly struct {
	Cases     []trouble
	More      int // number of cases that are not shown
	Map       *chart
	Regions   regionTable
	Trust     []trust
	Overrides []word
	Planned   []word
	Phases    []admin.Phase
	Past      *pastList // the last events; nil: nobody records them
}

// night makes the first screen: what is broken, who says so, who gets what instead, and what to do.
func (c *console) night(r *http.Request, s *admin.Status) (string, any, error) {
	n := &nightly{Regions: c.regions(s), Trust: trusts(s), Phases: s.Failover}
	n.Map = draw(n.Regions)
	n.Cases = c.cases(s)
	if more := len(n.Cases) - mostCases; more > 0 {
		n.Cases, n.More = n.Cases[:mostCases], more
	}
	n.Overrides, n.Planned = c.overrides(s)
	if c.History != nil {
		n.Past = &pastList{Now: s.Time}
		c.read(r, history.Query{But: history.Vote, Limit: lastEvents}, n.Past)
		for i := range n.Past.Events { // an event's first link is what it is about
			e := &n.Past.Events[i]
			e.Links = e.Links[:min(len(e.Links), 1)]
		}
	}
	title := "All is well"
	switch {
	case onlyMeant(s):
		title = "Taken out by operators"
	case s.Hurts():
		title = "Something is out"
	case s.Wrong():
		title = "Something is wrong"
	}
	return title, n, nil
}

func (n *nightly) means() (all []meaning) {
	for _, t := range n.Trust {
		all = append(all, meaning{t.What, t.Explanation})
	}
	return all
}

// mostCases is how many things that are wrong a screen shows one by one.
const mostCases = 40

// onlyMeant reports whether nothing is wrong except what operators have taken out on purpose.
func onlyMeant(s *admin.Status) bool {
	if len(s.Overrides) == 0 {
		return false
	}
	rest := *s
	rest.Regions, rest.Pools, rest.Endpoints = slices.Clone(s.Regions), slices.Clone(s.Pools), slices.Clone(s.Endpoints)
	taken := map[string]bool{}
	for _, o := range s.Overrides {
		taken[o.Target] = true
	}
	rest.Endpoints = slices.DeleteFunc(rest.Endpoints, func(e admin.Endpoint) bool { return e.Override != "" })
	rest.Pools = slices.DeleteFunc(rest.Pools, func(p admin.Pool) bool {
		return p.Override != "" || taken["region/"+p.Region]
	})
	return s.Wrong() && !rest.Wrong()
}

// regionRow is one region in a table and on the map.
type regionRow struct {
	admin.Region
	State string // "up", "part", "out" or "drained"
	Words string // the same in words
	Load  string // its pools' load as a share of their target; "": not known
	To    []string
	Share *portion // of this server's answers; nil: nothing is counted
}

// regionTable is a table of regions. It leaves out columns that are empty in all rows.
type regionTable []regionRow

// Loads reports whether any region's load is known.
func (t regionTable) Loads() bool {
	return slices.ContainsFunc(t, func(r regionRow) bool { return r.Load != "" })
}

func (c *console) regions(s *admin.Status) (rows regionTable) {
	shares := c.shares(s)
	load, target, over := map[string]float64{}, map[string]float64{}, map[string]bool{}
	for i := range s.Pools {
		over[s.Pools[i].Region] = over[s.Pools[i].Region] || s.Pools[i].Over()
		if p := &s.Pools[i]; p.LoadStatus != nil && p.Load.Known && p.Target > 0 {
			load[p.Region] += p.Load.Value
			target[p.Region] += p.Target
		}
	}
	moved := map[string][]string{}
	for _, m := range s.Moves {
		moved[m.From] = m.To
	}
	for _, r := range s.Regions {
		row := regionRow{Region: r, To: moved[r.Region]}
		if row.State, row.Words = regionState(&r); row.State == "up" && over[r.Region] {
			row.State, row.Words = "part", "answers; over its target"
		}
		if shares != nil {
			p := shares.region(s.Pools, r.Region)
			row.Share = &p
		}
		if target[r.Region] > 0 {
			row.Load = fmt.Sprintf("%.0f %%", 100*load[r.Region]/target[r.Region])
		}
		rows = append(rows, row)
	}
	return rows
}

// regionState returns the state of a region, as a shape and in words.
func regionState(r *admin.Region) (state, words string) {
	switch {
	case r.Override == "drain" || r.Override == "down":
		return "drained", map[string]string{"drain": "drained", "down": "set down"}[r.Override]
	case r.Pools == 0:
		return "empty", "no pool"
	case r.Available == 0:
		return "out", "out"
	case r.Available < r.Pools:
		return "part", fmt.Sprintf("%d of %d pools answer", r.Available, r.Pools)
	case r.Healthy < r.Endpoints:
		return "part", fmt.Sprintf("answers; %d of %d endpoints up", r.Healthy, r.Endpoints)
	}
	return "up", "answers"
}

// word is an operator's override.
type word struct {
	Target, Link string
	Text         string // what, until when, why
	Do           string // the command that takes it back
}

func (c *console) overrides(s *admin.Status) (now, planned []word) {
	say := func(o *admin.Override, text string) word {
		if o.Drill {
			text += " for a drill"
		}
		if o.Level != nil {
			text += fmt.Sprintf(", %.0f %% of its clients left", *o.Level*100)
		}
		if o.Until != nil {
			text += " until " + steer.OnClock(*o.Until, s.Time.UTC())
		} else {
			text += " until somebody restores it"
		}
		if o.Reason != "" {
			text += ": " + o.Reason
		}
		return word{Target: o.Target, Link: "/" + o.Target, Text: text, Do: c.restore(o.Target)}
	}
	verbs := map[string]string{"drain": "drained", "down": "set down", "up": "held up"}
	for i := range s.Overrides {
		o := &s.Overrides[i]
		now = append(now, say(o, verbs[o.State]))
	}
	for i := range s.Planned {
		o := &s.Planned[i]
		planned = append(planned, say(o, "is to be "+verbs[o.State]+" from "+steer.OnClock(*o.From, s.Time.UTC())))
	}
	for _, x := range s.Shifts {
		planned = append(planned, word{Target: x.Policy, Link: "/policy/" + x.Policy, Text: x.Text})
	}
	return now, planned
}

// restore returns the command that takes an override back, or "" if the resources are files.
func (c *console) restore(target string) string {
	if c.Files {
		return ""
	}
	return command("leeward", "restore", target)
}

// ask returns a leeward command that this process answers.
func (c *console) ask(words ...string) string {
	if to := c.address(c.Admin); to != "" && to != "http://127.0.0.1:8053" {
		words = append(words, "--admin", to)
	}
	return command(append([]string{"leeward"}, words...)...)
}
