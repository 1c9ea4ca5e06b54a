package answer

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"leeward/zones/steer"
)

// Which clients ask is counted by their steer.Kind, for forecasts: never by address. A worker looks at a sample of the
// queries that it steers, as the whole order of pools takes longer to find than the answer does, and adds it to a table
// of fixed size. Every few seconds somebody else takes the table away, puts another one in its place, and adds what it
// has to counts that fade.

const (
	kindSlots  = 256 // of a table; a power of two
	kindProbes = 16  // slots that are tried for a kind
	askedStep  = 512 // after so many samples half as many queries are looked at, down to
	askedMask  = 255 // one in 256

	askedEvery = 5 * time.Second
	askedHalf  = 5 * time.Minute // after which a query counts for half
	askedMost  = 4096            // orders that are counted in all
)

// kindTable is what one worker has counted since the table was put there. Workers of TCP share one.
type kindTable struct {
	mask    atomic.Uint64 // a query is looked at whose random number has none of these bits
	samples atomic.Uint64
	other   atomic.Uint64 // queries of kinds for which there was no room
	slots   [kindSlots]kindSlot
}

// kindSlot counts one kind. It is taken by its policy, and has its code a moment later.
type kindSlot struct {
	policy  atomic.Pointer[steer.Policy]
	code    atomic.Uint64 // 1 more than that; 0: not there yet
	queries atomic.Uint64
	samples atomic.Uint64
}

// kindTables are a stripe's two tables: one that is counted in, and one that has been taken away.
type kindTables struct {
	now  atomic.Pointer[kindTable]
	both [2]*kindTable
}

func (k *kindTables) open() {
	k.both = [2]*kindTable{new(kindTable), new(kindTable)}
	k.now.Store(k.both[0])
}

// add counts a query of the policy, if it is one of those that are looked at.
func (k *kindTables) add(p *steer.Policy, req *steer.Request) {
	t := k.now.Load()
	if req.Random&t.mask.Load() == 0 {
		t.add(p, p.Kind(req).Code())
	}
}

func (t *kindTable) add(p *steer.Policy, code uint64) {
	weight := t.mask.Load() + 1
	if t.samples.Add(1)%askedStep == 0 {
		t.mask.Store(min(2*weight-1, askedMask))
	}
	at := p.Hash() ^ code*0x9e3779b97f4a7c15
	at ^= at >> 29
	for i := range uint64(kindProbes) {
		s := &t.slots[(at+i)%kindSlots]
		owner := s.policy.Load()
		if owner == nil && s.policy.CompareAndSwap(nil, p) {
			s.code.Store(code + 1)
			owner = p
		}
		if owner == p && s.code.Load() == code+1 {
			s.queries.Add(weight)
			s.samples.Add(1)
			return
		}
	}
	t.other.Add(weight)
}

// turn has the table read that was taken away a turn ago, which nobody adds to any more, and puts it in place of the
// present one.
func (k *kindTables) turn(read func(*kindTable)) {
	now := k.now.Load()
	for _, t := range k.both {
		if t != now {
			read(t)
			t.clear()
			k.now.Store(t)
		}
	}
}

func (t *kindTable) clear() {
	t.mask.Store(0)
	t.samples.Store(0)
	t.other.Store(0)
	for i := range t.slots {
		s := &t.slots[i]
		s.code.Store(0)
		s.policy.Store(nil)
		s.queries.Store(0)
		s.samples.Store(0)
	}
}

// asking is what all workers have counted, fading.
type asking struct {
	mu      sync.Mutex
	seconds float64
	other   float64
	orders  map[string]*steer.AskedOrder
}

// fade lets time go by.
func (a *asking) fade(past time.Duration) {
	keep := math.Exp2(-past.Seconds() / askedHalf.Seconds())
	a.seconds = a.seconds*keep + past.Seconds()
	a.other *= keep
	for key, o := range a.orders {
		o.Queries *= keep
		if o.Samples *= keep; o.Samples < 0.05 {
			delete(a.orders, key)
		}
	}
}

// read adds what a table has.
func (a *asking) read(t *kindTable) {
	a.other += float64(t.other.Load())
	for i := range t.slots {
		s := &t.slots[i]
		p, code, queries := s.policy.Load(), s.code.Load(), float64(s.queries.Load())
		if p == nil || code == 0 || queries == 0 {
			continue
		}
		order := p.Order(steer.KindOf(code - 1))
		key := order.Key()
		to := a.orders[key]
		if to == nil && len(a.orders) >= askedMost {
			a.other += queries
			continue
		}
		if to == nil {
			to = &steer.AskedOrder{Order: order}
			a.orders[key] = to
		}
		to.Queries += queries
		to.Samples += float64(s.samples.Load())
	}
}

// tallyAsked lets time go by and takes up what workers have counted.
func (r *Responder) tallyAsked(past time.Duration) {
	r.asked.mu.Lock()
	defer r.asked.mu.Unlock()
	r.asked.fade(past)
	r.counts.each(func(on *stripe) { on.kinds.turn(r.asked.read) })
}

// followAsked does so again and again until the context ends.
func (r *Responder) followAsked(ctx context.Context) {
	tick := time.NewTicker(askedEvery)
	defer tick.Stop()
	samples := time.NewTicker(sampleEvery)
	defer samples.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now := time.Now()
			r.tallyAsked(now.Sub(last))
			last = now
		case <-samples.C:
			now := r.options.Now()
			r.sample(now)
			r.followTop(now)
		}
	}
}

// Asked returns which clients have asked within the last minutes, so many orders at most; what came within the last ten
// seconds may be missing. nil: nobody has.
func (r *Responder) Asked(most int) *steer.Asked {
	r.asked.mu.Lock()
	defer r.asked.mu.Unlock()
	if len(r.asked.orders) == 0 && r.asked.other == 0 {
		return nil
	}
	out := &steer.Asked{Seconds: r.asked.seconds, Queries: r.asked.other, Other: r.asked.other}
	for _, o := range r.asked.orders {
		out.Queries += o.Queries
		out.Orders = append(out.Orders, *o)
	}
	out.Sort(most)
	return out
}
