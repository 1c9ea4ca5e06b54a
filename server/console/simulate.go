package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"leeward/health"
	"leeward/server/admin"
	"leeward/zones/steer"
)

// Supposed is the situation that a forecast is made for.
type Supposed struct {
	Gone    []string           // targets that are out, written as overrides name them
	Drained bool               // they are drained; otherwise they are down
	Surge   map[string]float64 // by region: factor for the clients whose first choice it is
	At      time.Time          // zero: now
}

// simulation is the form, and the result.
type simulation struct {
	Gone, How, Surge, At string // as they were typed
	Targets              []string
	Wrong                string // with the question
	Of                   *steer.Forecast
	Servers              string // those that counted the clients; "": none did
	What                 string // the situation in words
	Verdict              string // the result in one sentence
	State                string // its shape
	Doubts               []string
	Loads                bool // the load of some pool is known
	Regions              []foreseenRow
	Pools                []foreseenRow
	More                 int // number of pools that are not listed
	Command              string
	Time                 time.Time // when it was worked out
}

// still reports that the page does not refresh by itself: it shows the answer to one question.
func (*simulation) still() bool { return true }

// foreseenRow is what a pool or a region gets now, and what it would get.
type foreseenRow struct {
	Name, Link, Region string
	Now, Then          string // queries per second
	Share, ShareThen   string
	Load, LoadThen     string // "–": not known
	Error              string
	Target, Max, Keeps string
	State, Words       string
}

// mostGone is how many targets one simulation may take out, and simulateMost how long it may take.
const (
	mostGone     = 20
	simulateMost = 10 * time.Second
)

func (c *console) simulate(r *http.Request, s *admin.Status) (string, any, error) {
	if _, err := pageOf(r, "gone", "how", "surge", "at"); err != nil {
		return "", nil, err
	}
	v := r.URL.Query()
	out := &simulation{
		Gone: strings.TrimSpace(v.Get("gone")), How: v.Get("how"), Surge: strings.TrimSpace(v.Get("surge")),
		At: strings.TrimSpace(v.Get("at")), Time: s.Time,
	}
	for _, region := range s.Regions {
		out.Targets = append(out.Targets, "region/"+region.Region)
	}
	for _, p := range s.Pools[:min(len(s.Pools), perPage)] {
		out.Targets = append(out.Targets, "pool/"+p.Pool)
	}
	const title = "What if?"
	if out.Gone == "" && out.Surge == "" && out.At == "" {
		return title, out, nil
	}
	q, err := out.question(s.Time)
	if err == nil {
		err = c.foresee(r, q, out)
	}
	var busy *busyError
	if errors.As(err, &busy) {
		return "", nil, err
	}
	if err != nil {
		out.Wrong = err.Error()
	}
	return title, out, nil
}

// question reads the form.
func (x *simulation) question(now time.Time) (q Supposed, err error) {
	fields := func(text string) []string {
		return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	}
	for _, target := range fields(x.Gone) {
		kind, name, _ := strings.Cut(target, "/")
		if !slices.Contains([]string{"region", "pool", "endpoint"}, kind) || name == "" {
			return q, fmt.Errorf("%q is no target; write region/REGION, pool/POOL or endpoint/POOL/ENDPOINT", target)
		}
		q.Gone = append(q.Gone, target)
	}
	if len(q.Gone) > mostGone {
		return q, fmt.Errorf("%d targets are too many; write %d at most", len(q.Gone), mostGone)
	}
	switch x.How {
	case "", "down":
	case "drained":
		q.Drained = true
	default:
		return q, fmt.Errorf("how=%s: write down or drained", x.How)
	}
	for _, text := range fields(x.Surge) {
		region, factor, ok := strings.Cut(text, "=")
		by, err := health.ParseNumber(strings.TrimSuffix(factor, "x"))
		if !ok || region == "" || err != nil || !(by >= 0 && by <= 1000) {
			return q, fmt.Errorf("%q is no surge; write REGION=3x, from 0x to 1000x", text)
		}
		if q.Surge == nil {
			q.Surge = map[string]float64{}
		}
		q.Surge[region] = by
	}
	if x.At == "" {
		return q, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", time.RFC3339} { // browsers' fields write the first form
		if q.At, err = time.Parse(layout, x.At); err == nil {
			break
		}
	}
	switch year := 366 * 24 * time.Hour; {
	case err != nil:
		return q, fmt.Errorf("%q is no time; write it as 2026-12-24T18:00, in UTC", x.At)
	case q.At.Before(now.Add(-time.Minute)) || q.At.After(now.Add(year)):
		return q, fmt.Errorf("%s: write a time to come, within a year", x.At)
	}
	return q, nil
}

// foresee has the forecast made, and puts it into words.
func (c *console) foresee(r *http.Request, q Supposed, out *simulation) error {
	leave, err := c.turn(r, c.turns.enter)
	if err != nil {
		return err
	}
	defer leave()
	ctx, stop := context.WithTimeoutCause(r.Context(), simulateMost,
		fmt.Errorf("it was not worked out within %v; leeward simulate does it on another machine", simulateMost))
	defer stop()
	f, servers, err := c.Simulate(ctx, q)
	if err != nil {
		return err
	}
	out.Of, out.Servers, out.Doubts = f, listed(servers, 4), f.Doubts
	out.What = q.words()
	out.word(f)
	words := []string{"simulate"}
	if len(q.Gone) > 0 && !q.Drained {
		words = append(words, "--down", strings.Join(q.Gone, ","))
	}
	if q.Surge != nil {
		words = append(words, "--surge", strings.Join(strings.FieldsFunc(out.Surge, func(r rune) bool {
			return r == ',' || r == ' '
		}), ","))
	}
	if !q.At.IsZero() {
		words = append(words, "--at", q.At.UTC().Format(time.RFC3339))
	}
	if !q.Drained && len(words) > 1 {
		out.Command = command(append([]string{"leeward"}, words...)...)
	}
	return nil
}

// words describes the situation as the end of a sentence.
func (q *Supposed) words() string {
	var parts []string
	if len(q.Gone) > 0 {
		how := "down"
		if q.Drained {
			how = "drained"
		}
		parts = append(parts, listed(q.Gone, 5)+" "+how)
	}
	for region, by := range q.Surge {
		parts = append(parts, fmt.Sprintf("%g times the clients of %s", by, region))
	}
	slices.Sort(parts[min(1, len(q.Gone)):])
	if !q.At.IsZero() {
		parts = append(parts, "at "+q.At.UTC().Format("2006-01-02 15:04 UTC"))
	}
	return strings.Join(parts, ", ")
}

// word makes the rows and sentences of a forecast.
func (x *simulation) word(f *steer.Forecast) {
	over, maybe := f.OverMax()
	names := func(ps []steer.PoolForecast) string {
		var all []string
		for _, p := range ps {
			all = append(all, fmt.Sprintf("%s (%s of %s)", p.Pool, admin.Figure(p.Then), admin.Figure(p.Max)))
		}
		return listed(all, 6)
	}
	x.State, x.Loads = "up", f.Measured()
	switch {
	case x.Servers == "":
		x.State = "empty"
		x.Verdict = "No server reports which clients ask. A server does so within a minute of its first query."
	case len(over) > 0:
		x.State, x.Verdict = "out", "Over its max: "+names(over)+"."
	case len(maybe) > 0:
		x.State, x.Verdict = "part", "Nobody is over its max; "+names(maybe)+" may be."
	case !x.Loads:
		x.State, x.Verdict = "empty", "No load is known, so these are only shares of queries."
	default:
		x.Verdict = "Nobody is over its max."
	}
	if f.Lost > .0005 {
		x.State = "out"
		x.Verdict += fmt.Sprintf(" %.1f %% of the queries get no address.", f.Lost*100)
	}
	if f.FailOpen > .0005 {
		x.State = "out"
		x.Verdict += fmt.Sprintf(" %.1f %% of the queries are answered as if all were healthy (fail open).",
			f.FailOpen*100)
	}
	if !f.Settled {
		x.Verdict += " The shares that pools keep do not settle: they swing around these figures."
	}
	var now, then float64
	regions := map[string][2]float64{}
	for _, p := range f.Pools {
		now, then = now+p.Queries, then+p.QueriesThen
		sum := regions[p.Region]
		regions[p.Region] = [2]float64{sum[0] + p.Queries, sum[1] + p.QueriesThen}
	}
	row := func(name, link string, a, b float64) foreseenRow {
		return foreseenRow{
			Name: name, Link: link, Now: admin.Figure(a), Then: admin.Figure(b),
			Share: percent(a/max(now, 1e-9), now > 0), ShareThen: percent(b/max(then, 1e-9), then > 0),
		}
	}
	for region, n := range regions {
		x.Regions = append(x.Regions, row(region, "/region/"+region, n[0], n[1]))
	}
	slices.SortFunc(x.Regions, func(a, b foreseenRow) int { return strings.Compare(a.Name, b.Name) })
	for i := range f.Pools[:min(len(f.Pools), perPage)] {
		p := &f.Pools[i]
		o := row(p.Pool, "/pool/"+p.Pool, p.Queries, p.QueriesThen)
		o.Region, o.State, o.Words = p.Region, "empty", "–"
		o.Load, o.LoadThen, o.Error, o.Target, o.Max, o.Keeps = "–", "–", "–", "–", "–", "–"
		if p.Measured {
			o.Load, o.LoadThen, o.Error = admin.Figure(p.Load), admin.Figure(p.Then), "± "+admin.Figure(p.Error)
			o.Keeps = percent(p.Keep, true)
			o.State, o.Words = foreseenState(p)
		}
		if p.Target > 0 {
			o.Target = admin.Figure(p.Target)
		}
		if p.Max > 0 {
			o.Max = admin.Figure(p.Max)
		}
		x.Pools = append(x.Pools, o)
	}
	x.More = len(f.Pools) - len(x.Pools)
}

func foreseenState(p *steer.PoolForecast) (state, words string) {
	switch {
	case p.Over:
		return "out", "over its max"
	case p.Max > 0 && p.Then+p.Error > p.Max:
		return "part", "near its max"
	case p.Target > 0 && p.Then > p.Target*1.01:
		return "part", "above its target"
	}
	return "up", "ok"
}

// turns lets one simulation, or one answer of the past, be worked out at a time, and then rests for as long as that
// took. So they use at most half of one core. An address waits with at most one request. Addresses that wait take turns
// (gate).
type turns struct {
	gate  gate
	mu    sync.Mutex
	from  map[string]bool // addresses that wait, or whose turn it is
	after func(time.Duration, func())
}

// turnMost is how long a request waits for its turn.
const turnMost = 5 * time.Second

func newTurns() *turns {
	return &turns{
		from: map[string]bool{}, after: func(d time.Duration, do func()) { time.AfterFunc(d, do) },
	}
}

// busyError is the error for somebody who should come again: 503.
type busyError struct{ text string }

func (b *busyError) Error() string { return b.text }

// enter waits for a turn. leave ends the turn.
func (t *turns) enter(ctx context.Context, host string) (leave func(), err error) {
	t.mu.Lock()
	waits := t.from[host]
	t.from[host] = true
	t.mu.Unlock()
	if waits {
		return nil, &busyError{"A simulation or an answer of the past that this address has asked for is being " +
			"worked out already, or waits for its turn."}
	}
	gone := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.from, host)
	}
	ctx, stop := context.WithTimeoutCause(ctx, turnMost,
		&busyError{"Others' simulations and answers of the past come first: one at once, so that queries have " +
			"the machine."})
	defer stop()
	next, err := t.gate.enter(ctx, host)
	if err != nil {
		gone()
		return nil, err
	}
	began := time.Now()
	return func() {
		gone()
		t.after(time.Since(began), next)
	}, nil
}
