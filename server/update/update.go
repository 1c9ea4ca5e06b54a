// Package update takes dynamic updates (RFC 2136) that are signed (RFC 3007, with TSIG of RFC 8945): a message of
// prerequisites and changes becomes edits of Record resources, all of them or none.
//
// A Updater is given each message. It checks the signature, has the part of the store read that the message looks at
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
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/answer"
	"leeward/server/wire"
	"leeward/zones"
)

// Commit reads a scope, has plan say what to change, and makes that change in one transaction if the scope's Keys and
// Folders are as they were read; otherwise all again, a bounded number of times. plan's error ends it and is returned.
// The revision is that of the transaction.
type Commit func(ctx context.Context, s Scope, plan func([]zones.Change) ([]zones.Edit, error)) (revision int64,
	err error)

// Published waits until queries and transfers to this server are answered from a revision, or a later one. It returns
// within a bounded time, whether they are or not.
type Published func(ctx context.Context, revision int64)

// ErrTooMuch is what a Commit returns, wrapped or not, for more than one transaction holds.
var ErrTooMuch = errors.New("the update is more than one transaction of the store holds; send it in parts")

// Options are what a Updater works with.
type Options struct {
	Commit     Commit // nil: there is nothing that can be written to, and updates are refused
	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer // may be nil
	Published  Published             // nil: whoever asks next may be told of before
	Made       Made                  // nil: no zone is served signed
	Limit      time.Duration         // that one update may take, with its wait; 5 s if zero
}

// Updater takes updates. It makes one after the other: those of one server then never get into each other's way, and
// what is waiting is bounded by who calls.
type Updater struct {
	o     Options
	turn  chan struct{}
	count *prometheus.CounterVec

	mu      sync.Mutex
	unknown time.Time // when an update without a valid signature was logged last
}

// New makes a Updater.
func New(o Options) (*Updater, error) {
	if o.Limit == 0 {
		o.Limit = 5 * time.Second
	}
	u := &Updater{o: o, turn: make(chan struct{}, 1), count: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "leeward_update_total", Help: "Dynamic updates answered, by response code.",
	}, []string{"rcode"})}
	if o.Registerer != nil {
		if err := o.Registerer.Register(u.count); err != nil {
			return nil, fmt.Errorf("metrics of updates: %w; give each server a registry of its own", err)
		}
	}
	return u, nil
}

// Handle answers an update, after it has been committed and, unless that takes too long, published.
func (u *Updater) Handle(ctx context.Context, x *answer.Exchange) {
	m, err := parse(x.Request)
	var result outcome
	switch {
	case x.Fault != nil:
		result.err = &Refusal{x.Fault.Rcode, wire.ErrorProhibited, "TSIG: " + x.Fault.Error()}
	case err != nil:
		result.err = &Refusal{Rcode: wire.RcodeFormErr, Text: err.Error()}
	case x.Session == nil:
		result.err = &Refusal{wire.RcodeRefused, wire.ErrorProhibited, "updates must be signed with TSIG"}
	default:
		if result = u.make(ctx, m, x.Session.Key.Name); result.err == nil && u.o.Published != nil {
			u.o.Published(ctx, result.revision)
		}
	}
	rcode, code, text := result.says()
	u.count.WithLabelValues(wire.RcodeName(rcode)).Inc()
	u.log(x, m, rcode, result)
	if err := x.Reply(rcode, code, text); err != nil {
		u.o.Log.Debug("update: the response is not sent", "client", x.Source, "err", err)
	}
}

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
	return wire.RcodeServFail, wire.ErrorNetworkError, "the store did not take the update; it may or may not have " +
		"been made"
}

// make evaluates and commits one update.
func (u *Updater) make(ctx context.Context, m *message, key string) (o outcome) {
	switch {
	case m.zone.typ != 6: // RFC 2136 section 3.1.1
		o.err = &Refusal{Rcode: wire.RcodeFormErr, Text: "the zone section is not of type SOA"}
	case m.zone.class != wire.ClassIN:
		o.err = &Refusal{wire.RcodeNotAuth, wire.ErrorNotAuthoritative, "zones here are of class IN"}
	case u.o.Commit == nil:
		o.err = &Refusal{wire.RcodeRefused, wire.ErrorNotSupported, "resources are in files here; change them there"}
	}
	if o.err != nil {
		return o
	}
	ctx, stop := context.WithTimeout(ctx, u.o.Limit)
	defer stop()
	select {
	case u.turn <- struct{}{}:
		defer func() { <-u.turn }()
	case <-ctx.Done():
		o.err = ctx.Err()
		return o
	}
	o.revision, o.err = u.o.Commit(ctx, m.scope(), func(changes []zones.Change) (_ []zones.Edit, err error) {
		o.edits, o.ignored, err = evaluate(m, key, changes, u.o.Made)
		return o.edits, err
	})
	return o
}

// unknownEvery is how often an update that nobody is known to have sent is logged.
const unknownEvery = time.Second

// log says what became of an update, on one line.
func (u *Updater) log(x *answer.Exchange, m *message, rcode uint16, o outcome) {
	args := []any{"client", x.Source, "zone", m.zone.name.String(), "rcode", wire.RcodeName(rcode)}
	if x.Session == nil { // anybody can send these
		now := u.o.Now()
		u.mu.Lock()
		quiet := now.Sub(u.unknown) < unknownEvery
		if !quiet {
			u.unknown = now
		}
		u.mu.Unlock()
		if !quiet {
			u.o.Log.Warn("update refused", append(args, "why", o.err)...)
		}
		return
	}
	args = append(args, "key", x.Session.Key.Name)
	if len(o.ignored) > 0 {
		args = append(args, "ignored", strings.Join(o.ignored[:min(len(o.ignored), 10)], "; "))
	}
	if o.err != nil {
		u.o.Log.Warn("update refused", append(args, "why", o.err)...)
		return
	}
	u.o.Log.Info("update", append(args, "changes", say(o.edits), "revision", o.revision)...)
}
