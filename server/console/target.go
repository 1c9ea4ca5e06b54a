package console

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"leeward/server/admin"
	"leeward/zones/steer"
)

// targeted is the screen of a region, a pool or an endpoint.
type targeted struct {
	Kind, Name string
	Headline   string // about the target only
	State      string
	Cases      []trouble
	Up         []link // what it is part of
	Pools      poolTable
	Course     *coursed // of its pools; nil: it is an endpoint, or nobody records the course
	Share      *portion // of this server's answers; nil: nothing is counted
	Matrix     *matrix
	Policies   []link // those that use its pools
	More       int    // number of policies that are not listed
	Overrides  []word
	Planned    []word
	WhatIf     string // the screen that forecasts its loss; "": there is none
	Drain      string // the command that takes it out; "": it is out, or there is no command
}

// target returns the function that makes the screen of one kind of target.
func (c *console) target(kind string) func(*http.Request, *admin.Status) (string, any, error) {
	return func(r *http.Request, s *admin.Status) (string, any, error) {
		name := r.PathValue("name")
		from, err := pageOf(r)
		if err != nil {
			return "", nil, err
		}
		of, err := s.Narrow(kind+"/"+name, nil)
		if err != nil {
			return "", nil, &missing{fmt.Sprintf("There is no %s %q.", kind, name)}
		}
		t := &targeted{Kind: kind, Name: name, Headline: of.Headline, State: "up", Cases: c.cases(of)}
		for _, x := range t.Cases {
			if t.State != "out" && x.State != "note" {
				t.State = x.State
			}
		}
		t.Overrides, t.Planned = c.overrides(of)
		if !c.Files && !slices.ContainsFunc(of.Overrides, func(o admin.Override) bool {
			return o.Target == kind+"/"+name
		}) {
			t.Drain = command("leeward", "drain", kind+"/"+name, "--for", "1h", "--reason", "why")
		}
		if c.Simulate != nil {
			t.WhatIf = "/simulate?" + url.Values{"gone": {kind + "/" + name}}.Encode()
		}
		shares := c.shares(s)
		rows := poolRows(of.Pools, shares)
		if kind != "region" && len(of.Pools) > 0 {
			t.Up = append(t.Up, link{To: "/region/" + of.Pools[0].Region, Text: "region " + of.Pools[0].Region})
		}
		if kind == "endpoint" {
			t.Up = append(t.Up, link{To: "/pool/" + of.Pools[0].Pool, Text: "pool " + of.Pools[0].Pool})
		} else {
			t.Pools, t.Course = rows, c.courses(of.Pools)
		}
		if kind == "region" && shares != nil {
			p := shares.region(s.Pools, name)
			t.Share = &p
		}
		t.Matrix = votes(of, from, kind == "endpoint")
		t.Policies, t.More = c.using(of.Pools)
		return name, t, nil
	}
}

// poolRow is one pool in a table.
type poolRow struct {
	*admin.Pool
	State, Words string
	Load, Target string // "": not known
	Keeps        string
	Share        *portion // of this server's answers; nil: nothing is counted
}

// poolTable is a table of pools. It leaves out columns that are empty in all rows.
type poolTable []poolRow

// Loads reports whether any pool has a load or a capacity.
func (t poolTable) Loads() bool {
	return slices.ContainsFunc(t, func(r poolRow) bool { return r.Load != "" || r.Target != "" || r.Keeps != "" })
}

func poolRows(pools []admin.Pool, shares *shares) (rows poolTable) {
	for i := range pools {
		p := &pools[i]
		row := poolRow{Pool: p}
		if shares != nil {
			x := shares.of(p.Pool)
			row.Share = &x
		}
		row.State, row.Words = poolState(p)
		if l := p.LoadStatus; l != nil {
			if l.Load.Known {
				row.Load = admin.Figure(l.Load.Value)
			}
			if l.Target > 0 {
				row.Target = admin.Figure(l.Target)
			}
			row.Keeps = fmt.Sprintf("%.0f %%", 100*l.Keep)
		}
		rows = append(rows, row)
	}
	return rows
}

// poolState returns the state of a pool, as a shape and in words.
func poolState(p *admin.Pool) (state, words string) {
	var out []string
	in, whys := 0, map[string]bool{}
	for _, f := range []struct {
		name string
		steer.FamilyStatus
	}{{"A", p.IPv4}, {"AAAA", p.IPv6}, {"CNAME", p.Names}} {
		switch {
		case f.Available:
			in++
		case f.Total > 0:
			out = append(out, f.name+": "+f.Why)
			whys[f.Why] = true
		}
	}
	why := strings.Join(out, "; ")
	if len(whys) == 1 && in == 0 { // the same of all that it has
		_, why, _ = strings.Cut(out[0], ": ")
	}
	switch {
	case p.Override == "drain" || p.Override == "down":
		return "drained", map[string]string{"drain": "drained", "down": "set down"}[p.Override]
	case in+len(out) == 0:
		return "empty", "no endpoint"
	case in == 0:
		return "out", "out; " + why
	case len(out) > 0:
		return "part", "answers in part; " + why
	case p.Over():
		return "part", "answers; over its target"
	case p.Healthy < p.Total:
		return "part", "answers"
	}
	return "up", "answers"
}

// matrix shows which vantage says what about which address.
type matrix struct {
	Vantages []string
	Rows     []addressRow
	Single   bool // for one endpoint: cells also show each vote's reason and age
	Pager
}

// addressRow is one address of an endpoint.
type addressRow struct {
	Endpoint, Short string
	Address         string
	State, Words    string // of the verdict
	Note            string // override, hostname, no monitor
	Weight          int
	Cells           []voteCell // by vantage
}

// voteCell is what one vantage says about one address.
type voteCell struct {
	State  string // "up", "out", "part" (held, blind or stale), "empty" (nothing)
	Short  string
	Long   string // with the reason, and for how long
	Counts bool
}

// votes lists the addresses of endpoints, and what each vantage says about them.
func votes(s *admin.Status, from int, single bool) *matrix {
	m := &matrix{Single: single}
	seen := map[string]bool{}
	total := 0
	for i := range s.Endpoints {
		total += max(1, len(s.Endpoints[i].Addresses))
		for _, a := range s.Endpoints[i].Addresses {
			for _, v := range a.Votes {
				seen[v.Vantage] = true
			}
			for _, v := range a.Chosen {
				seen[v] = true
			}
		}
	}
	for v := range seen {
		m.Vantages = append(m.Vantages, v)
	}
	slices.Sort(m.Vantages)
	m.Pager = pager(from, total)
	at := 0
	take := func() bool { at++; return at > m.From && at <= m.To }
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		short := strings.TrimPrefix(e.Endpoint, e.Pool+"/")
		row := addressRow{Endpoint: e.Endpoint, Short: short, Weight: e.Weight, Note: endpointNote(s, e)}
		if len(e.Addresses) == 0 && take() {
			row.State, row.Words, row.Address = "empty", "not resolved yet", "–"
			row.Cells = make([]voteCell, len(m.Vantages))
			m.Rows = append(m.Rows, row)
		}
		for k := range e.Addresses {
			if !take() {
				continue
			}
			a := &e.Addresses[k]
			row.Address, row.Words, row.Cells = a.Address.String(), verdictWords(s, a), nil
			row.State = map[string]string{"up": "up", "down": "out"}[a.Verdict]
			if row.State == "" {
				row.State, row.Words = "empty", "nobody has said anything yet: counts as up"
			}
			for _, vantage := range m.Vantages {
				row.Cells = append(row.Cells, cell(a, vantage))
			}
			m.Rows = append(m.Rows, row)
		}
	}
	return m
}

func endpointNote(s *admin.Status, e *admin.Endpoint) string {
	var notes []string
	if e.Override != "" {
		notes = append(notes, map[string]string{"drain": "drained", "down": "set down", "up": "held up"}[e.Override])
	}
	if h := e.Hostname; h != nil {
		notes = append(notes, h.Name)
		if h.Error != "" && h.FailingSince != nil {
			notes = append(notes, "does not resolve since "+since(*h.FailingSince, s.Time)+": "+h.Error)
		}
	}
	if e.Monitor == "" {
		notes = append(notes, "no monitor: counts as up")
	}
	return strings.Join(notes, "; ")
}

// cell returns what a vantage says about an address.
func cell(a *admin.Address, vantage string) voteCell {
	i := slices.IndexFunc(a.Votes, func(v admin.Vote) bool { return v.Vantage == vantage })
	if i < 0 {
		if slices.Contains(a.Chosen, vantage) {
			return voteCell{State: "empty", Short: "nothing yet", Long: "it should probe this address and has " +
				"not reported yet"}
		}
		return voteCell{}
	}
	v := &a.Votes[i]
	c := voteCell{Short: v.State, Long: v.Reason, Counts: v.Counted}
	c.State = map[string]string{"up": "up", "down": "out"}[v.State]
	if c.State == "" {
		c.State = "empty"
	}
	switch {
	case v.Blind:
		c.State, c.Short = "part", v.State+", blind"
	case !v.Fresh:
		c.State, c.Short = "part", v.State+", stale"
	case v.Held != nil:
		c.State, c.Short = "part", "up, held until "+v.Held.UTC().Format("15:04:05")
	case !v.Counted && v.State != "unknown":
		c.Short = v.State + ", beside the chosen"
	}
	age := "reported " + admin.Age(v.AgeSeconds) + " ago"
	if c.Long == "" {
		c.Long = age
	} else {
		c.Long += "; " + age
	}
	return c
}

// Pager says which part of a list a page shows.
type Pager struct {
	From, To, Total int // From is counted from 0
	Before, After   string
	Query           string // of a searched list
}

// With returns the parameters for the part that begins at from.
func (p Pager) With(from string) template.URL {
	v := url.Values{"from": {from}}
	if p.Query != "" {
		v.Set("q", p.Query)
	}
	return template.URL(v.Encode())
}

// perPage is how many rows a page has, so that it stays small however long the list is.
const perPage = 100

func pager(from, total int) Pager {
	p := Pager{From: min(from, total), Total: total}
	p.To = min(p.From+perPage, total)
	if p.From > 0 {
		p.Before = strconv.Itoa(max(0, p.From-perPage))
	}
	if p.To < total {
		p.After = strconv.Itoa(p.To)
	}
	return p
}

// pageOf reads the parameter from. known are the other parameters of the screen; each may be given once.
func pageOf(r *http.Request, known ...string) (int, error) {
	v := r.URL.Query()
	for name, values := range v {
		if name != "from" && !slices.Contains(known, name) || len(values) > 1 {
			return 0, wrong("The parameter %q is not known here, or given twice.", name)
		}
	}
	text := v.Get("from")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, wrong("from=%s: write a number from 0.", text)
	}
	return n, nil
}
