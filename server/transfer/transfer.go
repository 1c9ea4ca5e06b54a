// Package transfer hands zones on to other name servers and takes them from there: AXFR (RFC 5936), IXFR (RFC 1995) and
// NOTIFY (RFC 1996), all with or without TSIG (RFC 8945).
//
// Outward, transfers are made from the Snapshot that queries are answered from. A policy appears as the RRset it is
// where there is neither a client nor health. So that secondaries can ask for what has changed, a Journal keeps the
// last versions of each zone by serial: they share the shards of the tree that have not changed, so a version costs
// what differs. What a serial stands for is settled when it is first seen, so that a full transfer and the differences
// from it agree.
//
// Inward, a Secondary follows the zones that live on other primaries, and hands over each version of them that has come
// whole; what is laid over it is the snapshot's business.
//
// serve.go answers, journal.go keeps versions, notify.go tells secondaries, message.go fills messages. secondary.go
// decides when primaries are asked, refresh.go asks one after the other, fetch.go asks one, receive.go makes a version
// of what it sends, kept.go keeps it on disk, expire.go gives it up, notified.go hears of changes, following.go
// reports. turns.go and held.go bound how many transfers there are and what they hold, source.go says which address
// they use.
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

// Options are what a Primary works with.
type Options struct {
	Log        *slog.Logger          // silent if nil
	Now        func() time.Time      // time.Now if nil
	Registerer prometheus.Registerer // none if nil
	Sockets    int                   // to secondaries and primaries at once, at most; as many as there may be if zero
	Secondary  *Secondary            // follows the zones that live elsewhere; nil: NOTIFY is REFUSED
	Listen     []string              // addresses with ports: NOTIFY is sent from these, unless a zone says otherwise
}

// Primary answers for transfers and tells secondaries of changes. Its methods may be called from any goroutine.
type Primary struct {
	o       Options
	keys    atomic.Pointer[tsig.Ring]
	journal *journal
	metrics *metrics
	told    told
	sources sources

	mu    sync.Mutex
	state *answer.State // published, and not looked at yet
	wake  chan struct{}
}

// New returns a Primary without keys.
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

// SetKeys makes the ring's keys the ones that are known from now on; nil: none.
func (p *Primary) SetKeys(r *tsig.Ring) { p.keys.Store(r) }

// Keys returns the keys that are known.
func (p *Primary) Keys() *tsig.Ring { return p.keys.Load() }

// Publish says what is served from now on. It does not wait: Run looks at it later.
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

// settle is how long changes are gathered before secondaries are told: a burst of them is one NOTIFY.
const settle = 200 * time.Millisecond

// Run keeps the journal and tells secondaries, until the context ends.
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
			continue // only verdicts have turned
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
