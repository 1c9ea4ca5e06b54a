// Package transfer hands zones to other name servers and takes zones from them: AXFR (RFC 5936), IXFR (RFC 1995) and
// NOTIFY (RFC 1996), with or without TSIG (RFC 8945).
//
// Outward, a Primary sends zones from the Snapshot that queries are answered from. A policy is sent as the RRset that
// it answers with if neither client nor health is known. A journal keeps the last versions of each zone by serial, so
// that secondaries can ask for differences. Versions share all shards of the tree that have not changed, so a version
// costs only what differs. The first version seen with a serial is kept for that serial, so that a full transfer and
// the differences agree.
//
// Inward, a Secondary follows the zones that live on other primaries. It hands over each version that has arrived
// completely; package snapshot lays policies and records over it.
//
// Outward: serve.go answers, journal.go keeps versions, notify.go tells secondaries, message.go fills messages.
//
// Inward: secondary.go decides when to ask, refresh.go asks the primaries in turn, fetch.go asks one, receive.go makes
// a version of its answer, kept.go keeps that on disk, expire.go withdraws it when it is too old, notified.go receives
// NOTIFY, and following.go reports. turns.go bounds how many requests there are, held.go how much memory they hold, and
// source.go chooses the address to send from.
package transfer

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/answer"
	"leeward/server/tsig"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// Options configure a Primary.
type Options struct {
	Log        *slog.Logger          // nil: silent
	Now        func() time.Time      // nil: time.Now
	Registerer prometheus.Registerer // nil: metrics are not registered
	Sockets    int                   // to secondaries and primaries at once, at most; 0: as many as the bounds allow
	Secondary  *Secondary            // follows the zones that live elsewhere; nil: NOTIFY is REFUSED
	Listen     []string              // addresses with ports that NOTIFY is sent from, unless a zone sets others
}

// Primary answers transfer queries and tells secondaries of changes. Methods may be called from any goroutine.
type Primary struct {
	o       Options
	keys    atomic.Pointer[tsig.Ring]
	journal *journal
	metrics *metrics
	told    told
	sources sources

	mu    sync.Mutex
	state *answer.State // published, but not yet seen by Run
	wake  chan struct{}
}

// New returns a Primary without keys. It fails if the Registerer has the metrics already.
func New(o Options) (*Primary, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Primary{o: o, journal: newJournal(), sources: newSources(o.Listen), wake: make(chan struct{}, 1)}
	p.told.all = map[tellingKey]*telling{}
	var err error
	if p.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, err
	}
	return p, nil
}

// SetKeys replaces the keys that are known; nil: none.
func (p *Primary) SetKeys(r *tsig.Ring) { p.keys.Store(r) }

// Keys returns the keys that are known; nil: none.
func (p *Primary) Keys() *tsig.Ring { return p.keys.Load() }

// Publish says what is served from now on. It does not wait; Run looks at it later.
func (p *Primary) Publish(state answer.State) {
	p.mu.Lock()
	p.state = &state
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Primary) take() *answer.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state
	p.state = nil
	return s
}

// settle is how long Run waits after a change before it looks for the next, so that a burst of changes causes one
// NOTIFY.
const settle = 200 * time.Millisecond

// Run keeps the journal and tells secondaries until the context ends.
func (p *Primary) Run(ctx context.Context) {
	n := newNotifier(p)
	defer n.wait()
	var seen *snapshot.Snapshot
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		state := p.take()
		if state == nil || state.Snapshot == nil || state.Snapshot == seen {
			continue // only verdicts have changed
		}
		seen = state.Snapshot
		for _, z := range p.journal.follow(state.Snapshot) {
			n.changed(ctx, z)
		}
		n.forget(func(zone string) bool {
			origin, err := rr.ParseName(zone)
			return err == nil && state.Snapshot.Zone(origin) != nil
		})
		p.metrics.versions.Set(float64(p.journal.count()))
		pause := time.NewTimer(settle)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}
