package probe

import (
	"container/heap"
	"hash/fnv"
	"time"

	"leeward/health"
)

// firstWithin is how long a new target waits at most for its first probe, unless there are too many new ones or its
// interval is shorter. firstRate is how many first probes there may be a second. A new target counts as up, so 100,000
// endpoints that come at once, at a start or from a vantage that died, need not all be probed at once.
//
// If an earlier run has left word of its targets, the urgent ones are those that were down and those that it did not
// know: the answers about them may be wrong. They come first, within urgentWithin.
const (
	firstWithin  = 2 * time.Second
	urgentWithin = 500 * time.Millisecond
	firstRate    = 2000
)

// window is when new targets are probed first: after a wait, spread over a time.
type window struct{ after, within time.Duration }

// windows are the windows of urgent targets and of the others.
type windows struct{ urgent, others window }

func (w windows) of(urgent bool) window {
	if urgent {
		return w.urgent
	}
	return w.others
}

// windowsOf returns the windows for that many targets.
func windowsOf(urgent, others int) windows {
	spread := func(n int) time.Duration { return time.Duration(n) * time.Second / firstRate }
	return windows{
		urgent: window{0, max(urgentWithin, spread(urgent))},
		others: window{spread(urgent), max(firstWithin, spread(others))},
	}
}

// firsts returns the windows for those of the assignments that are new. The caller holds the mutex.
func (p *Prober) firsts(as []health.Assignment) windows {
	urgent, others := 0, 0
	for i := range as {
		if p.targets[as[i].Target] != nil {
			continue
		}
		if past, known := p.past[as[i].Target]; p.past != nil && (!known || past.Verdict == health.Down) {
			urgent++
		} else {
			others++
		}
	}
	return windowsOf(urgent, others)
}

// phaseOf returns the phase of a target, or of a pool (without an address), in its interval. It depends only on the
// names, so a vantage's load is even, several vantages do not probe at the same moment, and a restart changes nothing.
func phaseOf(vantage string, t health.Target) uint64 {
	h := fnv.New64a()
	h.Write([]byte(vantage))
	h.Write([]byte{0})
	h.Write([]byte(t.Endpoint))
	h.Write([]byte{0})
	a := t.Address.As16()
	h.Write(a[:])
	// FNV's high bits hardly differ between names that differ in their last byte, so mix them (MurmurHash3's
	// finalizer).
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// spacing is the mean time from the probe of one endpoint of a pool to that of the next. A pool's endpoints are probed
// close together, so that the failure of a whole pool is one write or two and not one for each endpoint. A large pool
// is probed over the whole interval.
const spacing = 25 * time.Millisecond

// offset returns the target's place in its interval, or in another period.
func (t *target) offset(of time.Duration) time.Duration {
	if t.within == 0 || t.within >= of {
		return time.Duration(t.phase % uint64(of))
	}
	return (time.Duration(t.poolPhase%uint64(of)) + time.Duration(t.phase%uint64(t.within))) % of
}

// first returns when a target is probed for the first time: at its phase or, if that may be far off, soon, but not at
// the same time as all other new ones.
func (t *target) first(start, now time.Time, w window) time.Time {
	now = now.Add(w.after)
	if t.monitor.EffectiveInterval() <= w.within {
		return t.slot(start, now)
	}
	return now.Add(t.offset(w.within))
}

// after returns when a target is probed next, and how many slots were skipped. Its last probe was due at t.next and has
// ended now.
func (t *target) after(start, now time.Time) (next time.Time, skipped int) {
	interval := t.monitor.EffectiveInterval()
	next = t.slot(start, t.next.Add(interval/2)) // not at once after a first probe out of phase
	if late := now.Sub(next); late > 0 {
		skipped = int((late + interval - 1) / interval)
		next = next.Add(time.Duration(skipped) * interval)
	}
	return next, skipped
}

// slot returns the target's first slot at that time or later.
func (t *target) slot(start, at time.Time) time.Time {
	interval := t.monitor.EffectiveInterval()
	base := start.Add(t.offset(interval))
	wait := at.Sub(base)
	if wait <= 0 {
		return base
	}
	n := (wait + interval - 1) / interval
	return base.Add(n * interval)
}

// schedule is a heap of targets by the time of their next probe.
type schedule []*target

func (s *schedule) put(t *target) {
	if t.heap >= 0 {
		heap.Fix(s, t.heap)
		return
	}
	heap.Push(s, t)
}

func (s *schedule) remove(t *target) {
	if t.heap >= 0 {
		heap.Remove(s, t.heap)
	}
}

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].next.Before(s[j].next) }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].heap, s[j].heap = i, j
}

func (s *schedule) Push(x any) {
	t := x.(*target)
	t.heap = len(*s)
	*s = append(*s, t)
}

func (s *schedule) Pop() any {
	last := len(*s) - 1
	t := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	t.heap = -1
	return t
}
