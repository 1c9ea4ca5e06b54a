package answer

import (
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

	"leeward/server/wire"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// Worker answers requests over one transport, one at a time. A packet loop has its own; connections borrow one from a
// pool. It contains whatever answering a query needs, so that nothing is allocated and nothing is shared.
type Worker struct {
	responder *Responder
	over      *Transport
	stripe    *stripe
	tally     tally
	answered  answered
	random    rand.PCG

	query    wire.Query
	build    wire.Builder
	found    snapshot.Answer
	beside   snapshot.Addresses
	owner    int // where the name that is being looked up is in the message
	request  steer.Request
	decision steer.Decision
	scope    uint8            // of the ECS option; the longest so far in the chain
	name     []byte           // the name that is being looked up, in lower case
	chain    [maxChain]target // where the query has led to
	signing  signing
	dnames   [maxChain]*byte // DNAMEs that were written, by the first octet of their sets
	turns    int             // number of these
	again    bool            // the answer is being written once more, so nothing is counted again

	now     moment
	subject subject               // of the response, for the rate limit
	ours    bool                  // it is about something in a zone of ours, or of class CH
	cookie  [wire.CookieSize]byte // to go with the response
	is      standing              // standing of the client

	aside bool   // it works for an Exchange, so nothing is counted again, limited or handed over
	of    *State // the State of the Exchange
	spare int    // octets to leave free for a signature
	key   string // key that the request is signed with; "": none

	ahead []ahead // what is known of the requests of a batch; nil over a stream

	tap      *tapRing // the stripe's; nil: nobody follows queries
	untapped uint32   // queries since the last one that was taken

	trace *trace // nil: nobody asks how the response is made
}

// Worker makes a worker for the transport. It counts in a stripe of its own.
func (r *Responder) Worker(over *Transport) *Worker { return r.workerOn(r.tapped(), over) }

// Workers returns a function that makes workers sharing n stripes, for transports whose workers come and go.
func (r *Responder) Workers(over *Transport, n int) func() *Worker {
	stripes := make([]*stripe, max(n, 1))
	for i := range stripes {
		stripes[i] = r.tapped()
	}
	var next atomic.Uint64
	return func() *Worker { return r.workerOn(stripes[next.Add(1)%uint64(len(stripes))], over) }
}

// tapped makes a stripe whose queries can be followed, and whose clients and names are counted.
func (r *Responder) tapped() *stripe {
	s := r.counts.stripe()
	if r.options.Tap != nil {
		s.tap = r.options.Tap.ring()
	}
	if r.topping != nil {
		s.top = &topStripe{seed: r.topping.seed}
		s.top.clients.open()
		s.top.names.open()
	}
	return s
}

func (r *Responder) workerOn(on *stripe, over *Transport) *Worker {
	w := &Worker{responder: r, over: over, stripe: on, tap: on.tap}
	w.random.Seed(r.options.Seed(), r.options.Seed())
	w.build.NSID = []byte(r.options.ID)
	w.build.Suffixes = new(wire.Suffixes)
	if !over.Stream {
		w.ahead = make([]ahead, mostAhead)
	}
	w.Look()
	return w
}

// Flush adds what the worker has counted to what others can read.
func (w *Worker) Flush() {
	w.stripe.add(&w.tally)
	w.answered.tell(&w.stripe.cells)
}

// Lost counts n requests or responses that the transport has dropped.
func (w *Worker) Lost(why Loss, n int) { w.tally[dropped+int(why)] += uint64(n) }

// Fault counts and logs a panic that occurred while a request was answered. The caller of Respond recovers from it once
// for each batch, because recovering has a price.
func (w *Worker) Fault(fault any, request []byte, client netip.Addr) {
	w.tally[droppedPanic]++
	w.responder.panics.say(w.responder.log, fault, request, client)
}

// Respond makes the response to a request from the state published last. It writes to out from its start up to its
// capacity, and returns what it wrote, or nothing if there is nothing to say. cut says that the request was cut off
// because it was longer than any may be; the response is then FORMERR. If kind is not Query, there is no response yet:
// see Later.
//
// The response is a function of the state, the request, the client's address and the worker's random generator. The
// state is nil until there is one.
func (w *Worker) Respond(request []byte, client netip.Addr, cut bool, out []byte) (response []byte, kind Kind) {
	r, q, b := w.responder, &w.query, &w.build
	state := r.state.Load()
	if w.aside {
		state = w.of
	}
	w.again = false
	verdict := q.Parse(request)
	switch {
	case verdict == wire.Drop:
		w.tally[droppedShort]++
		return nil, Query
	case cut:
		verdict = wire.FormErr
	}
	if !w.aside {
		family := 0
		if client.Is6() {
			family = 1
		}
		w.tally[queries+w.over.way+family]++
		w.tally[types+typeRow(q.Type)]++
		if w.stripe.top != nil {
			w.stripe.top.count(q.Name(), client)
		}
		if kind := kindOf(q, verdict); kind != Query && r.handlers[kind] != nil {
			w.is, _ = w.judge(client)
			return nil, kind
		}
	}

	limit := w.over.Size
	if !w.over.Stream {
		limit = q.Limit(limit)
	}
	b.Start(out, limit-w.spare, q)
	w.scope = 0
	w.subject, w.ours = subject{}, false
	rcode, is := verdict.Rcode(), w.taste(client)
	if q.Keepalive && w.over.Idle > 0 {
		b.SetKeepalive(w.over.Idle)
	}
	if q.ECS.Present {
		w.tally[subnets]++
	}
	switch {
	case verdict == wire.Bare && is == imposter:
		rcode = wire.RcodeBadCookie // RFC 7873 section 5.4
	case verdict != wire.OK:
	case q.Class == wire.ClassCH:
		rcode = w.chaos()
	case state == nil:
		rcode = wire.RcodeServFail
		b.SetError(wire.ErrorNotReady, "no snapshot yet")
		w.tally[notReady]++
	case q.Class != wire.ClassIN, q.Type == wire.TypeAXFR, q.Type == wire.TypeIXFR:
		rcode = wire.RcodeRefused
		b.SetError(wire.ErrorNotSupported, "")
	default:
		random := w.random
		rcode = w.follow(state, client)
		if b.Truncated() && b.Tighten() { // names took too much room: the same answer, with shorter ones
			w.random, w.again = random, true
			rcode = w.follow(state, client)
			w.again = false
		}
		if state.Stale {
			b.SetError(wire.ErrorStaleAnswer, "")
		}
		if w.over.Stream && b.Truncated() { // larger than any message: TC would send the client here again
			b.Fail()
			rcode = wire.RcodeServFail
			b.SetError(wire.ErrorOther, "the answer is larger than a message")
		}
	}
	if !w.aside {
		var sent bool
		if rcode, sent = w.limit(client, is, rcode); !sent {
			return nil, Query
		}
		if !w.over.Stream && is != familiar && !w.ours && b.Empty() {
			b.Lean(len(request))
		}
	}
	b.SetRcode(rcode)
	if b.Truncated() {
		w.tally[truncated]++
	}
	if !w.aside { // otherwise, whoever sends it counts it
		w.tally[responses+min(int(rcode), responseCodes-1)]++
	}
	return b.Finish(), Query
}
