package answer

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"leeward/zones/steer"
)

// Clients are counted by their steer.Kind, never by address, for forecasts. A worker looks at only a sample of the
// queries that it steers, because finding the whole order of pools takes longer than the answer does. It adds the
// sample to a table of fixed size. Every few seconds another goroutine replaces that table, and adds its content to
// counts that fade.

const (
	kindSlots  = 256 // of a table; must be a power of two
	kindProbes = 16  // slots that are tried for one kind
	askedStep  = 512 // after this many samples, half as many queries are looked at, down to
	askedMask  = 255 // one in 256

	askedEvery = 5 * time.Second
	askedHalf  = 5 * time.Minute // after which a query counts half
	askedMost  = 4096            // orders of pools that are counted in total
)

// kindTable is what one worker has counted since the table was installed. TCP workers share one.
type kindTable struct {
	mask    atomic.Uint64 // a query is looked at if its random number has none of these bits
	samples atomic.Uint64
	other   atomic.Uint64 // queries of kinds that found no room
	slots   [kindSlots]kindSlot
}

// kindSlot counts one kind. Setting its policy takes the slot; its code follows a moment later.
type kindSlot struct {
	policy  atomic.Pointer[steer.Policy]
	code    atomic.Uint64 // 1 more than the code; 0: not set yet
	queries atomic.Uint64
	samples atomic.Uint64
}

// kindTables are the two tables of a stripe: the one that is counted in, and the one that was taken away.
type kindTables struct {
	now  atomic.Pointer[kindTable]
	both [2]*kindTable
}

func (k *kindTables) open() {
	k.both = [2]*kindTable{new(kindTable), new(kindTable)}
	k.now.Store(k.both[0])
}

// add counts a query of the policy, if it belongs to the sample.
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

// turn reads the table that the last turn took away, to which nobody adds any more. Then it puts that table in place of
// the present one.
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

// asking is what all workers have counted, fading over time.
type asking struct {
	mu      sync.Mutex
	seconds float64
	other   float64
	orders  map[string]*steer.AskedOrder
}

// fade lets the counts fade by a span of time.
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

// read adds the content of a table.
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

// tallyAsked lets the counts fade, and adds what workers have counted.
func (r *Responder) tallyAsked(past time.Duration) {
	r.asked.mu.Lock()
	defer r.asked.mu.Unlock()
	r.asked.fade(past)
	r.counts.each(func(on *stripe) { on.kinds.turn(r.asked.read) })
}

// followAsked does that again and again until the context ends.
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

// Asked returns which clients have asked in the last minutes, with at most most orders of pools. Queries of the last
// ten seconds may be missing. It returns nil if nobody has asked.
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
