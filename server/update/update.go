// Package update takes dynamic updates (RFC 2136) that are signed (RFC 3007, with TSIG of RFC 8945): a message of
// prerequisites and changes becomes edits of Record resources, all of them or none.
//
// A Desk is given each message. It checks the signature, has the part of the store read that the message looks at
// (Scope), evaluates prerequisites, grants and changes on that (evaluate), and has the edits committed if nothing of it
// has changed meanwhile; otherwise all of it is evaluated again on what there is then. So two servers that are updated
// at once cannot lose a record of either. The room knows no store: the Commit that reads and writes is passed in. What
// the records look like to queries follows through the store, as for every other change, and so do the zone's serial
// and its NOTIFY.
package update

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/tsig"
	"leeward/server/wire"
	"leeward/zones"
)

// Commit reads a scope, has plan say what to change, and makes that change in one transaction if the scope's Keys and
// Folders are as they were read; otherwise all again, a bounded number of times. plan's error ends it and is returned.
// The revision is that of the transaction.
type Commit func(ctx context.Context, s Scope, plan func([]zones.Change) ([]zones.Edit, error)) (revision int64, err error)

// Published waits until queries and transfers to this server are answered from a revision, or a later one. It returns
// within a bounded time, whether they are or not.
type Published func(ctx context.Context, revision int64)

// ErrTooMuch is what a Commit returns, wrapped or not, for more than one transaction holds.
var ErrTooMuch = errors.New("the update is more than one transaction of the store holds; send it in parts")

// Options are what a Desk works with.
type Options struct {
	Commit     Commit            // nil: there is nothing that can be written to, and updates are refused
	Keys       func() *tsig.Ring // the keys that there are now
	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer // may be nil
	Published  Published             // nil: whoever asks next may be told of before
	Limit      time.Duration         // that one update may take, with its wait; 5 s if zero
}

// Desk takes updates. It makes one after the other: those of one server then never get into each other's way, and what
// is waiting is bounded by who calls.
type Desk struct {
	o     Options
	turn  chan struct{}
	count *prometheus.CounterVec

	mu      sync.Mutex
	unknown time.Time // when an update without a valid signature was logged last
}

// New makes a Desk.
func New(o Options) (*Desk, error) {
	if o.Limit == 0 {
		o.Limit = 5 * time.Second
	}
	d := &Desk{o: o, turn: make(chan struct{}, 1), count: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "leeward_update_total", Help: "Dynamic updates answered, by response code.",
	}, []string{"rcode"})}
	if o.Registerer != nil {
		if err := o.Registerer.Register(d.count); err != nil {
			return nil, fmt.Errorf("metrics of updates: %w; give each server a registry of its own", err)
		}
	}
	return d, nil
}

// Request is a message of opcode UPDATE, whose header is whole.
type Request struct {
	Message []byte
	Source  netip.AddrPort
	TCP     bool
	Write   func(response []byte, proven bool) error // proven: the request is made with a key of ours
}

// Handle answers an update, after it has been committed and, unless that takes too long, published.
func (d *Desk) Handle(ctx context.Context, x Request) {
	session, fault := d.o.Keys().Verify(x.Message, d.o.Now())
	m, err := parse(x.Message)
	var result outcome
	switch {
	case fault != nil:
		result.err = &Refusal{fault.Rcode, wire.ErrorProhibited, "TSIG: " + fault.Error()}
	case err != nil:
		result.err = &Refusal{Rcode: wire.RcodeFormErr, Text: err.Error()}
	case m.edns && m.version > 0:
		result.err = &Refusal{Rcode: wire.RcodeBadVers, Text: "EDNS version"}
	case session == nil:
		result.err = &Refusal{wire.RcodeRefused, wire.ErrorProhibited, "updates must be signed with TSIG"}
	default:
		if result = d.make(ctx, m, session.Key.Name); result.err == nil && d.o.Published != nil {
			d.o.Published(ctx, result.revision)
		}
	}
	rcode, code, text := result.says()
	var reply []byte
	if fault != nil { // the TSIG record says what it is; more would be for anybody who asks
		code, text = 0, ""
		reply = fault.Sign(m.reply(x, rcode, code, text, faultRoom), d.o.Now())
	} else {
		reply = session.Sign(m.reply(x, rcode, code, text, session.Room()), d.o.Now())
	}
	d.count.WithLabelValues(wire.RcodeName(rcode)).Inc()
	d.log(x, m, session, rcode, result)
	if err := x.Write(reply, session != nil || fault.Known()); err != nil {
		d.o.Log.Debug("update: the response is not sent", "client", x.Source, "err", err)
	}
}

// faultRoom is what a TSIG record takes that says what is wrong with another: two names, and the rest of it.
const faultRoom = 2*wire.MaxName + 100

// outcome is what became of an update.
type outcome struct {
	err      error
	edits    []zones.Edit
	ignored  []string
	revision int64
}

// says is the outcome as the response has it.
func (o outcome) says() (rcode, code uint16, text string) {
	var r *Refusal
	switch {
	case o.err == nil:
		return wire.RcodeNoError, 0, ""
	case errors.As(o.err, &r):
		return r.Rcode, r.Code, r.Text
	case errors.Is(o.err, ErrTooMuch):
		return wire.RcodeRefused, wire.ErrorNotSupported, ErrTooMuch.Error()
	}
	return wire.RcodeServFail, wire.ErrorNetworkError, "the store did not take the update; it may or may not have been made"
}

// make evaluates and commits one update.
func (d *Desk) make(ctx context.Context, m *message, key string) (o outcome) {
	switch {
	case m.zone.typ != 6: // RFC 2136 section 3.1.1
		o.err = &Refusal{Rcode: wire.RcodeFormErr, Text: "the zone section is not of type SOA"}
	case m.zone.class != wire.ClassIN:
		o.err = &Refusal{wire.RcodeNotAuth, wire.ErrorNotAuthoritative, "zones here are of class IN"}
	case d.o.Commit == nil:
		o.err = &Refusal{wire.RcodeRefused, wire.ErrorNotSupported, "resources are in files here; change them there"}
	}
	if o.err != nil {
		return o
	}
	ctx, stop := context.WithTimeout(ctx, d.o.Limit)
	defer stop()
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		o.err = ctx.Err()
		return o
	}
	o.revision, o.err = d.o.Commit(ctx, m.scope(), func(changes []zones.Change) (_ []zones.Edit, err error) {
		o.edits, o.ignored, err = evaluate(m, key, changes)
		return o.edits, err
	})
	return o
}

// reply makes the response: the header, the zone section, and an OPT record where the request has one (RFC 2136 section
// 3.8). room is left for the signature.
func (m *message) reply(x Request, rcode, code uint16, text string, room int) []byte {
	limit := wire.MaxMessage
	if !x.TCP {
		limit = max(wire.MinUDP, min(int(m.udpSize), 1232))
	}
	q := wire.Query{
		ID: uint16(x.Message[0])<<8 | uint16(x.Message[1]), Opcode: wire.OpcodeUpdate, Question: m.zone.raw, EDNS: m.edns,
	}
	b := wire.Builder{UDPSize: 1232}
	size := max(limit-room, wire.HeaderSize+len(q.Question)+optRoom) // a name of full length in a small message: the text goes first
	b.Start(make([]byte, size, size+room), size, &q)
	b.SetRcode(rcode)
	if rcode != wire.RcodeNoError && text != "" {
		b.SetError(code, text)
	}
	return b.Finish()
}

// optRoom is an OPT record with an Extended DNS Error that has no text, octets.
const optRoom = 11 + 6

// unknownEvery is how often an update that nobody is known to have sent is logged.
const unknownEvery = time.Second

// log says what became of an update, on one line.
func (d *Desk) log(x Request, m *message, session *tsig.Session, rcode uint16, o outcome) {
	args := []any{"client", x.Source, "zone", m.zone.name.String(), "rcode", wire.RcodeName(rcode)}
	if session == nil { // anybody can send these
		now := d.o.Now()
		d.mu.Lock()
		quiet := now.Sub(d.unknown) < unknownEvery
		if !quiet {
			d.unknown = now
		}
		d.mu.Unlock()
		if !quiet {
			d.o.Log.Warn("update refused", append(args, "why", o.err)...)
		}
		return
	}
	args = append(args, "key", session.Key.Name)
	if len(o.ignored) > 0 {
		args = append(args, "ignored", strings.Join(o.ignored[:min(len(o.ignored), 10)], "; "))
	}
	if o.err != nil {
		d.o.Log.Warn("update refused", append(args, "why", o.err)...)
		return
	}
	d.o.Log.Info("update", append(args, "changes", say(o.edits), "revision", o.revision)...)
}
