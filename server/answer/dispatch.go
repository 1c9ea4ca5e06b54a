package answer

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"leeward/server/tsig"
	"leeward/server/wire"
	"leeward/zones/snapshot"
)

// Kind says who answers a request.
type Kind uint8

// The kinds. All but Query take time or several messages, and are answered apart from queries.
const (
	Query    Kind = iota // answered from memory
	Signed               // a query with a TSIG record (RFC 8945): like Query, but the response is signed
	Transfer             // AXFR (RFC 5936), IXFR (RFC 1995)
	Notify               // RFC 1996
	Update               // RFC 2136
	kinds    = iota
)

// kindOf decides, by opcode and type, who answers. No other place does.
func kindOf(q *wire.Query, verdict wire.Verdict) Kind {
	switch verdict {
	case wire.OK:
		if q.Type-wire.TypeIXFR <= wire.TypeAXFR-wire.TypeIXFR && q.Class == wire.ClassIN {
			return Transfer
		}
		if q.TSIG != 0 {
			return Signed
		}
	case wire.NotImp:
		switch q.Opcode {
		case wire.OpcodeNotify:
			return Notify
		case wire.OpcodeUpdate:
			return Update
		}
	}
	return Query
}

// Handler answers an Exchange. It must end soon after its context has ended, or after Write has failed.
type Handler func(ctx context.Context, x *Exchange)

// Handlers answer requests that are not answered from memory. Without a handler, transfers get REFUSED, and NOTIFY and
// UPDATE get NOTIMP.
type Handlers struct {
	Transfer, Notify, Update Handler

	// Keys returns the keys that requests may be signed with. nil: queries with TSIG are answered unsigned.
	Keys func() *tsig.Ring
}

func (r *Responder) handle(h Handlers) (all [kinds]Handler) {
	all[Transfer], all[Notify], all[Update] = h.Transfer, h.Notify, h.Update
	if h.Keys != nil {
		all[Signed] = r.signed
	}
	return all
}

// Exchange is a message that is answered later, and what its answer needs.
type Exchange struct {
	Kind    Kind
	Request []byte // the message, which the handler owns
	// as far as it could be read: always ID, opcode and flags; for a Transfer and a Notify also the question
	Query wire.Query

	Source netip.AddrPort // the sender; an IPv4 address is never mapped
	Over   *Transport

	// State is what was published last when the message came; nil if nothing was.
	State *State

	// Session signs the responses to a request with a valid TSIG; nil signs nothing. Fault is what is wrong with an
	// invalid TSIG; nil if there is none, or nothing is wrong with it.
	Session *tsig.Session
	Fault   *tsig.Fault

	// Write sends one message to the client. Over a stream there may be any number of messages. Otherwise there is one,
	// which must not be larger than the request permits. Meanwhile nothing else is sent to the client. Write does not
	// keep the message. After an error, nothing more can be sent.
	Write func(message []byte) error

	is  standing // of a client whose address may be forged
	now func() time.Time
}

// Later makes the Exchange for a request, after Respond has returned a kind other than Query. The caller sets Write,
// and calls Serve.
func (w *Worker) Later(request []byte, source netip.AddrPort) *Exchange {
	r := w.responder
	x := &Exchange{
		Request: append([]byte(nil), request...), Source: source, Over: w.over, State: r.state.Load(), is: w.is,
		now: r.options.Now,
	}
	x.Kind = kindOf(&x.Query, x.Query.Parse(x.Request))
	return x
}

// Serve calls the handler for the exchange's kind. It counts the response, and keeps a panic from ending the server. It
// returns false if there was a panic.
func (r *Responder) Serve(ctx context.Context, x *Exchange) (whole bool) {
	defer func() {
		if fault := recover(); fault != nil {
			r.aside.sums[droppedPanic].Add(1)
			r.panics.say(r.log, fault, x.Request, x.Source.Addr())
		}
	}()
	if keys := r.options.Handlers.Keys; keys != nil {
		x.Session, x.Fault = keys().Verify(x.Request, x.now())
	}
	write, counted := x.Write, false
	x.Write = func(message []byte) error {
		if !x.Over.Stream {
			if message = r.limited(x, append([]byte(nil), message...)); len(message) == 0 {
				return nil
			}
		}
		if !counted && len(message) >= wire.HeaderSize {
			counted = true
			r.aside.sums[responses+int(message[3]&15)].Add(1)
		}
		return write(message)
	}
	r.handlers[x.Kind](ctx, x)
	return true
}

// faultRoom is the size, in octets, of a TSIG record that says what is wrong with another: two names, and the rest.
const faultRoom = 2*wire.MaxName + 100

// leastOPT is the size, in octets, of an OPT record with an Extended DNS Error without text.
const leastOPT = 11 + 6

// Reply sends a response without records, signed as the request was. code and text are an Extended DNS Error (RFC
// 8914). It is left out if text is empty, or if a TSIG record says what is wrong: then it would tell more to anybody
// who asks.
func (x *Exchange) Reply(rcode, code uint16, text string) error {
	room, limit := x.Session.Room(), x.Over.Size
	if x.Fault != nil {
		room, text = faultRoom, ""
	}
	if !x.Over.Stream {
		limit = x.Query.Limit(limit)
	}
	// a long name in a small message: the text is dropped first
	size := max(limit-room, wire.HeaderSize+len(x.Query.Question)+leastOPT)
	size = min(size, wire.MaxMessage)
	var b wire.Builder
	b.Start(make([]byte, size, size+room), size, &x.Query)
	b.SetRcode(rcode)
	b.SetAuthoritative(x.Kind == Notify && rcode == wire.RcodeNoError) // RFC 1996 section 4.7
	if text != "" {
		b.SetError(code, text)
	}
	if x.Fault != nil {
		return x.Write(x.Fault.Sign(b.Finish(), x.now()))
	}
	return x.Write(x.Session.Sign(b.Finish(), x.now()))
}

// signed has a Worker of its own answer a query with TSIG as if it had none, and signs the answer. Secondaries ask for
// the SOA in this way.
func (r *Responder) signed(_ context.Context, x *Exchange) {
	if x.Fault != nil {
		_ = x.Reply(x.Fault.Rcode, 0, "")
		return
	}
	w := r.workerOn(r.aside, x.Over)
	w.aside, w.of, w.spare, w.key = true, x.State, x.Session.Room(), x.Session.KeyName()
	defer w.Flush()
	if reply, _ := w.Respond(x.Request, x.Source.Addr(), false, make([]byte, 0, x.Over.Size)); len(reply) > 0 {
		_ = x.Write(x.Session.Sign(reply, x.now()))
	}
}

// limited returns what may be sent of a response to a client whose address may be forged. Without proof, and with
// nothing from a zone, it is no longer than the request. The rate limit applies unless the client has shown by a cookie
// or a signature that its address is its own. Others may have overheard a signature, so a response that is longer than
// its signed request is limited too.
func (r *Responder) limited(x *Exchange, message []byte) []byte {
	proven := x.Session != nil || x.Fault.Known() // the request was made with a key of ours
	if x.is == familiar || len(message) < wire.HeaderSize || proven && len(message) <= len(x.Request) {
		return message
	}
	records := message[6] | message[7] | message[8] | message[9]
	if !proven && records == 0 {
		message = wire.Trim(message, len(x.Request))
	}
	if r.limiter == nil {
		return message
	}
	fate := r.fate(r.limiter.At(time.Since(r.start)), x.Source.Addr(), subjectOfMessage(x.State, message),
		globalRandom{})
	if fate != unlimited {
		r.aside.sums[fate].Add(1)
	}
	switch fate {
	case limitDropped:
		return nil
	case limitSlipped:
		message = wire.Trim(wire.TruncateMessage(message), len(x.Request))
	}
	return message
}

// subjectOfMessage returns the subject of a response that was made apart. It is about the name in the question if all
// is well, and an error otherwise.
func subjectOfMessage(state *State, message []byte) subject {
	if state == nil || uint16(message[3]&15) != wire.RcodeNoError {
		return subject{}
	}
	var q wire.Query
	asked := append([]byte(nil), message...)
	asked[2] = 0 // as if it were a query
	if q.Parse(asked); q.Question == nil {
		return subject{}
	}
	var found snapshot.Answer
	name := q.Name()
	state.Snapshot.Lookup(name, q.Type, q.Class, &found)
	return subjectOf(&found, name)
}

// globalRandom is math/rand/v2's own generator.
type globalRandom struct{}

func (globalRandom) Uint64() uint64 { return rand.Uint64() }
