package process

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"leeward/server/answer"
	"leeward/server/console"
	"leeward/zones/steer"
)

// loads remembers what pools have carried, for the console. It reads what is published, and asks nobody. It holds at
// most loadsMost moments, at first loadsFirst apart. When it is full it forgets every other one, and the next ones are
// twice as far apart, until they reach back a day.
type loads struct {
	mu    sync.Mutex
	every time.Duration
	times []time.Time
	of    map[string]*carried
	left  map[string]bool // pools for which there was no room
}

// carried is the course of one pool. Its slices are as long as loads.times.
type carried struct {
	load, target []float32 // NaN: not known
	answers      []uint64  // answers by this server, in total
}

// All pools together take at most loadsPools * loadsMost * 16 octets: 2.9 MB.
const (
	loadsFirst = 10 * time.Second
	loadsLast  = 8 * time.Minute
	loadsMost  = 180
	loadsPools = 1000
)

func newLoads() *loads {
	return &loads{every: loadsFirst, of: map[string]*carried{}, left: map[string]bool{}}
}

// run samples until the context ends.
func (l *loads) run(ctx context.Context, r *run) {
	for range turns(ctx, loadsFirst) {
		if s := r.loop.State(); s != nil && s.View != nil && l.due(time.Now()) {
			answers := map[string]uint64{}
			if r.answers != nil { // nil: a process that only probes
				answers = r.answers.AnswersByPool()
			}
			l.add(time.Now(), s, answers)
		}
	}
}

// due reports whether it is time for the next moment.
func (l *loads) due(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.times)
	return n == 0 || now.Sub(l.times[n-1]) >= l.every-loadsFirst/2
}

// add notes what pools carry now. answers has what this server has answered in total, by pool. The caller counts them,
// because readers wait for add.
func (l *loads) add(now time.Time, s *answer.State, answers map[string]uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.times)
	if n == loadsMost {
		l.forget()
		n = len(l.times)
	}
	l.times = append(l.times, now)
	clear(l.left)
	there := map[string]bool{}
	for _, p := range s.View.Pools() {
		c := l.of[p.Pool]
		if c == nil && len(l.of) >= loadsPools {
			l.left[p.Pool] = true
			continue
		}
		if c == nil {
			c = &carried{}
			l.of[p.Pool] = c
		}
		there[p.Pool] = true
		c.note(n, p, answers[p.Pool])
	}
	for pool := range l.of {
		if !there[pool] { // it is gone
			delete(l.of, pool)
		}
	}
}

// note adds what a pool carries at the n-th moment. A pool that is new has no values for earlier moments.
func (c *carried) note(n int, p steer.PoolStatus, answers uint64) {
	unknown := float32(math.NaN())
	for len(c.load) < n {
		c.load, c.target, c.answers = append(c.load, unknown), append(c.target, unknown), append(c.answers, answers)
	}
	load, target := unknown, unknown
	if p.Loads != nil && p.Loads.Load.Known {
		load = float32(p.Loads.Load.Value)
	}
	if p.Loads != nil && p.Loads.Target > 0 {
		target = float32(p.Loads.Target)
	}
	c.load, c.target, c.answers = append(c.load, load), append(c.target, target), append(c.answers, answers)
}

// forget makes room. It drops every other moment, or only the oldest once they are far enough apart.
func (l *loads) forget() {
	if l.every >= loadsLast {
		l.times = dropFirst(l.times)
		for _, c := range l.of {
			c.load, c.target, c.answers = dropFirst(c.load), dropFirst(c.target), dropFirst(c.answers)
		}
		return
	}
	l.every *= 2
	l.times = halved(l.times)
	for _, c := range l.of {
		c.load, c.target, c.answers = halved(c.load), halved(c.target), halved(c.answers)
	}
}

// dropFirst drops the first value in place, and keeps the slice's capacity.
func dropFirst[T any](all []T) []T { return append(all[:0], all[min(1, len(all)):]...) }

// halved keeps every other value and the last one, in place.
func halved[T any](all []T) []T {
	out := all[:0]
	for i := (len(all) + 1) % 2; i < len(all); i += 2 {
		out = append(out, all[i])
	}
	return out
}

// course adds up pools. A pool whose load nobody has ever reported does not count.
func (l *loads) course(pools []string) *console.Course {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.times)
	out := &console.Course{
		Times: append([]time.Time(nil), l.times...),
		Load:  make([]float64, n), Target: make([]float64, n), Answers: make([]float64, n),
	}
	none, known := true, false
	for _, pool := range pools {
		c := l.of[pool]
		if c == nil {
			if l.left[pool] {
				out.Left++
			}
			continue
		}
		none = false
		measured := slices.ContainsFunc(c.load, func(v float32) bool { return v == v })
		for i := range n {
			if known = known || measured; measured {
				out.Load[i] += float64(c.load[i])
				out.Target[i] += float64(c.target[i])
			}
			if i > 0 && c.answers[i] >= c.answers[i-1] {
				out.Answers[i] += float64(c.answers[i]-c.answers[i-1]) / l.times[i].Sub(l.times[i-1]).Seconds()
			}
		}
	}
	if none {
		out.Times = nil
		return out
	}
	if n > 0 {
		out.Answers[0] = math.NaN()
	}
	if !known {
		out.Load, out.Target = nil, nil
	}
	return out
}
