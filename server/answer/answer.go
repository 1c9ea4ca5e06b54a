// Package answer makes the response to a request from what is in memory. It knows no socket: a transport (package
// socket) hands a Worker the bytes of a request and the client's address, and the Worker appends the bytes of the
// response to a buffer of the transport's.
//
//	bytes ─▶ wire.Query ─▶ dispatch ─┬─▶ follow ─▶ Lookup ─┬─ static set ───▶ put ─┐
//	                                 │      ▲              ├─ policy: steer ─▶ put ─┤
//	                                 │      └── CNAME ◀────┤                        ├─▶ limit ─▶ bytes
//	                                 │                     └─ nothing: SOA ──▶ put ─┘
//	                                 └─▶ Exchange: what takes longer than an answer from memory
//
// Configuration and health come in through one call, Publish: a State pairs a Snapshot with a View, and a query loads
// that one pointer. A Worker has a random generator, scratch space and counts of its own. So an answer allocates
// nothing, takes no lock and asks nobody.
//
// worker.go frames a response, chain.go follows names, steered.go asks policies, additional.go adds addresses, rrset.go
// writes every RRset, limit.go holds back, dispatch.go says which requests are for others. ahead.go fetches memory
// before it is needed. trace.go records how a response came about, and explain.go puts that into words.
package answer

import (
	"context"
	cryptorand "crypto/rand"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/rrl"
	"leeward/server/wire"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// Options are a Responder's settings. The zero value of a field stands for its default.
type Options struct {
	// ID names this server among the servers of a zone; NSID says it to a query that asks (RFC 5001). Where it is
	// empty, the option is not answered. At most 128 octets.
	ID string

	// Chaos is what questions of class CH are told.
	Chaos Chaos

	// RateLimit bounds the responses over transports whose clients can be forged. The zero value is no limit.
	RateLimit RateLimit

	// Handlers answer what is not answered from memory.
	Handlers Handlers

	// Tap takes copies of queries and responses. nil: nobody follows them.
	Tap *Tap

	// CountTop has clients and names counted, so that Top can say who asks most.
	CountTop bool

	// Log is where faults go; nothing is logged for a query that goes well. Silent if nil.
	Log *slog.Logger

	// Registerer takes the metrics. None are registered if nil.
	Registerer prometheus.Registerer

	// Now is the clock by which the TTLs of endpoints' names run out. time.Now if nil.
	Now func() time.Time

	// Seed draws a seed for a Worker's random generator. math/rand/v2's Uint64 if nil.
	Seed func() uint64

	uncounted bool // policies are not counted apart
}

// State is all that a query needs: a Snapshot from configuration, paired with a View from health. Neither changes once
// it is published.
type State struct {
	Snapshot *snapshot.Snapshot
	View     *steer.View

	// Stale says that for long nobody has known whether the snapshot is the newest. Answers say so to whoever sends an
	// OPT record (RFC 8914 section 4.4).
	Stale bool

	bases []uint32 // the first cell of each policy, by its number (ledger); Publish sets it
}

// Responder is what the Workers of a server share. Its methods may be called from any goroutine.
type Responder struct {
	options Options
	log     *slog.Logger
	chaos   []chaosText

	state    atomic.Pointer[State]
	counts   *counts
	aside    *stripe // counts what exchanges do
	ledger   ledger
	asked    asking
	topping  *topping // nil: who asks most is not counted
	panics   panicLog
	limiter  *rrl.Limiter                  // nil: responses are not limited
	cookies  atomic.Pointer[cookieSecrets] // never nil
	handlers [kinds]Handler                // nil: its requests get REFUSED or NOTIMP
	start    time.Time                     // of the monotonic clock that workers look at
	made     time.Time                     // as Options.Now said; counts are since then
}

// New returns a Responder that tells queries SERVFAIL until the first Publish. It fails for an ID that is too long, a
// rate limit out of range, or metrics that are registered already.
func New(o Options) (*Responder, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Seed == nil {
		o.Seed = rand.Uint64
	}
	if len(o.ID) > 128 {
		return nil, fmt.Errorf("ID: %d octets do not fit beside an answer; give at most 128", len(o.ID))
	}
	r := &Responder{
		options: o, log: o.Log, chaos: o.Chaos.texts(), counts: new(counts), start: time.Now(),
		made:  o.Now(),
		asked: asking{orders: map[string]*steer.AskedOrder{}},
	}
	if o.CountTop {
		r.topping = &topping{seed: maphash.MakeSeed()}
	}
	r.handlers = r.handle(o.Handlers)
	r.aside = r.counts.stripe()
	var err error
	if r.limiter, err = newLimiter(o.RateLimit); err != nil {
		return nil, err
	}
	var secret wire.CookieSecret
	_, _ = cryptorand.Read(secret[:]) // it never fails
	r.cookies.Store(&cookieSecrets{secret})
	if o.Registerer != nil {
		if err := o.Registerer.Register(&collector{responder: r, pools: map[string]bool{}}); err != nil {
			return nil, fmt.Errorf("metrics of DNS answers: %w; give each server a registry of its own", err)
		}
	}
	return r, nil
}

// Publish makes every query from now on answer from the state: a query that is received after Publish has returned
// never sees what was before. The state must not change afterwards. Until the first Publish, and after one that lacks
// its Snapshot or its View, queries are told SERVFAIL.
func (r *Responder) Publish(state State) {
	if state.Snapshot == nil || state.View == nil {
		r.state.Store(nil)
		return
	}
	if !r.options.uncounted {
		state.bases = r.ledger.post(state.Snapshot, r.counts, r.options.Now())
	}
	r.state.Store(&state)
}

// Run gathers who asks (Asked) and how much of it is new (Counts) until the context ends.
func (r *Responder) Run(ctx context.Context) { r.followAsked(ctx) }
