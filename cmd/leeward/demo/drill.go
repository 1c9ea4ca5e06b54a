package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leeward/cmd/leeward/screen"
)

// timeline is the events after a cut, in order.
type timeline struct {
	start time.Time
	table screen.Table
	seen  map[string]time.Duration

	unanswered int // queries without an answer
}

func newTimeline() *timeline {
	return &timeline{
		table: screen.Table{Heads: []string{"TIME", "EVENT", "SINCE", "ALLOWED"}},
		seen:  map[string]time.Duration{},
	}
}

// mark adds an event, if it is new. since is the time of its cause, zero for none.
func (t *timeline) mark(at, since time.Time, allowed time.Duration, format string, args ...any) {
	event := fmt.Sprintf(format, args...)
	if _, ok := t.seen[event]; ok {
		return
	}
	if t.start.IsZero() {
		t.start = at
	}
	t.seen[event] = at.Sub(since)
	row := []screen.Cell{{Text: fmt.Sprintf("%6.2fs", at.Sub(t.start).Seconds())}, {Text: event}}
	if !since.IsZero() {
		took := at.Sub(since)
		c := screen.Cell{Text: fmt.Sprintf("+%.2fs", took.Seconds()), Colour: screen.Plain}
		row = append(row, c)
		if allowed > 0 {
			limit := screen.Cell{Text: fmt.Sprintf("%.2fs", allowed.Seconds()), Colour: screen.Green}
			if took > allowed {
				limit.Colour = screen.Red
			}
			row = append(row, limit)
		}
	}
	t.table.Add(row...)
}

// ErrLate says that everything happened but took too long, for example because the machine is busy.
var ErrLate = errors.New("too late")

// every is how often the drill looks, and thus the precision of the timeline.
const every = 25 * time.Millisecond

// drill cuts a region, waits until no server names it, restores it, and waits until all servers name it again to
// clients near it. The error says what did not happen in time.
func (d *demo) drill(ctx context.Context, region *site) (*timeline, error) {
	t := newTimeline()
	cut := time.Now()
	region.stop()
	t.mark(cut, time.Time{}, 0, "%s is cut: its %d endpoints refuse connections", region.region, len(region.addresses))
	err := d.phase(ctx, 6*budget, func(s sight) bool {
		return d.leaving(t, cut, region.region, s)
	})
	if err != nil {
		return t, fmt.Errorf("%s was cut %v ago and is still in answers: %w", region.region,
			time.Since(cut).Round(time.Millisecond), err)
	}
	back := time.Now()
	if err := region.restart(ctx); err != nil {
		return t, err
	}
	t.mark(back, time.Time{}, 0, "%s is restored: its endpoints listen again", region.region)
	err = d.phase(ctx, 6*budget, func(s sight) bool {
		return d.returning(t, back, region.region, s)
	})
	if err != nil {
		return t, fmt.Errorf("%s came back %v ago and is not in answers again: %w", region.region,
			time.Since(back).Round(time.Millisecond), err)
	}
	for _, n := range d.servers {
		if took := t.seen[leftEvent(n.id, region.region)]; took > budget {
			return t, fmt.Errorf("%w: %s named %s for %v after the cut; fall %d × interval %v + timeout %v + "+
				"%v are %v",
				ErrLate, n.id, region.region, took.Round(time.Millisecond), fall, interval, timeout, slack, budget)
		}
	}
	return t, nil
}

func leftEvent(server, region string) string {
	return fmt.Sprintf("%s left the answers of %s", region, server)
}

// phase watches until f returns true, at most for limit.
func (d *demo) phase(ctx context.Context, limit time.Duration, f func(sight) bool) error {
	ctx, stop := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %v", limit))
	defer stop()
	return d.watch(ctx, every, f)
}

// leaving marks the events of a cut region that leaves the answers, and reports whether no server names it.
func (d *demo) leaving(t *timeline, cut time.Time, region string, s sight) bool {
	d.marks(t, cut, region, "down", s)
	gone := true
	for i, n := range d.servers {
		named, answered := s.names(i, region)
		if !answered {
			t.unanswered++
		}
		if !named && answered && s.verdict(i, region) == "down" {
			t.mark(s.at, cut, budget, "%s", leftEvent(n.id, region))
			continue
		}
		gone = false
	}
	return gone && d.agreed(region, "down", s)
}

// returning marks the events of a region that returns, and reports whether every server names it to clients near it.
func (d *demo) returning(t *timeline, back time.Time, region string, s sight) bool {
	d.marks(t, back, region, "up", s)
	there := true
	for i, n := range d.servers {
		named, answered := s.names(i, region)
		if !answered {
			t.unanswered++
		}
		if named {
			t.mark(s.at, back, 0, "%s is in the answers of %s again", region, n.id)
		}
		there = there && named
	}
	return there && d.settled(&s, d.vantages)
}

// marks marks what vantages and servers say of a region.
func (d *demo) marks(t *timeline, since time.Time, region, state string, s sight) {
	for _, v := range d.vantages {
		for i := range d.servers {
			if s.says(i, v, region) == state {
				t.mark(s.at, since, 0, "vantage %s reports %s %s", v, region, state)
			}
		}
	}
	for i, n := range d.servers {
		if s.verdict(i, region) == state {
			t.mark(s.at, since, 0, "%s agrees: %s is %s", n.id, region, state)
		}
	}
}

// agreed reports whether every vantage and every server says the same of a region.
func (d *demo) agreed(region, state string, s sight) bool {
	for i := range d.servers {
		if s.verdict(i, region) != state {
			return false
		}
		for _, v := range d.vantages {
			if s.says(i, v, region) != state {
				return false
			}
		}
	}
	return true
}
