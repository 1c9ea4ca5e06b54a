package screen

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"leeward/server/admin"
	"leeward/zones/steer"
)

func (s status) regions() *Table {
	t := &Table{Heads: []string{"REGION", "POOLS", "ENDPOINTS UP", "OVERRIDE"}}
	for _, r := range s.Regions {
		t.Add(Cell{r.Region, Bold}, part(r.Available, r.Pools), part(r.Healthy, r.Endpoints), word(r.Override))
	}
	return t
}

func (s status) pools() *Table {
	t := &Table{Heads: []string{"POOL", "REGION", "A", "AAAA", "UP", "MONITOR", "OVERRIDE", "WHY"}}
	named := slices.ContainsFunc(s.Pools, func(p admin.Pool) bool { return p.Names.Total > 0 })
	if named {
		t.Heads = slices.Insert(t.Heads, 4, "CNAME")
	}
	for _, p := range s.Pools {
		monitor := Cell{Text: p.Monitor}
		if p.Monitor == "" {
			monitor = Cell{"none", Grey}
		}
		row := []Cell{
			{p.Pool, Bold},
			{Text: p.Region},
			family(p.IPv4), family(p.IPv6),
			part(p.Healthy, p.Total), monitor, word(p.Override),
			{why(&p), Grey},
		}
		if named {
			row = slices.Insert(row, 4, family(p.Names))
		}
		t.Add(row...)
	}
	return t
}

// loads compares what pools carry to their capacity, for pools with a load or a capacity.
func (s status) loads() *Table {
	t := &Table{Heads: []string{"POOL", "LOAD", "OFFERED", "TARGET", "MAX", "KEEPS", "WARM", "ENDPOINTS WANTED"}}
	for i := range s.Pools {
		p := &s.Pools[i]
		l := p.LoadStatus
		if l == nil {
			continue
		}
		share := func(f float64) Cell {
			if f >= 1 {
				return Cell{"all", Green}
			}
			return Cell{fmt.Sprintf("%.0f %%", 100*f), Yellow}
		}
		load, offered := Cell{Text: "?"}, Cell{Text: "?"}
		if l.Load.Known {
			load.Text = admin.Figure(l.Load.Value)
			switch {
			case l.Max > 0 && l.Load.Value > l.Max:
				load.Colour = Red
			case l.Target > 0 && l.Load.Value > l.Target:
				load.Colour = Yellow
			}
		}
		if l.Offered.Known {
			offered.Text = admin.Figure(l.Offered.Value)
		}
		of := func(f float64) Cell {
			if f == 0 {
				return Cell{"-", Grey}
			}
			return Cell{Text: admin.Figure(f)}
		}
		wanted := Cell{"-", Grey}
		if l.Wanted > 0 {
			wanted = Cell{Text: fmt.Sprintf("%d of %d", l.Wanted, p.Total)}
			if l.Wanted > p.Total {
				wanted.Colour = Yellow
			}
		}
		t.Add(Cell{p.Pool, Bold}, load, offered, of(l.Target), of(l.Max), share(l.Keep), share(l.Warmth), wanted)
	}
	return t
}

// endpoints lists endpoints by address. In the wide form each vantage's vote has a cell; else the votes are counted.
func (s status) endpoints(wide bool) *Table {
	t := &Table{Heads: []string{"ENDPOINT", "WEIGHT", "ADDRESS", "VERDICT", "FOR", "VOTES"}}
	if !wide {
		t.Heads = []string{"ENDPOINT", "OVERRIDE", "ADDRESS", "VERDICT", "FOR", "WHO SAYS SO"}
		if !slices.ContainsFunc(s.Endpoints, func(e admin.Endpoint) bool { return e.Override != "" }) {
			defer t.drop(1)
		}
	}
	for _, e := range s.Endpoints {
		name, weight := Cell{e.Endpoint, Bold}, Cell{Text: strconv.Itoa(e.Weight)}
		switch {
		case !wide:
			weight = word(e.Override)
		case e.Override != "":
			weight = Cell{weight.Text + " " + e.Override, Yellow}
		}
		if h := e.Hostname; h != nil {
			text, c := h.Name, Plain
			switch {
			case h.Gone:
				text, c = h.Name+" is gone and counts as down: "+h.Error, Red
			case h.Error != "" && h.FailingSince != nil:
				text, c = fmt.Sprintf("%s does not resolve for %s: %s", h.Name,
					admin.Age(s.Time.Sub(*h.FailingSince).Seconds()), h.Error), Red
			case len(e.Addresses) == 0:
				text, c = h.Name+" is not resolved yet", Yellow
			}
			t.Add(name, weight, Cell{text, c})
			name, weight = Cell{}, Cell{}
		}
		for _, a := range e.Addresses {
			age := ""
			if a.Since != nil {
				age = admin.Age(s.Time.Sub(*a.Since).Seconds())
			}
			row := []Cell{name, weight, {Text: a.Address.String()}, verdict(a.Verdict), {Text: age}}
			if !wide {
				says := Cell{Text: a.Says()}
				if e.Monitor == "" {
					says = Cell{"no monitor: counts as up", Grey}
				}
				t.Add(append(row, says)...)
				name, weight = Cell{}, Cell{}
				continue
			}
			for i, v := range a.Votes {
				row = append(row, vote(v, len(a.Chosen) > 0 && !slices.Contains(a.Chosen, v.Vantage),
					i < len(a.Votes)-1))
			}
			if silent := silent(a); len(silent) > 0 {
				row = append(row, Cell{"nothing yet from " + strings.Join(silent, ", "), Grey})
			}
			if e.Monitor == "" {
				row = append(row, Cell{"no monitor: counts as up", Grey})
			}
			t.Add(row...)
			name, weight = Cell{}, Cell{}
		}
	}
	return t
}

// vote returns the cell of a vote. beside says that its vantage was not chosen to probe the address.
func vote(v admin.Vote, beside, more bool) Cell {
	text, c := v.Vantage+" "+v.State, stateColour(v.State)
	reason := v.Reason
	if v.Held != nil {
		reason = "up again, held until " + v.Held.UTC().Format(time.TimeOnly)
	}
	if reason != "" {
		text += " (" + reason + ")"
	}
	if v.Blind {
		text, c = text+" [blind]", Yellow
	}
	switch {
	case !v.Fresh:
		text, c = text+" [stale "+admin.Age(v.AgeSeconds)+"]", Grey
	case beside && !v.Counted && !v.Blind && v.State != "unknown":
		text, c = text+" [beside the chosen]", Grey
	}
	if more {
		text += ","
	}
	return Cell{text, c}
}

// silent returns the vantages that were chosen to probe the address but have not reported on it.
func silent(a admin.Address) []string {
	return slices.DeleteFunc(slices.Clone(a.Chosen), func(name string) bool {
		return slices.ContainsFunc(a.Votes, func(v admin.Vote) bool { return v.Vantage == name })
	})
}

func (s status) overrides() *Table {
	t := &Table{Heads: []string{"OVERRIDE", "STATE", "LEFT", "REASON"}}
	for _, o := range s.Overrides {
		left := "until restored"
		if o.Until != nil {
			left = admin.Age(admin.Between(s.Time, *o.Until))
		}
		state := o.State
		if o.Drill {
			state = "drill"
		}
		if o.Level != nil {
			state += fmt.Sprintf(" (%.0f %% left)", *o.Level*100)
		}
		t.Add(Cell{o.Target, Bold}, word(state), Cell{Text: left}, Cell{Text: o.Reason})
	}
	return t
}

// planned lists overrides that begin later, and shifts that last or begin later.
func (s status) planned() *Table {
	t := &Table{Heads: []string{"PLANNED", ""}}
	for _, o := range s.Planned {
		text := "from " + steer.OnClock(*o.From, s.Time.UTC())
		if o.Until != nil {
			text += " until " + steer.OnClock(*o.Until, s.Time.UTC())
		}
		text += ", in " + admin.Age(admin.Between(s.Time, *o.From))
		if o.Reason != "" {
			text += " (" + o.Reason + ")"
		}
		t.Add(Cell{o.State + " of " + o.Target, Yellow}, Cell{Text: text})
	}
	for _, x := range s.Shifts {
		t.Add(Cell{x.Policy, Bold}, Cell{Text: x.Text})
	}
	return t
}
