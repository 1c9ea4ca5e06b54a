package vantage

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"leeward/health"
)

// etcd has lost its quorum, and with it everybody's heartbeats, for longer than these are trusted. Once it is back, its
// first list has a heartbeat that was under way all the while, perhaps of a vantage that is dead by now. That one does
// not make the vantage's reports count again. A heartbeat that arrives later does.
func TestAListDoesNotRefreshWhatWentStale(t *testing.T) {
	now := time.Date(2026, 11, 26, 4, 40, 0, 0, time.UTC)
	b := health.NewBoard()
	target := health.Target{Endpoint: "www-us/lb-1", Address: netip.MustParseAddr("192.0.2.1")}
	b.Assign([]health.Assignment{{
		Target: target, Pool: "www-us", Region: "us",
		Monitor: &health.Monitor{TCP: &health.TCP{Port: 80}},
	}})
	stale := health.Duration(10 * time.Second)
	report := func(sequence uint64, s health.State, validFor time.Duration) *Event {
		return &Event{
			Vantage: "us",
			Reports: []health.Report{{Vantage: "us", Target: target, State: s, Sequence: sequence, ValidFor: validFor}},
		}
	}
	beat := func(sequence uint64) *Event {
		return &Event{Vantage: "us", Heartbeat: &Heartbeat{Vantage: "us", Sequence: sequence, Stale: stale}}
	}
	apply := func(e *Event, listed bool) {
		e.Listed = listed
		e.Apply(b, now)
		b.Judge(now)
	}
	want := func(when string, fresh bool) {
		t.Helper()
		if got := b.Vantages(now)[0].Fresh; got != fresh {
			t.Fatalf("%s: fresh %v, want %v", when, got, fresh)
		}
	}

	apply(report(1, health.Up, 0), true)
	apply(beat(2), true)
	want("the first list, of which nothing is known to be old", true)
	now = now.Add(5 * time.Second)
	apply(beat(3), true)
	want("a list while it is fresh, in which it has moved", true)
	now = now.Add(9 * time.Second)
	want("9 s later", true)
	now = now.Add(time.Second)
	want("10 s later", false)
	apply(report(4, health.Up, 0), true)
	apply(beat(5), true)
	want("a list after that", false)
	now = now.Add(time.Second)
	apply(beat(5), false)
	want("the same heartbeat again", false)
	apply(beat(6), false)
	want("the next heartbeat, as it comes", true)

	now = now.Add(time.Minute)
	apply(report(7, health.Down, time.Minute), true)
	if v := b.Verdict(target); v.Down != 1 {
		t.Errorf("a listed report that says how long it holds does not count: %+v", v)
	}
}

// A server has started while etcd had no quorum, or just as it came back. Its own probes find an endpoint up that was
// down before. The list has the others' last reports, down, and heartbeats that were under way all the while. They do
// not outvote what this server finds until they are seen to move. A server that gets its list at once, with young
// heartbeats, believes it.
func TestAListThatIsOld(t *testing.T) {
	began := time.Date(2026, 11, 28, 14, 10, 0, 0, time.UTC)
	for _, c := range []struct {
		late time.Duration // of the list, after the start
		age  time.Duration // of the heartbeats in it, by the clocks of their writers; below 0: these are ahead
		want health.State
	}{
		{0, 0, health.Down},
		{0, 9 * time.Second, health.Down},
		{0, -9 * time.Second, health.Down},
		{9 * time.Second, 0, health.Down},
		{9 * time.Second, 500 * time.Millisecond, health.Down},
		{11 * time.Second, 0, health.Up},
		{31 * time.Second, 500 * time.Millisecond, health.Up},
		{0, 10 * time.Second, health.Up},
		{0, -10 * time.Second, health.Up},
		{4 * time.Second, 33 * time.Second, health.Up}, // the quorum was lost before this server started
		{0, time.Hour, health.Up},                      // a clock that is wrong, or one that died an hour ago
		{0, -time.Hour, health.Up},
	} {
		for _, reportsFirst := range []bool{false, true} {
			t.Run(fmt.Sprint(c.late, c.age, reportsFirst), func(t *testing.T) {
				b := health.NewBoard()
				b.Own("ap")
				b.Begin(began)
				target := health.Target{Endpoint: "www-ap/lb-1", Address: netip.MustParseAddr("192.0.2.1")}
				b.Assign([]health.Assignment{{
					Target: target, Pool: "www-ap", Region: "ap",
					Monitor: &health.Monitor{TCP: &health.TCP{Port: 80}},
				}})
				now := began.Add(c.late)
				report := func(vantage string, sequence uint64) {
					(&Event{Vantage: vantage, Listed: true, Reports: []health.Report{{
						Vantage: vantage, Target: target, State: health.Down, Sequence: sequence,
					}}}).Apply(b, now)
				}
				beat := func(vantage string, sequence uint64, listed bool) {
					(&Event{Vantage: vantage, Listed: listed, Heartbeat: &Heartbeat{
						Vantage: vantage, Sequence: sequence, Time: now.Add(-c.age),
						Stale: health.Duration(10 * time.Second),
					}}).Apply(b, now)
				}
				b.Report(began, health.Report{Vantage: "ap", Target: target, State: health.Up, Sequence: 1})
				for _, v := range []string{"eu", "us"} {
					if reportsFirst { // the first list was cut off midway, and this is the next
						report(v, 1)
					}
					beat(v, 2, true)
					report(v, 1)
					report(v, 3) // its heartbeat is not the last that it wrote
				}
				b.Judge(now)
				if got := b.State(target); got != c.want {
					t.Fatalf("it is %v, want %v: %+v", got, c.want, b.Verdict(target))
				}
				for _, v := range []string{"eu", "us"} {
					beat(v, 4, false)
				}
				b.Judge(now)
				if got := b.State(target); got != health.Down {
					t.Fatalf("the others are seen to move and say down, and it is %v: %+v", got, b.Verdict(target))
				}
			})
		}
	}
}
