package screen

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"leeward/server/admin"
	"leeward/server/answer"
	"leeward/zones/steer"
)

// status lays out what is known in tables.
type status struct{ *admin.Status }

// Status writes the status for people: one table each for servers, vantages, regions, pools and endpoints, then what is
// wrong. Tables with nothing in them are left out.
func Status(w io.Writer, of *admin.Status, colour bool) error {
	s := status{of}
	tables := []struct {
		title string
		table *Table
	}{
		{"", s.servers()},
		{"Servers that cannot do all they should", s.failing()},
		{"", s.watches()},
		{"", s.database()},
		{"", s.vantages()},
		{"", s.regions()},
		{"", s.pools()},
		{"", s.loads()},
		{"", s.endpoints()},
		{"", s.failover()},
		{"", s.overrides()},
		{"", s.planned()},
		{"", s.geo()},
		{"", s.secondaries()},
		{"", s.following()},
		{"Problems: what is wrong with the newest version, and which one is in service", s.problems()},
		{"Held back: `leeward accept` lets these go", s.held()},
	}
	first := true
	if of.Headline != "" {
		fmt.Fprintln(w, Paint(Printable(of.Headline), Bold, colour))
		first = false
	}
	for _, t := range tables {
		if len(t.table.Rows) == 0 {
			continue
		}
		if !first {
			fmt.Fprintln(w)
		}
		first = false
		if t.title != "" {
			fmt.Fprintln(w, Paint(t.title, Red, colour))
		}
		if err := t.table.Write(w, colour); err != nil {
			return err
		}
	}
	if first {
		_, err := fmt.Fprintln(w, "nothing here yet: no server, no resource")
		return err
	}
	return nil
}

func (s status) servers() *Table {
	t := &Table{Heads: []string{"SERVER", "REGION", "REVISION", "SOURCE", "SNAPSHOT", "PROBLEMS", "HELD", "LISTEN", "ADMIN", "VERSION"}}
	for _, v := range s.Servers {
		source, c := v.Source.State, Green
		if v.Source.State != "following" {
			c = Red
			if !v.Source.Since.IsZero() {
				source += " for " + admin.Age(s.Time.Sub(v.Source.Since).Seconds())
			}
		}
		name := Cell{v.ID, Bold}
		if v.ID == s.Self {
			name.Text += " *"
		}
		if v.NoProbe {
			name.Text += " (no probes)"
		}
		age := Cell{admin.Age(v.SnapshotAgeSeconds), Plain}
		if !v.Fresh {
			name.Colour, age = Red, Cell{"not heard of", Red}
		}
		if v.CopyError != "" {
			age = Cell{age.Text + ", not kept", Red}
		}
		t.Add(name, Cell{Text: v.Region}, Cell{Text: strconv.FormatInt(v.Revision, 10)}, Cell{source, c}, age,
			count(v.Problems), count(v.Held), Cell{Text: strings.Join(v.Listen, " ")}, Cell{Text: v.Admin}, Cell{v.Version, Grey})
	}
	return t
}

// failing says what is wrong with servers' sources and copies. Those of which the same is wrong share a line.
func (s status) failing() *Table {
	t := &Table{}
	var texts []string
	who := map[string][]string{}
	note := func(id, text string) {
		if who[text] == nil {
			texts = append(texts, text)
		}
		who[text] = append(who[text], id)
	}
	for _, v := range s.Servers {
		if v.Source.Error != "" {
			note(v.ID, v.Source.Error)
		}
		if v.CopyError != "" {
			note(v.ID, "the copy on disk is not kept: "+v.CopyError)
		}
	}
	for _, text := range texts {
		t.Add(Cell{strings.Join(who[text], ", "), Bold}, Cell{Text: text})
	}
	return t
}

// database tells how much of etcd's quota is taken.
func (s status) database() *Table {
	t := &Table{Heads: []string{"ETCD'S DATABASE", "IN USE", "QUOTA", ""}}
	if d := s.Database; d != nil {
		c := Green
		if d.Problem != "" {
			c = Red
		}
		t.Add(Cell{mebibytes(d.Bytes), c}, Cell{Text: mebibytes(d.UsedBytes)}, Cell{Text: mebibytes(d.QuotaBytes)}, Cell{d.Problem, c})
	}
	return t
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// lagging is how long a watch may say nothing before it is shown as late: it is asked about once a second, and given up
// after a few.
const lagging = 3

// watches tells how old what is known of etcd may be, and what counts although it is not fresh.
func (s status) watches() *Table {
	t := &Table{Heads: []string{"WATCH ON", "LAG", "STALE VOTES", "STALE VERDICTS", "UNWATCHED"}}
	for _, w := range s.Watches {
		l := Cell{admin.Age(w.LagSeconds), Green}
		if w.LagSeconds >= lagging {
			l.Colour = Red
		}
		row := []Cell{{Text: w.Watch}, l}
		if w.Watch == "reports" {
			row = append(row, count(s.StaleVotes), count(s.StaleVerdicts), count(s.Unwatched))
		}
		t.Add(row...)
	}
	return t
}

// failover tells how long failovers took.
func (s status) failover() *Table {
	t := &Table{Heads: []string{"FAILOVER", "TO", "ADDRESSES", "LAST", "MEAN", "WORST"}}
	for _, p := range s.Failover {
		t.Add(Cell{p.Phase, Bold}, verdict(p.To), Cell{Text: strconv.Itoa(p.Count)}, Cell{Text: Took(p.LastSeconds)},
			Cell{Text: Took(p.MeanSeconds)}, Cell{Text: Took(p.WorstSeconds)})
	}
	return t
}

// vantages lists those that are no servers, and any that does not vote.
func (s status) vantages() *Table {
	t := &Table{Heads: []string{"VANTAGE", "REGION", "STATE", "REPORTS", "MOVED"}}
	for _, v := range s.Vantages {
		if v.Server && v.Fresh && !v.Blind {
			continue
		}
		state := Cell{"votes", Green}
		switch {
		case !v.Fresh:
			state = Cell{"stale", Red}
		case len(v.BlindTo) > 0:
			state = Cell{"blind to " + strings.Join(v.BlindTo, ", ") + ", abstains", Yellow}
		case v.Blind:
			state = Cell{"blind, abstains", Yellow}
		}
		if v.Reason != "" {
			state.Text += ": " + v.Reason
		}
		t.Add(Cell{v.ID, Bold}, Cell{Text: v.Region}, state, Cell{Text: strconv.Itoa(v.Reports)}, Cell{Text: admin.Age(v.AgeSeconds) + " ago"})
	}
	return t
}

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

// loads tells what pools carry against what they can, of those that say.
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

func (s status) endpoints() *Table {
	t := &Table{Heads: []string{"ENDPOINT", "WEIGHT", "ADDRESS", "VERDICT", "FOR", "VOTES"}}
	for _, e := range s.Endpoints {
		name, weight := Cell{e.Endpoint, Bold}, Cell{Text: strconv.Itoa(e.Weight)}
		if e.Override != "" {
			weight = Cell{weight.Text + " " + e.Override, Yellow}
		}
		if h := e.Hostname; h != nil {
			text, c := h.Name, Plain
			switch {
			case h.Gone:
				text, c = h.Name+" is gone and counts as down: "+h.Error, Red
			case h.Error != "" && h.FailingSince != nil:
				text, c = fmt.Sprintf("%s does not resolve for %s: %s", h.Name, admin.Age(s.Time.Sub(*h.FailingSince).Seconds()), h.Error), Red
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
			for i, v := range a.Votes {
				row = append(row, vote(v, len(a.Chosen) > 0 && !slices.Contains(a.Chosen, v.Vantage), i < len(a.Votes)-1))
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

// vote is a cell of a vote; beside: its vantage is not one of those that are to probe the address.
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

// silent returns the vantages that are to probe the address and have said nothing of it.
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
			left = admin.Age(o.Until.Sub(s.Time).Seconds())
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

// planned tells what is to come of overrides, and of shifts what is now and what is to come.
func (s status) planned() *Table {
	t := &Table{Heads: []string{"PLANNED", ""}}
	for _, o := range s.Planned {
		text := "from " + steer.OnClock(*o.From, s.Time.UTC())
		if o.Until != nil {
			text += " until " + steer.OnClock(*o.Until, s.Time.UTC())
		}
		text += ", in " + admin.Age(o.From.Sub(s.Time).Seconds())
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

func (s status) geo() *Table {
	t := &Table{Heads: []string{"GEO DATABASE", "TYPE", "BUILT", "NETWORKS", ""}}
	for _, g := range s.Geo {
		built := ""
		if !g.Built.IsZero() {
			built = g.Built.UTC().Format(time.DateOnly)
		}
		t.Add(Cell{Text: g.File}, Cell{Text: g.Type}, Cell{Text: built}, Cell{Text: strconv.Itoa(g.Networks)}, Cell{g.Error, Red})
	}
	return t
}

func (s status) secondaries() *Table {
	t := &Table{Heads: []string{"ZONE", "SECONDARY", "SERIAL", "TOLD"}}
	for _, x := range s.Secondaries {
		told := Cell{admin.Age(s.Time.Sub(x.Since).Seconds()) + " ago", Green}
		switch {
		case x.Pending:
			told = Cell{"no answer yet", Yellow}
		case x.Error != "":
			told = Cell{x.Error, Red}
		}
		t.Add(Cell{x.Zone, Bold}, Cell{Text: x.Server}, Cell{Text: strconv.FormatUint(uint64(x.Serial), 10)}, told)
	}
	return t
}

func (s status) following() *Table {
	t := &Table{Heads: []string{"ZONE", "PRIMARY", "SERIAL", "RECORDS", "STATE", "CHECKED", "EXPIRES", ""}}
	for _, x := range s.Following {
		state, colour := x.State, map[string]Colour{"current": Green, "failing": Yellow, "expired": Red, "waiting": Yellow}[x.State]
		if x.Refreshing {
			state += ", refreshing"
		}
		primary, serial, checked, expires := strings.Join(x.Primaries, ", "), "", "never", ""
		if x.From != "" {
			primary = x.From
		}
		if x.Expires != nil {
			serial, expires = strconv.FormatUint(uint64(x.Serial), 10), "in "+admin.Age(x.Expires.Sub(s.Time).Seconds())
			if !x.Expires.After(s.Time) {
				expires = admin.Age(s.Time.Sub(*x.Expires).Seconds()) + " ago"
			}
		}
		if x.Checked != nil {
			checked = admin.Age(s.Time.Sub(*x.Checked).Seconds()) + " ago"
		}
		t.Add(Cell{x.Zone, Bold}, Cell{Text: primary}, Cell{Text: serial}, Cell{Text: strconv.Itoa(x.Records)}, Cell{state, colour},
			Cell{Text: checked}, Cell{Text: expires}, Cell{x.Error, Red})
	}
	return t
}

func (s status) problems() *Table {
	t := &Table{Heads: []string{"RESOURCE", "IN SERVICE", "WHAT IS WRONG"}}
	for _, p := range s.Problems {
		where := p.Resource
		if p.File != "" {
			where = fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Resource)
		}
		if p.Field != "" {
			where += " " + p.Field
		}
		t.Add(Cell{where, Bold}, Cell{Text: p.InService}, Cell{Text: p.Message})
	}
	return t
}

func (s status) held() *Table {
	t := &Table{}
	for _, h := range s.Held {
		t.Add(Cell{h.Resource, Bold}, Cell{Text: h.Why})
	}
	return t
}

func stateColour(state string) Colour {
	switch state {
	case "up":
		return Green
	case "down":
		return Red
	}
	return Grey
}

func verdict(state string) Cell { return Cell{state, stateColour(state)} }

func word(override string) Cell { return Cell{override, Yellow} }

func family(f steer.FamilyStatus) Cell {
	switch {
	case f.Available:
		return Cell{"yes", Green}
	case f.Total > 0:
		return Cell{"out", Red}
	}
	return Cell{"-", Grey}
}

// why says what keeps the pool out of answers, once where it is the same for both families.
func why(p *admin.Pool) string {
	var parts []string
	for _, f := range []struct {
		name string
		steer.FamilyStatus
	}{{"A", p.IPv4}, {"AAAA", p.IPv6}} {
		if f.Available || f.Total == 0 {
			continue
		}
		if len(parts) > 0 && p.IPv4.Why == p.IPv6.Why {
			return p.IPv4.Why
		}
		parts = append(parts, f.name+": "+f.Why)
	}
	return strings.Join(parts, "; ")
}

func part(n, of int) Cell {
	c := Green
	switch {
	case n == 0 && of > 0:
		c = Red
	case n < of:
		c = Yellow
	}
	return Cell{fmt.Sprintf("%d/%d", n, of), c}
}

func count(n int) Cell {
	if n == 0 {
		return Cell{"0", Grey}
	}
	return Cell{strconv.Itoa(n), Red}
}

// Explanation writes, for people, why a client gets an answer.
func Explanation(w io.Writer, e *answer.Explanation, colour bool) error {
	for _, s := range e.Text {
		fmt.Fprintln(w, Printable(s))
	}
	fmt.Fprintln(w)
	for _, section := range []struct {
		title   string
		records []string
	}{{"answer", e.Answer}, {"authority", e.Authority}} {
		for _, r := range section.records {
			fmt.Fprintf(w, "%-10s %s\n", section.title, Paint(Printable(r), Green, colour))
		}
	}
	if len(e.Answer)+len(e.Authority) == 0 {
		fmt.Fprintf(w, "%-10s %s\n", "answer", Paint("none: "+e.Outcome, Yellow, colour))
	}
	for _, p := range e.Problems {
		fmt.Fprintf(w, "%-10s %s\n", "problem", Paint(Printable(p), Yellow, colour))
	}
	_, err := fmt.Fprintf(w, "%-10s /%d of %s\n%-10s %d\n", "ECS scope", e.Scope, e.Client, "revision", e.Revision)
	return err
}
