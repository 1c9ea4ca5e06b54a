package control

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"leeward/health"
	"leeward/server/history"
	"leeward/zones"
	"leeward/zones/steer"
)

// LoopOptions.Happened is told what happens, and never waits. The loop only says what. The function that goes with an
// event does later what takes time (encoding, comparing). It may, because resources and pressures never change.

// mostTold is how many verdicts, or votes, of one turn are reported one by one. If there are more, one event reports
// them.
const mostTold = 20

// happenings is what the loop remembers in order to report what happened. It belongs to the loop.
type happenings struct {
	votes    []vote
	passed   int                             // votes beyond mostTold that have turned since the last turn
	detected map[health.Target]time.Duration // by this process's own probes, until the verdict turns
	source   zones.State                     // as last reported
	program  *steer.Program                  // the program that regions belongs to
	regions  map[string]string               // by pool

	standings map[string]standing // of vantages, where they are not as told
	placed    map[string]string   // regions of vantages
	met       bool                // the vantages that were there at the start are known
}

type vote struct {
	target   health.Target
	vantage  string
	from, to health.State
	why      string
}

// tells reports whether anybody listens.
func (l *Loop) tells() bool { return l.o.Happened != nil }

// tell reports an event. fill completes it later, and may be nil.
func (l *Loop) tell(e history.Event, fill func(*history.Event)) {
	if l.tells() {
		e.Time = l.o.Now()
		l.o.Happened(e, fill)
	}
}

// listen has the board report which votes turn. It is no news that a vantage finds a new address up.
func (l *Loop) listen() {
	if !l.tells() {
		return
	}
	l.happened.detected = map[health.Target]time.Duration{}
	l.happened.standings, l.happened.placed = map[string]standing{}, map[string]string{}
	l.board.OnBelief(l.stood)
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

// tellVotes reports which votes turned in this turn.
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

// turnHolds is how many octets a turned verdict takes, roughly: target and turn.
const turnHolds = 128

// tellVerdicts reports which verdicts turned.
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
		l.tell(history.Event{Kind: history.Verdict, Holds: len(turned) * turnHolds}, func(e *history.Event) {
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

// first reports whether a turn only says that a new address is up.
func first(t health.Turn) bool {
	return t.From == health.Unknown && t.To != health.Down || t.To == health.Unknown
}

// turnedJSON returns history.Event.Inner for many verdicts: endpoint, address and state of each.
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

// mostOut is how many pools of one publication are reported one by one.
const mostOut = 20

// tellPools reports which pools left the answers, or came back, between two views. turned are the addresses whose
// verdicts have just turned. published is how long it took until that was served.
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
				took := fmt.Sprintf("agreeing took %.1f s, publishing %.1f ms", phases.Agree, phases.Publish*1000)
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

// tellDetected records how long this process's own probes took to find out.
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

// tellSource reports that the source was lost or found again.
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

// tellGivenUp reports that a drill was given up.
func (l *Loop) tellGivenUp(d *drill) {
	target, why := d.override.Target, d.why
	l.tell(history.Event{Kind: history.Drill, Of: []string{target, "override/" + target}}, func(e *history.Event) {
		e.Text = "the drill of " + target + " is given up: " + why
	})
}
