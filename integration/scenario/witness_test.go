//go:build linux

package scenario

import (
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"leeward/integration/lab"
)

// turn is a change of one server's verdict on an address.
type turn struct {
	address netip.Addr
	verdict string
	since   time.Time // when, by the server's own account
}

// witness reads one server's status all the time, and records when its verdicts and its own reports turned.
type witness struct {
	region *lab.Region

	mu      sync.Mutex
	now     map[netip.Addr]turn
	own     map[netip.Addr]string // the server's own reports, as a vantage
	turns   []turn
	ownDown map[netip.Addr]time.Time // when its own report was last seen to turn to down
	err     error                    // of the last reading
}

// watch starts a witness of each region's server, until the test ends.
func watch(t *testing.T, w *lab.World) map[string]*witness {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	all := map[string]*witness{}
	for _, r := range w.Regions {
		v := &witness{
			region: r, now: map[netip.Addr]turn{}, own: map[netip.Addr]string{},
			ownDown: map[netip.Addr]time.Time{},
		}
		all[r.Name] = v
		wg.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for {
				var p lab.StatusPage
				err := r.Server.Status(&p)
				if err == nil {
					v.read(&p)
				}
				v.mu.Lock()
				v.err = err
				v.mu.Unlock()
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return all
}

func (v *witness) read(p *lab.StatusPage) {
	at := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range p.Endpoints {
		for _, a := range e.Addresses {
			for _, vote := range a.Votes {
				if vote.Vantage != v.region.Server.Name {
					continue
				}
				if vote.State == "down" && v.own[a.Address] != "down" {
					v.ownDown[a.Address] = at
				}
				v.own[a.Address] = vote.State
			}
			if v.now[a.Address].verdict == a.Verdict {
				continue
			}
			n := turn{address: a.Address, verdict: a.Verdict, since: at}
			if a.Since != nil && !a.Since.IsZero() {
				n.since = *a.Since
			}
			v.now[a.Address] = n
			v.turns = append(v.turns, n)
		}
	}
}

// all says whether the server's verdict on each of these addresses is the given one.
func (v *witness) all(addresses []netip.Addr, verdict string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, a := range addresses {
		if v.now[a].verdict != verdict {
			return false
		}
	}
	return true
}

// span returns the first and the last time that the verdict on one of these addresses turned to the given one, after a
// time.
func (v *witness) span(addresses []netip.Addr, verdict string, after time.Time) (first, last time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, n := range v.turns {
		if n.verdict != verdict || n.since.Before(after) || !slices.Contains(addresses, n.address) {
			continue
		}
		if first.IsZero() || n.since.Before(first) {
			first = n.since
		}
		if n.since.After(last) {
			last = n.since
		}
	}
	return first, last
}

// verdictLine is how a server logs a verdict that turned.
var verdictLine = regexp.MustCompile(`(?m)^time=(\S+) .*msg=verdict endpoint=\S+ address=(\S+) state=(\w+) `)

// widen extends the first and the last turn that span has found to those that the server has logged between two times.
// A verdict may turn there and back before the next status is read: while etcd elects a leader, a server may hear
// nobody for some moments, and then its own vote counts alone. A line is logged once the answers have changed.
func (v *witness) widen(addresses []netip.Addr, verdict string, after, before time.Time, first, last *time.Time) {
	const written = 100 * time.Millisecond
	for _, m := range verdictLine.FindAllStringSubmatch(v.region.Server.Process.Out.String(), -1) {
		at, err := time.Parse(time.RFC3339, m[1])
		a, bad := netip.ParseAddr(m[2])
		if err != nil || bad != nil || m[3] != verdict || !slices.Contains(addresses, a) || at.Before(after) ||
			at.After(before) {
			continue
		}
		if early := at.Add(-written); early.Before(*first) {
			*first = early
		}
		if at.After(*last) {
			*last = at
		}
	}
}

// detected returns when the server's own report on the last of these addresses was seen to be down, after a time.
func (v *witness) detected(addresses []netip.Addr, after time.Time) (last time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, a := range addresses {
		if at := v.ownDown[a]; at.After(after) && at.After(last) {
			last = at
		}
	}
	return last
}

// String shows the verdicts as one line.
func (v *witness) String() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []string
	for a, n := range v.now {
		all = append(all, a.String()+"="+n.verdict)
	}
	slices.Sort(all)
	if v.err != nil {
		all = append(all, v.err.Error())
	}
	return strings.Join(all, " ")
}
