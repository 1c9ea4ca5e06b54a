package server

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"leeward/server/wire"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// The protocols, as the first of their two ways.
const (
	udp = udp4
	tcp = tcp4
)

// worker answers queries, one at a time: a packet loop has its own, and TCP connections borrow one from a pool.
// Whatever a query needs to be answered is in it, so that nothing is allocated and nothing shared.
type worker struct {
	server *Server
	proto  way // udp or tcp
	stripe *stripe
	tally  tally
	random rand.PCG

	query    wire.Query
	build    wire.Builder
	found    snapshot.Answer
	beside   snapshot.Addresses
	request  steer.Request
	decision steer.Decision
	scope    uint8              // of the ECS option, the longest so far of a chain
	host     [wire.MaxName]byte // that a policy leads to
	name     []byte             // that is looked up, in lower case
	owner    int                // where it is in the message
	chain    [maxChain]target   // where the query has led to
	dnames   [maxChain]*byte    // the DNAMEs that were written, by the first octet of their sets
	turns    int                // how many these are
	again    bool               // the answer is written once more: nothing is counted again

	now     moment
	subject subject               // of the response, for the rate limit
	ours    bool                  // it is about what is in a zone of ours, or of class CH
	cookie  [wire.CookieSize]byte // that goes with it

	special bool     // the request last read is for Options.Special
	is      standing // of whoever has sent it
	plain   bool     // this worker works for it: nothing is counted again, limited or handed over
	spare   int      // octets to leave free for it

	trace *Trace // how the response comes about, for who explains it; nil: nobody asks

	long []byte // TCP: where a response is made, wire.MaxMessage octets
}

// newWorker makes a worker that counts in a stripe of its own.
func (s *Server) newWorker(proto way) *worker { return s.newWorkerOn(s.counts.stripe(), proto) }

func (s *Server) newWorkerOn(on *stripe, proto way) *worker {
	w := &worker{server: s, proto: proto, stripe: on}
	w.random.Seed(s.options.Seed(), s.options.Seed())
	w.build.UDPSize = uint16(s.options.UDPSize)
	w.build.NSID = s.nsid
	w.build.Suffixes = new(wire.Suffixes)
	if proto == tcp {
		w.long = make([]byte, wire.MaxMessage)
	}
	w.look()
	return w
}

// flush tells others what has been counted.
func (w *worker) flush() { w.stripe.add(&w.tally) }

// answer makes the response to a request from the state published last. It writes to out from its start up to its
// capacity, and returns what it wrote; nothing if there is nothing to say. A fault in here costs that response and no
// more.
func (w *worker) answer(request []byte, client netip.Addr, out []byte) (response []byte) {
	defer w.survive(request, client, &response)
	return w.respond(w.server.state.Load(), request, client, out)
}

// survive keeps a panic from ending the server: it counts it, and logs one a second at most.
func (w *worker) survive(request []byte, client netip.Addr, response *[]byte) {
	if fault := recover(); fault != nil {
		*response = nil
		w.failed(fault, request, client)
	}
}

func (w *worker) failed(fault any, request []byte, client netip.Addr) {
	w.tally[droppedPanic]++
	w.server.panics.say(w.server.log, fault, request, client)
}

// refuse is answer for the start of a request over UDP that is longer than any may be.
func (w *worker) refuse(start []byte, client netip.Addr, out []byte) (response []byte) {
	defer w.survive(start, client, &response)
	return w.reply(w.server.state.Load(), start, client, out, true)
}

// respond is answer without its safety net: a function of the state, the request, the client's address and the worker's
// random generator. The state is nil until there is one.
func (w *worker) respond(state *State, request []byte, client netip.Addr, out []byte) []byte {
	return w.reply(state, request, client, out, false)
}

// reply is respond, also for a request that was cut short, which is FORMERR whatever is left of it.
func (w *worker) reply(state *State, request []byte, client netip.Addr, out []byte, cut bool) []byte {
	q, b := &w.query, &w.build
	w.special, w.again = false, false
	verdict := q.Parse(request)
	switch {
	case verdict == wire.Drop:
		w.tally[droppedShort]++
		return nil
	case cut:
		verdict = wire.FormErr
	}
	family := way(0)
	if client.Is6() {
		family = 1
	}
	if !w.plain {
		w.tally[queries+w.proto+family]++
	}
	if w.special = !w.plain && w.server.special != nil && isSpecial(q, verdict); w.special {
		w.is, _ = w.judge(client)
		return nil
	}

	limit := wire.MaxMessage
	if w.proto == udp {
		limit = q.Limit(w.server.options.UDPSize)
	}
	b.Start(out, limit-w.spare, q)
	w.scope = 0
	w.subject, w.ours = subject{}, false
	rcode, is := verdict.Rcode(), w.taste(client)
	if q.Keepalive && w.proto == tcp {
		b.SetKeepalive(w.server.options.TCP.Idle)
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
	case q.Class != wire.ClassIN:
		rcode = wire.RcodeRefused
		b.SetError(wire.ErrorNotSupported, "")
	case q.Type == wire.TypeAXFR || q.Type == wire.TypeIXFR:
		rcode = wire.RcodeRefused
		b.SetError(wire.ErrorNotSupported, "")
	default:
		random := w.random
		rcode = w.follow(state, client)
		if b.Truncated() && b.Tighten() { // names took too much: the same answer, with shorter ones
			w.random, w.again = random, true
			rcode = w.follow(state, client)
			w.again = false
		}
		if state.Stale {
			b.SetError(wire.ErrorStaleAnswer, "")
		}
		if w.proto == tcp && b.Truncated() { // larger than any message: TC would send the requester here again
			b.Fail()
			rcode = wire.RcodeServFail
			b.SetError(wire.ErrorOther, "the answer is larger than a message")
		}
	}
	if !w.plain {
		var sent bool
		if rcode, sent = w.limit(client, is, rcode); !sent {
			return nil
		}
		if w.proto == udp && is != familiar && !w.ours && b.Empty() {
			b.Lean(len(request))
		}
	}
	b.SetRcode(rcode)
	if b.Truncated() {
		w.tally[truncated]++
	}
	if !w.plain { // whoever sends it counts it
		w.tally[responses+min(int(rcode), responseCodes-1)]++
	}
	return b.Finish()
}

// scratchPool lends workers to TCP connections. They hold nothing that may not be lost: what they count is flushed
// before they are given back.
type scratchPool struct{ pool sync.Pool }

func newScratchPool(s *Server) *scratchPool {
	stripes := make([]*stripe, s.options.Workers) // fewer than workers, which come and go
	for i := range stripes {
		stripes[i] = s.counts.stripe()
	}
	var next atomic.Uint64
	return &scratchPool{sync.Pool{New: func() any {
		return s.newWorkerOn(stripes[next.Add(1)%uint64(len(stripes))], tcp)
	}}}
}

func (p *scratchPool) get() *worker  { return p.pool.Get().(*worker) }
func (p *scratchPool) put(w *worker) { p.pool.Put(w) }

// panicLog says what went wrong, one a second at most: whoever finds a request that does it can send many.
type panicLog struct {
	last       atomic.Int64 // nanoseconds since began, and 1; 0: never
	suppressed atomic.Uint64
}

// began is what the log counts from: the monotonic clock tells, so that a wall clock set back does not silence it.
var began = time.Now()

func (p *panicLog) say(log *slog.Logger, fault any, request []byte, client netip.Addr) {
	now, last := int64(time.Since(began))+1, p.last.Load()
	if last != 0 && now-last < int64(time.Second) || !p.last.CompareAndSwap(last, now) {
		p.suppressed.Add(1)
		return
	}
	log.Error("a fault while answering a query; it was dropped", "fault", fmt.Sprint(fault), "client", client,
		"request", fmt.Sprintf("%x", request[:min(len(request), 512)]), "suppressed", p.suppressed.Swap(0),
		"stack", string(debug.Stack()))
}
