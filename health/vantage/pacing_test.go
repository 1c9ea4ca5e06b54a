package vantage

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"leeward/health"
)

// paced is a Link whose transactions go nowhere and take no time, by the test's own clock.
type paced struct {
	*Link
	now    time.Time
	writes int
	after  map[string]time.Duration // pool → how long its newest report waited, at most
	since  map[string]time.Time
}

func newPaced(t *testing.T) *paced {
	p := &paced{now: time.Unix(1_700_000_000, 0), after: map[string]time.Duration{}, since: map[string]time.Time{}}
	var err error
	p.Link, err = New(Options{Etcd: cluster(t, nil, "127.0.0.1:1"), ID: "fra", Now: func() time.Time { return p.now }})
	if err != nil {
		t.Fatal(err)
	}
	p.synced = true
	return p
}

func (p *paced) report(pool string, endpoint int, s health.State) {
	p.Report([]health.Report{{
		Vantage: "fra", Target: health.Target{
			Endpoint: fmt.Sprintf("%s/lb-%d", pool, endpoint),
			Address:  netip.AddrFrom4([4]byte{10, 0, 0, byte(endpoint)}),
		}, State: s,
	}})
	if _, waits := p.since[pool]; !waits {
		p.since[pool] = p.now
	}
}

// pass lets time pass, with one transaction for each pace.
func (p *paced) pass(d time.Duration) {
	for until := p.now.Add(d); p.now.Before(until); p.now = p.now.Add(pace) {
		for {
			t := p.render()
			if len(t.pools) == 0 {
				break
			}
			p.mu.Lock()
			p.settle(t, 1)
			p.mu.Unlock()
			p.writes += len(t.pools)
			for _, name := range t.pools {
				p.after[name] = max(p.after[name], p.now.Sub(p.since[name]))
				delete(p.since, name)
			}
			if t.Writes() < maxOps-1 {
				break
			}
		}
	}
}

// 10,000 endpoints of 1,000 pools turn, each at its own moment within an interval of 2 s. There are a few writes for
// each pool, not one for each endpoint, and none waits longer than gather.
func TestManyAreGathered(t *testing.T) {
	p := newPaced(t)
	const pools, endpoints = 1000, 10
	for step := range 100 { // of 20 ms
		for pool := range pools {
			for e := range endpoints {
				if (pool*31+e*10)%100 == step {
					p.report(fmt.Sprintf("p%d", pool), e, health.Down)
				}
			}
		}
		p.pass(pace)
	}
	p.pass(time.Second)
	if len(p.unwritten) != 0 || len(p.since) != 0 {
		t.Errorf("%d pools are left unwritten", len(p.unwritten))
	}
	if p.writes < pools || p.writes > 6*pools {
		t.Errorf("%d writes of %d pools", p.writes, pools)
	}
	for pool, d := range p.after {
		if d > gather+pace {
			t.Errorf("%s waited %v", pool, d)
		}
	}
}

// If little happens, everything goes out at once.
func TestFewAreNotGathered(t *testing.T) {
	p := newPaced(t)
	for step := range 100 {
		p.report("www", step%10, health.State(1+step%2))
		p.pass(pace)
	}
	if p.writes != 100 || p.after["www"] != 0 {
		t.Errorf("%d writes, waited up to %v", p.writes, p.after["www"])
	}
	p.beatAt = time.Now()
	if p.until() <= 0 {
		t.Error("there is nothing to write, and it does not wait")
	}
}

// Heartbeats follow the shortest detection time of what is probed here, within their bounds, and say so.
func TestHeartbeatsFollowDetection(t *testing.T) {
	l, err := New(Options{Etcd: cluster(t, nil, "127.0.0.1:1"), ID: "fra"})
	if err != nil {
		t.Fatal(err)
	}
	seconds := func(s float64) health.Duration { return health.Duration(s * float64(time.Second)) }
	monitor := func(interval, timeout float64, fall int) *health.Monitor {
		return &health.Monitor{HTTP: &health.HTTP{}, Interval: seconds(interval), Timeout: seconds(timeout), Fall: fall}
	}
	external := &health.Monitor{External: &health.External{}, Interval: seconds(0.1), Fall: 1}
	for _, c := range []struct {
		monitors []*health.Monitor
		every    float64
	}{
		{nil, 2},
		{[]*health.Monitor{{HTTP: &health.HTTP{}}}, 2},                   // 7 s
		{[]*health.Monitor{monitor(60, 10, 3)}, 2},                       // minutes
		{[]*health.Monitor{monitor(0.5, 0.5, 3)}, 1},                     // 2 s
		{[]*health.Monitor{monitor(60, 10, 3), monitor(0.5, 0.5, 3)}, 1}, // the shortest counts, in any place
		{[]*health.Monitor{monitor(0.5, 0.5, 3), monitor(60, 10, 3)}, 1}, //
		{[]*health.Monitor{monitor(0.1, 0.1, 1)}, 0.5},                   // each is kept in etcd for a while
		{[]*health.Monitor{external, monitor(0.5, 0.5, 3)}, 1},           // it is not probed here
		{[]*health.Monitor{monitor(1, 1, 3)}, 2},                         // 4 s, exactly
	} {
		var as []health.Assignment
		for i, m := range c.monitors {
			as = append(as, health.Assignment{
				Target: target(fmt.Sprintf("www-eu/lb-%d", i)), Pool: "www-eu",
				Monitor: m,
			})
		}
		l.Assign(as)
		every := time.Duration(seconds(c.every))
		if l.every != every {
			t.Errorf("%d monitors, %+v: a heartbeat every %v, want %v", len(c.monitors), c.monitors, l.every, every)
		}
		l.mu.Lock()
		l.synced, l.revision, l.unwritten, l.untold = true, 1, map[string]bool{}, false
		l.beatAt, l.madeAt = time.Now(), time.Now()
		l.mu.Unlock()
		if wait := l.until(); wait > every || wait < every-100*time.Millisecond {
			t.Errorf("%+v: the next one is due in %v, want %v", c.monitors, wait, every)
		}
	}
}
