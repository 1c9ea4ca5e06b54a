package probe

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"leeward/health"
)

// If others of its pool are up, the first failure of a target without a verdict is reported as down. It is not if the
// target has a verdict, if it is alone, or if most of the others fail too.
func TestFirstFailureDecides(t *testing.T) {
	const open, shut = "open", "shut"
	for _, c := range []struct {
		name   string
		pool   []string
		judged bool
		down   int
	}{
		{"one of two", []string{open, shut}, false, 1},
		{"two of three", []string{open, shut, shut}, false, 2},
		{"judged already", []string{open, shut}, true, 0},
		{"alone", []string{shut}, false, 0},
		{"all", []string{shut, shut, shut}, false, 0},
		{"four of five", []string{open, shut, shut, shut, shut}, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, reports := start(t, Options{})
			var as []health.Assignment
			for i, how := range c.pool {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				if how == shut {
					l.Close()
				}
				a := assignment(fmt.Sprintf("www/lb-%d", i), &health.Monitor{
					TCP: &health.TCP{Port: portOf(l.Addr())}, Interval: health.Duration(time.Hour), Rise: 1, Fall: 2,
				})
				a.Unjudged = !c.judged
				as = append(as, a)
			}
			p.Assign(as)
			up, down := 0, 0
			for left := 1; left > 0; {
				left, _ = p.Untried()
				time.Sleep(10 * time.Millisecond)
			}
			for len(reports) > 0 {
				if r := <-reports; r.State == health.Down {
					down++
				} else {
					up++
				}
			}
			if down != c.down {
				t.Errorf("%d are reported as down, want %d; %d as up", down, c.down, up)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, g := range p.groups {
				if g.members != len(c.pool) || g.up+g.down != len(c.pool) {
					t.Errorf("%+v", g)
				}
			}
		})
	}
}

// Targets that were down in the last run, or that it did not know, are probed before all others.
func TestUrgentIsProbedFirst(t *testing.T) {
	p, err := New(Options{Vantage: "fra", OnReport: func([]health.Report) {}})
	if err != nil {
		t.Fatal(err)
	}
	m := &health.Monitor{TCP: &health.TCP{Port: 80}, Interval: health.Duration(time.Hour)}
	var as []health.Assignment
	var past []health.Past
	for i := range 9000 {
		target := health.Target{
			Endpoint: fmt.Sprintf("p%d/e%d", i%1000, i),
			Address:  netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}),
		}
		as = append(as, health.Assignment{Target: target, Pool: fmt.Sprintf("p%d", i%1000), Monitor: m})
		switch i % 3 {
		case 0:
			past = append(past, health.Past{Target: target, Verdict: health.Down})
		case 1:
			past = append(past, health.Past{Target: target, Verdict: health.Up})
		}
	}
	p.Recall(past)
	p.Assign(as)
	var lastUrgent, firstOther time.Time
	for i := range as {
		at := p.targets[as[i].Target].next
		switch {
		case i%3 != 1 && at.After(lastUrgent):
			lastUrgent = at
		case i%3 == 1 && (firstOther.IsZero() || at.Before(firstOther)):
			firstOther = at
		}
	}
	if !lastUrgent.Before(firstOther) || lastUrgent.Sub(p.start) > 6*time.Second {
		t.Errorf("the last of what is urgent is probed after %s, the first of the rest after %s",
			lastUrgent.Sub(p.start), firstOther.Sub(p.start))
	}
	p.Assign(nil)
	if len(p.groups) != 0 || len(p.past) != 0 {
		t.Errorf("left behind: %d groups, %d of the past", len(p.groups), len(p.past))
	}
}
