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
	// ID names this server among the servers of a zone. NSID tells it to a query that asks (RFC 5001); if it is empty,
	// NSID is not answered. At most 128 octets.
	ID string

	// Chaos is what questions of class CH are answered.
	Chaos Chaos

	// RateLimit bounds the responses over transports on which clients' addresses can be forged. The zero value sets no
	// limit.
	RateLimit RateLimit

	// Handlers answer requests that are not answered from memory.
	Handlers Handlers

	// Tap takes copies of queries and responses. nil: nobody follows them.
	Tap *Tap

	// CountTop says to count clients and names, so that Top can say who asks most.
	CountTop bool

	// Log gets faults. Nothing is logged for a query that goes well. nil: faults are not logged.
	Log *slog.Logger

	// Registerer gets the metrics. nil: none are registered.
	Registerer prometheus.Registerer

	// Now is the clock by which the TTLs of endpoints' names run out. nil: time.Now.
	Now func() time.Time

	// Seed draws a seed for the random generator of a Worker. nil: Uint64 of math/rand/v2.
	Seed func() uint64

	uncounted bool // policies are not counted separately
}

// State is all that a query needs: a Snapshot from configuration, paired with a View from health. Neither changes once
// it is published.
type State struct {
	Snapshot *snapshot.Snapshot
	View     *steer.View

	// Stale says that for a long time nobody has known whether the snapshot is the newest. Answers then say so to
	// queries with an OPT record (RFC 8914 section 4.4).
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
	aside    *stripe // for what exchanges do
	ledger   ledger
	asked    asking
	topping  *topping // nil: nobody counts who asks most
	panics   panicLog
	limiter  *rrl.Limiter                  // nil: responses are not limited
	cookies  atomic.Pointer[cookieSecrets] // never nil
	handlers [kinds]Handler                // nil: its requests get REFUSED or NOTIMP
	start    time.Time                     // by the monotonic clock that workers read
	made     time.Time                     // by Options.Now; counts begin here
}

// New returns a Responder that answers SERVFAIL until the first Publish. It fails if the ID is too long, the rate limit
// is out of range, or the metrics are already registered.
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

// Publish puts a state into service. A query that is received after Publish has returned never sees an earlier state.
// The state must not change afterwards. Until the first Publish, and after one without a Snapshot or a View, queries
// get SERVFAIL.
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

// Run gathers who asks (Asked), and how many of the queries are recent (Counts), until the context ends.
func (r *Responder) Run(ctx context.Context) { r.followAsked(ctx) }
