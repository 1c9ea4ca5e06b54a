package control

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"leeward/health"
	"leeward/server/history"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/document"
	"leeward/zones/steer"
)

// What happens is told to LoopOptions.Happened, which never waits. The loop says what, and what takes time (encoding,
// comparing) is done later, by the function that goes along: resources and pressures never change.

// mostTold is how many verdicts, or votes, of one turn are told one by one. More are one event.
const mostTold = 20

// happenings is what the loop keeps to tell what happened. It belongs to the loop.
type happenings struct {
	votes    []vote
	passed   int                             // votes that turned beyond mostTold, since the last turn
	detected map[health.Target]time.Duration // by this process's own probes, until the verdict turns
	source   zones.State                     // as last told
	program  *steer.Program                  // that regions is of
	regions  map[string]string               // of pools
}

type vote struct {
	target   health.Target
	vantage  string
	from, to health.State
	why      string
}

// tells reports whether anybody listens.
func (l *Loop) tells() bool { return l.o.Happened != nil }

// tell passes an event on. fill may be nil.
func (l *Loop) tell(e history.Event, fill func(*history.Event)) {
	if l.tells() {
		e.Time = l.o.Now()
		l.o.Happened(e, fill)
	}
}

// listen has the board say which votes turn. An address that a vantage finds up for the first time is no news.
func (l *Loop) listen() {
	if !l.tells() {
		return
	}
	l.happened.detected = map[health.Target]time.Duration{}
	l.board.OnVote(func(t health.Target, vantage string, from, to health.State, why string) {
		h := &l.happened
		switch {
		case from != health.Down && to != health.Down:
		case len(h.votes) < mostTold:
			h.votes = append(h.votes, vote{t, vantage, from, to, why})
		default:
			h.passed++
		}
	})
}

// tellVotes tells which votes turned in this turn.
func (l *Loop) tellVotes() {
	h := &l.happened
	for _, v := range h.votes {
		e := history.Event{Kind: history.Vote, Of: append(l.around(v.target.Endpoint), "vantage/"+v.vantage)}
		l.tell(e, func(e *history.Event) {
			e.Turn = turnOf(v.target, v.from, v.to, v.why)
			e.Turn.Vantage = v.vantage
			e.Text = fmt.Sprintf("%s says that %s of %s is %s", v.vantage, v.target.Address, v.target.Endpoint, v.to)
			if v.why != "" {
				e.Text += ": " + v.why
			}
		})
	}
	if h.passed > 0 {
		text := fmt.Sprintf("%d more votes turned at the same time", h.passed)
		l.tell(history.Event{Kind: history.Vote, Text: text}, nil)
	}
	h.votes, h.passed = nil, 0
}

func turnOf(t health.Target, from, to health.State, why string) *history.Turn {
	return &history.Turn{
		Endpoint: t.Endpoint, Address: t.Address.String(), From: from.String(), To: to.String(), Why: why,
	}
}

// around names an endpoint, its pool and its region as events do.
func (l *Loop) around(endpoint string) []string {
	pool, _, _ := strings.Cut(endpoint, "/")
	of := []string{"endpoint/" + endpoint, "pool/" + pool}
	h := &l.happened
	if h.program != l.program {
		h.program, h.regions = l.program, make(map[string]string, len(l.program.Pools))
		for _, p := range l.program.Pools {
			if p != nil {
				h.regions[p.Name] = p.Region
			}
		}
	}
	if region := h.regions[pool]; region != "" {
		of = append(of, "region/"+region)
	}
	return of
}

// tellVerdicts tells which verdicts turned.
func (l *Loop) tellVerdicts(turned []health.Target) {
	if !l.tells() || len(turned) == 0 {
		return
	}
	turns := make([]health.Turn, len(turned))
	news := 0
	for i, t := range turned {
		turns[i] = l.board.Turn(t)
		if first(turns[i]) {
			continue
		}
		news++
	}
	if news > mostTold {
		l.tell(history.Event{Kind: history.Verdict}, func(e *history.Event) {
			down, pools := 0, map[string]bool{}
			for i, t := range turned {
				if turns[i].To == health.Down {
					down++
				}
				pool, _, _ := strings.Cut(t.Endpoint, "/")
				pools[pool] = true
			}
			e.Text = fmt.Sprintf("%d verdicts turned, %d of them to down, in %d pools", len(turned), down, len(pools))
			e.Inner = turnedJSON(turned, turns)
		})
		return
	}
	for i, t := range turned {
		if first(turns[i]) {
			continue
		}
		why := l.board.Verdict(t).Why
		l.tell(history.Event{Kind: history.Verdict, Of: l.around(t.Endpoint)}, func(e *history.Event) {
			e.Turn = turnOf(t, turns[i].From, turns[i].To, why)
			e.Text = fmt.Sprintf("%s of %s is %s", t.Address, t.Endpoint, turns[i].To)
			if why != "" {
				e.Text += ": " + why
			}
		})
	}
}

// first reports whether a verdict is only that what is new is up.
func first(t health.Turn) bool {
	return t.From == health.Unknown && t.To != health.Down || t.To == health.Unknown
}

// turnedJSON is what history.Event.Inner has of many verdicts: endpoint, address and state of each.
func turnedJSON(turned []health.Target, turns []health.Turn) json.RawMessage {
	states := make([][3]string, len(turned))
	for i, t := range turned {
		states[i] = [3]string{t.Endpoint, t.Address.String(), turns[i].To.String()}
	}
	b, err := json.Marshal(states)
	if err != nil {
		return nil
	}
	return b
}

// mostOut is how many pools of one publication are told one by one.
const mostOut = 20

// tellPools tells which pools went out of the answers, or came back, between two views. turned are the addresses whose
// verdicts have just turned, and published is how long that took to be served.
func (l *Loop) tellPools(before *steer.View, turned []health.Target, published time.Duration) {
	if !l.tells() || before == nil || before == l.view {
		return
	}
	told := 0
	for n := range int32(len(l.program.Pools)) {
		p, was := l.view.Pool(n), before.Pool(n)
		if p == nil || was == nil || was.Name != p.Name || before.Available(n) == l.view.Available(n) {
			continue
		}
		if told++; told > mostOut {
			continue
		}
		name, region, back := p.Name, p.Region, l.view.Available(n)
		var phases *history.Phases
		down := 0
		for _, t := range turned {
			if pool, _, _ := strings.Cut(t.Endpoint, "/"); pool != name {
				continue
			}
			if phases == nil {
				phases = &history.Phases{Publish: max(0, published.Seconds())}
			}
			down++
			phases.Agree = max(phases.Agree, l.board.Turn(t).Agreed.Seconds())
			phases.Detect = max(phases.Detect, l.happened.detected[t].Seconds())
		}
		l.tell(history.Event{Kind: history.Failover, Of: []string{"pool/" + name, "region/" + region}},
			func(e *history.Event) {
				e.Phases = phases
				e.Text = fmt.Sprintf("pool %s is out of the answers", name)
				if back {
					e.Text = fmt.Sprintf("pool %s is back in the answers", name)
				}
				if phases == nil {
					e.Text += ", by a change of resources or an override"
					return
				}
				took := fmt.Sprintf("agreeing took %.1f s, publishing %.0f ms", phases.Agree, phases.Publish*1000)
				if phases.Detect > 0 {
					took = fmt.Sprintf("detecting took %.1f s, ", phases.Detect) + took
				}
				e.Text += ": " + took
			})
	}
	if told > mostOut {
		l.tell(history.Event{
			Kind: history.Failover,
			Text: fmt.Sprintf("%d more pools went out of the answers or came back at the same time", told-mostOut),
		}, nil)
	}
}

// tellDetected notes how long this process's own probes took.
func (l *Loop) tellDetected(rs []health.Report) {
	if !l.tells() {
		return
	}
	for i := range rs {
		if rs[i].Detected > 0 {
			l.happened.detected[rs[i].Target] = rs[i].Detected
		}
	}
}

// tellSource tells that the source was lost or found.
func (l *Loop) tellSource(c zones.Condition) {
	if c.State == l.happened.source {
		return
	}
	l.happened.source = c.State
	e := history.Event{Kind: history.Source, Revision: c.Revision, Of: []string{"source/" + string(c.State)}}
	err, where := c.Err, c.Endpoint
	l.tell(e, func(e *history.Event) {
		e.Text = map[zones.State]string{
			zones.Starting: "the source has not been read yet", zones.Syncing: "the source is being read",
			zones.Following: "the source is followed", zones.SavedCopy: "the copy on disk is served",
			zones.CutOff: "the source is lost", zones.HistoryChanged: "the source has another history",
		}[c.State]
		if e.Text == "" {
			e.Text = string(c.State)
		}
		if where != "" {
			e.Text += " (" + where + ")"
		}
		if err != nil {
			e.Text += ": " + err.Error()
		}
	})
}

// mostReplaced is how many resources one batch may replace for the history to know how each was.
const mostReplaced = 10_000

// pending is an event that is told once it is served.
type pending struct {
	event history.Event
	fill  func(*history.Event)
}

// changes returns what a batch changed, to be told when it is adopted. was is what it replaced.
func (l *Loop) changes(
	b batchHead, d catalog.Delta, was map[zones.Key]catalog.Replaced, lacks bool,
) (all []pending) {
	tell := func(e history.Event, fill func(*history.Event)) { all = append(all, pending{e, fill}) }
	switch {
	case !l.tells() || !d.Full && len(d.Keys) == 0 && !b.anew:
		return nil
	case d.Full:
		text := fmt.Sprintf("%d resources were read", l.catalog.Count())
		e := history.Event{Kind: history.Changed, Revision: b.newest, Text: text}
		if b.copy {
			e.Text += " from the copy on disk"
		} else { // whatever changed since this server's last run, there is no copy to tell it by
			e.Missed = &history.Missed{From: l.o.Now(), Until: l.o.Now(), Changes: true}
			e.Text += "; what changed before is not known"
		}
		return append(all, pending{event: e})
	}
	if b.anew {
		tell(history.Event{
			Kind: history.Source, Revision: b.revision, Anew: true,
			Text: "another history of the source was accepted: revisions begin anew",
		}, nil)
	}
	edits, versions := make([]zones.Edit, 0, min(len(d.Keys), mostReplaced)), map[zones.Key]int64{}
	missing := 0
	for _, key := range d.Keys {
		before, known := was[key]
		if !known {
			if lacks {
				missing++
			}
			continue // it is as it was, or only its standing has changed
		}
		r := l.catalog.Get(key)
		if before.Resource == nil && r == nil {
			continue
		}
		edits = append(edits, zones.Edit{Key: key, Old: before.Resource, New: r})
		if versions[key] = l.catalog.VersionOf(key); r == nil {
			versions[key] = b.revision
		}
	}
	regions := map[string]string{}
	for _, e := range edits {
		if pool, of := poolOf(e); of {
			if p, is := l.catalog.Get(zones.KeyOf(zones.KindPool, pool)).(*zones.Pool); is {
				regions[pool] = p.Region
			}
		}
	}
	for part := range slices.Chunk(edits, history.MostChanges) {
		tell(history.Event{Kind: kindOf(part), Revision: b.revision}, func(e *history.Event) {
			describe(e, part, was, versions, regions)
		})
	}
	if missing > 0 {
		tell(history.Event{Kind: history.Lost, Revision: b.revision, Missed: &history.Missed{
			Events: uint64(missing), From: l.o.Now(), Until: l.o.Now(), Changes: true,
		}, Text: fmt.Sprintf("%d more resources changed at once, too many to keep how they were", missing)}, nil)
	}
	return all
}

// batchHead is what is left of a batch that was consumed.
type batchHead struct {
	revision   int64
	newest     int64 // revision of its changes
	copy, anew bool
}

// kindOf returns the kind of an event of edits.
func kindOf(edits []zones.Edit) history.Kind {
	kind := history.Changed
	for i, e := range edits {
		this := history.Changed
		if e.Key.Kind() == zones.KindOverride {
			this = history.Override
			for _, r := range []zones.Resource{e.Old, e.New} {
				if o, is := r.(*zones.Override); is && o.Drill {
					this = history.Drill
				}
			}
		}
		if i == 0 {
			kind = this
		} else if kind != this {
			return history.Changed
		}
	}
	return kind
}

// poolOf returns the pool that an edit is about.
func poolOf(e zones.Edit) (pool string, of bool) {
	switch name := e.Key.Name(); e.Key.Kind() {
	case zones.KindPool:
		return name, true
	case zones.KindEndpoint:
		pool, _, _ = strings.Cut(name, "/")
		return pool, true
	}
	return "", false
}

// describe words edits.
func describe(
	e *history.Event, edits []zones.Edit, was map[zones.Key]catalog.Replaced, versions map[zones.Key]int64,
	regions map[string]string,
) {
	of := map[string]bool{}
	about := func(targets ...string) {
		for _, t := range targets {
			if t != "" && !of[t] {
				of[t] = true
				e.Of = append(e.Of, t)
			}
		}
	}
	counts := map[string]int{}
	for _, edit := range edits {
		c := history.Change{
			Resource: string(edit.Key), What: "changed",
			Revision: versions[edit.Key], From: was[edit.Key].Revision,
		}
		switch {
		case edit.Old == nil:
			c.What = "added"
		case edit.New == nil:
			c.What = "deleted"
		}
		counts[c.What]++
		for _, f := range document.Fields(edit) {
			c.Fields = append(c.Fields, history.Field{Path: f.Path, Was: f.Was, Is: f.Is})
		}
		old, new := edit.Hide()
		c.Was, c.Is = encoded(old), encoded(new)
		e.Changes = append(e.Changes, c)
		about(targetsOf(edit, regions)...)
	}
	if len(edits) == 1 {
		e.Text = sentence(edits[0])
		return
	}
	var parts []string
	for _, what := range []string{"added", "changed", "deleted"} {
		if counts[what] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[what], what))
		}
	}
	e.Text = fmt.Sprintf("%d resources: %s", len(edits), strings.Join(parts, ", "))
}

// targetsOf names what an edit is about.
func targetsOf(edit zones.Edit, regions map[string]string) []string {
	kind, name := edit.Key.Kind(), edit.Key.Name()
	of := []string{strings.ToLower(string(kind)) + "/" + name}
	if kind == zones.KindOverride {
		of = append(of, name)
	}
	if kind == zones.KindRecord {
		origin, rest, _ := strings.Cut(name, "/")
		owner, _, _ := strings.Cut(rest, "/")
		if owner != "@" {
			of = append(of, "name/"+owner+"."+origin)
		}
		return append(of, "zone/"+origin)
	}
	if pool, is := poolOf(edit); is {
		of = append(of, "pool/"+pool)
		if region := regions[pool]; region != "" {
			of = append(of, "region/"+region)
		}
	}
	return slices.Compact(of)
}

// sentence words one edit.
func sentence(e zones.Edit) string {
	if o, is := e.New.(*zones.Override); is {
		text := map[zones.Word]string{zones.Drain: "drained", zones.Up: "set up", zones.Down: "set down"}[o.State]
		if o.Drill {
			text = "drained for a drill"
		}
		text = o.Target + " is " + text
		if o.From != nil {
			text += " from " + o.From.UTC().Format(time.RFC3339)
		}
		if o.Until != nil {
			text += " until " + o.Until.UTC().Format(time.RFC3339)
		}
		if o.Reason != "" {
			text += ": " + o.Reason
		}
		return text
	}
	switch {
	case e.New == nil && e.Key.Kind() == zones.KindOverride:
		return "the override of " + e.Key.Name() + " is taken away"
	case e.Old == nil:
		return e.Key.String() + " is added"
	case e.New == nil:
		return e.Key.String() + " is deleted"
	}
	var parts []string
	for _, f := range document.Fields(e) {
		switch {
		case f.Was == "":
			parts = append(parts, f.Path+": "+f.Is)
		case f.Is == "":
			parts = append(parts, f.Path+" is taken away")
		default:
			parts = append(parts, f.Path+": "+f.Was+" → "+f.Is)
		}
	}
	if n := len(parts); n > 3 {
		parts = append(parts[:3], fmt.Sprintf("and %d more fields", n-3))
	}
	return e.Key.String() + " is changed: " + strings.Join(parts, ", ")
}

func encoded(r zones.Resource) json.RawMessage {
	if r == nil {
		return nil
	}
	b, err := zones.Encode(r)
	if err != nil {
		return nil
	}
	return b
}

// tellGivenUp tells that a drill is given up.
func (l *Loop) tellGivenUp(d *drill) {
	target, why := d.override.Target, d.why
	l.tell(history.Event{Kind: history.Drill, Of: []string{target, "override/" + target}}, func(e *history.Event) {
		e.Text = "the drill of " + target + " is given up: " + why
	})
}
