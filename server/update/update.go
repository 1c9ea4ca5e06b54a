// Package update handles dynamic updates (RFC 2136) that are signed with TSIG (RFC 8945). It turns a message of
// prerequisites and changes into edits of Record resources, and has all of them committed or none.
//
// An Updater receives each message. It has the Commit read the part of the store that the message depends on (Scope),
// evaluates prerequisites, grants and changes against it (evaluate), and has the edits committed if that part has not
// changed meanwhile. If it has, the Commit reads again and the message is evaluated again. So two servers that receive
// updates at the same time cannot lose each other's records.
//
// This package does not know the store: its owner passes the Commit in. The new records reach queries through the
// store, as every other change does; the zone's serial and its NOTIFY follow from that.
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

// Commit reads a scope and calls plan with it. It makes the edits that plan returns in one transaction, if the scope's
// Keys and Folders have not changed since they were read. If they have, it starts over, a bounded number of times. It
// returns plan's error as it is, and otherwise the revision of the transaction.
type Commit func(ctx context.Context, s Scope, plan func([]zones.Change) ([]zones.Edit, error)) (revision int64,
	err error)

// Published waits until this server answers queries and transfers from the given revision or a later one. The wait is
// bounded; Published returns then, even if the revision is not served yet.
type Published func(ctx context.Context, revision int64)

// ErrTooMuch is what a Commit returns, possibly wrapped, if the edits do not fit into one transaction.
var ErrTooMuch = errors.New("the update does not fit into one transaction of the store; send it in parts")

// Options configure an Updater.
type Options struct {
	Commit     Commit // nil: nothing can be written, and every update is refused
	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: metrics are not registered
	Published  Published             // nil: the response does not wait, so a query right after it may get older records
	Made       Made                  // nil: no zone is signed
	Limit      time.Duration         // for one update, including its wait for others; 5 s if zero
}

// Updater handles updates one at a time, so that updates on one server never conflict with each other. It has no queue
// of its own: the callers of Handle wait, and whoever calls bounds how many there are.
type Updater struct {
	o     Options
	turn  chan struct{}
	count *prometheus.CounterVec

	mu      sync.Mutex
	unknown time.Time // when an update without a valid signature was last logged
}

// New returns an Updater. It fails if the Registerer has the metrics already.
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

// Handle answers an update. The response goes out once the change is committed and published; if publishing takes too
// long, it goes out before.
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
		u.o.Log.Debug("update: the response could not be sent", "client", x.Source, "err", err)
	}
}

// outcome is the result of one update.
type outcome struct {
	err      error
	edits    []zones.Edit
	ignored  []string
	revision int64
}

// says returns the outcome as the response tells it.
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

// make evaluates and commits one update. It waits for its turn first.
func (u *Updater) make(ctx context.Context, m *message, key string) (o outcome) {
	switch {
	case m.zone.typ != 6: // RFC 2136 section 3.1.1
		o.err = &Refusal{Rcode: wire.RcodeFormErr, Text: "the zone section is not of type SOA"}
	case m.zone.class != wire.ClassIN:
		o.err = &Refusal{wire.RcodeNotAuth, wire.ErrorNotAuthoritative, "all zones here are of class IN"}
	case u.o.Commit == nil:
		o.err = &Refusal{
			wire.RcodeRefused, wire.ErrorNotSupported, "this server reads its resources from files; change the files",
		}
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

// unknownEvery is the least time between two log lines about updates without a valid signature. Anybody can send these,
// so they must not fill the log.
const unknownEvery = time.Second

// log writes one line about the update.
func (u *Updater) log(x *answer.Exchange, m *message, rcode uint16, o outcome) {
	args := []any{"client", x.Source, "zone", m.zone.name.String(), "rcode", wire.RcodeName(rcode)}
	if x.Session == nil { // unsigned, or the signature is wrong: anybody can send these
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
