//go:build linux

package capacity

import (
	"math"
	"slices"
	"time"
)

// meter is what is measured in a world while it is played, from 0 s on.
type meter struct {
	lasts   time.Duration
	regions int

	requests   float64 // all that clients made
	excess     float64 // those that reached an endpoint above what it holds
	crowded    float64 // all that reached an endpoint that had more than it holds
	lost       float64 // those that no address accepted
	detour     float64 // those accepted in another region than their clients', beyond what is unavoidable
	turned     float64 // clients, times the share of them that went to another pool
	broken     int     // endpoints that broke
	breaks     []string
	wrong      int // answers without an address, or with one that is none
	unanswered int

	ticks    []tick
	calm     []time.Duration // from when nothing in the world changed any more
	unsteady []time.Duration // when something changed again; the last is the end
}

// tick is one moment: each slice is by region.
type tick struct {
	at                         time.Duration
	demand, load, target, most []float64
	home                       []float64 // share of a region's clients whose answer is of their region
	kept                       []float64 // keep as a server reports it; NaN: it does not
	offered                    []float64
	up                         []int
	lost                       float64 // requests a second
	silent                     int     // queries so far that no server answered in time
}

func (m *meter) counts(now time.Duration) bool { return now >= 0 && now <= m.lasts }

// moves counts clients who go to another pool.
func (m *meter) moves(n float64, now time.Duration) {
	if m.counts(now) {
		m.turned += n
	}
}

// changes notes that something in the world changes from now for d.
func (m *meter) changes(now, d time.Duration) {
	if now < 0 {
		return
	}
	if n := len(m.calm); n > 0 && now <= m.calm[n-1] { // in the middle of another change
		m.calm[n-1] = max(m.calm[n-1], now+d)
		return
	}
	m.unsteady = append(m.unsteady, now)
	m.calm = append(m.calm, now+d)
}

// figures are the measures of the design.
type figures struct {
	broken                        int
	excess, crowded, lost, detour float64 // % of requests; the last in points
	moves                         float64 // a client
	settled                       float64 // s
	wrong, unanswered             int
	stood                         float64 // s that the machine stood still
	breaks                        []string
}

func (m *meter) figures() figures {
	percent := func(v float64) float64 {
		if m.requests == 0 {
			return 0
		}
		return 100 * v / m.requests
	}
	return figures{
		broken: m.broken, breaks: m.breaks, wrong: m.wrong, unanswered: m.unanswered,
		excess: percent(m.excess), crowded: percent(m.crowded), lost: percent(m.lost), detour: percent(m.detour),
		moves: m.turned / (m.requests / m.lasts.Seconds()), settled: m.settled().Seconds(),
	}
}

// settling says when a pool's load has settled: its mean over a second stays within this share of what the pool can
// hold.
const settling = 0.05

// settled is the longest time that any pool took, after the world stopped changing, until its load stayed where it
// ended up.
func (m *meter) settled() (longest time.Duration) {
	calm, ends := m.calm, append(slices.Clone(m.unsteady), m.lasts)
	if len(calm) == 0 || m.unsteady[0] > 0 {
		calm, ends = append([]time.Duration{0}, calm...), append([]time.Duration{}, ends...)
	} else {
		ends = ends[1:]
	}
	for i, from := range calm {
		var part []tick
		for _, k := range m.ticks {
			if k.at >= from && k.at < ends[i] {
				part = append(part, k)
			}
		}
		for r := range m.regions {
			longest = max(longest, settledWithin(part, from, r))
		}
	}
	return longest
}

// settledWithin is settled for one pool, in a part in which nothing changes.
func settledWithin(part []tick, from time.Duration, r int) time.Duration {
	if len(part) == 0 {
		return 0
	}
	end := part[len(part)-1].at
	mean := func(from, until time.Duration) float64 {
		sum, n := 0.0, 0
		for _, k := range part {
			if k.at > from && k.at <= until {
				sum, n = sum+k.load[r], n+1
			}
		}
		if n == 0 {
			return math.NaN()
		}
		return sum / float64(n)
	}
	final := mean(end-5*time.Second, end)
	full := 0.0
	for _, k := range part {
		full = max(full, k.most[r])
	}
	for at := end; at >= from+time.Second; at -= 250 * time.Millisecond {
		if d := mean(at-time.Second, at) - final; math.Abs(d) > settling*full {
			return at - from
		}
	}
	return 0
}
