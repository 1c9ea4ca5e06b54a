package transfer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// What is under way at once. An address has a share of its own, so that a primary that hangs, or trickles, in all of
// its zones leaves room for the zones of others.
const (
	askAtOnce    = 256 // SOA queries, to addresses that answer
	retryAtOnce  = 64  // and to those that were silent when they were asked last: these wait for each other only
	askFromOne   = 16  // of these, to one address
	fetchAtOnce  = 64  // transfers; what they hold in memory is bounded by itself
	fetchFromOne = 4   // of these, from one address

	// silence is how long an address that let a query, or a transfer, run into its time limit is left alone. Zones with
	// other primaries go on to those meanwhile.
	silence = 30 * time.Second

	// turnLimit is how long a zone waits for its turn at an address at which nothing comes to an end.
	turnLimit = 30 * time.Second
)

// Sockets is how many sockets there may be to primaries and secondaries at once. Where there are fewer descriptors,
// each has the same part of what there are.
const Sockets = askAtOnce + 2*retryAtOnce + fetchAtOnce + notifyAtOnce

// part is so many of that many sockets in all; 0: of Sockets.
func part(n, sockets int) int {
	if sockets == 0 {
		return n
	}
	return max(1, min(n, n*sockets/Sockets))
}

// errTurn is why an address is not asked, nor waited for.
type errTurn string

func (e errTurn) Error() string { return string(e) }

func silentFor(d time.Duration) error {
	return errTurn(fmt.Sprintf("it has not answered for another zone; it is asked again in %s",
		max(d.Round(time.Second), time.Second)))
}

// turns are the shares of all addresses in one kind of thing: SOA queries, or transfers.
type turns struct {
	now            func() time.Time
	fromOne        int
	slots, retries chan struct{} // one element for each that is under way; retries is of addresses that were silent

	mu sync.Mutex
	at map[netip.Addr]*share
}

// share is one address's. turns.mu guards all but the slots.
type share struct {
	slots    chan struct{}
	waiting  int           // and under way
	answered time.Time     // when something last came to an end as it should
	rests    time.Time     // if silent: when it is asked again
	silent   chan struct{} // closed as long as it is
}

func newTurns(now func() time.Time, atOnce, fromOne, sockets int) *turns {
	return &turns{
		now: now, fromOne: fromOne, at: map[netip.Addr]*share{},
		slots: make(chan struct{}, part(atOnce, sockets)), retries: make(chan struct{}, part(retryAtOnce, sockets)),
	}
}

// take waits for a turn at an address. done ends it, with what became of it. The error is that of the context, or says
// that the address is not worth waiting for.
func (t *turns) take(ctx context.Context, from netip.Addr) (done func(error), err error) {
	t.mu.Lock()
	s := t.at[from]
	if s == nil {
		s = &share{slots: make(chan struct{}, t.fromOne), silent: make(chan struct{})}
		t.at[from] = s
	}
	all := t.slots
	if now := t.now(); !s.rests.IsZero() {
		if left := s.rests.Sub(now); left > 0 {
			t.mu.Unlock()
			return nil, silentFor(left)
		}
		s.rests = now.Add(silence) // this one asks, for all
		all = t.retries
	}
	s.waiting++
	silent := s.silent
	t.mu.Unlock()
	if all == t.retries {
		silent = nil
	}
	if err := t.wait(ctx, s, s.slots, silent); err != nil {
		t.leave(from, s)
		return nil, err
	}
	if err := t.wait(ctx, s, all, silent); err != nil {
		<-s.slots
		t.leave(from, s)
		return nil, err
	}
	began := t.now()
	return func(err error) {
		t.heard(s, began, err) // before anybody else has the turn
		<-all
		<-s.slots
		t.leave(from, s)
	}, nil
}

// wait takes a slot, unless the address falls silent, or nothing comes to an end there for too long.
func (t *turns) wait(ctx context.Context, s *share, slots chan struct{}, silent chan struct{}) error {
	timer := time.NewTimer(turnLimit)
	defer timer.Stop()
	for {
		began := t.now()
		select {
		case slots <- struct{}{}:
			select {
			case <-silent:
				<-slots
				return silentFor(silence)
			default:
				return nil
			}
		case <-silent:
			return silentFor(silence)
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		t.mu.Lock()
		moves := !s.answered.Before(began)
		t.mu.Unlock()
		if !moves && slots == s.slots {
			return errTurn(fmt.Sprintf("for %s nothing that is under way there has come to an end", turnLimit))
		}
		timer.Reset(turnLimit)
	}
}

// heard takes note of what became of a turn. An address is silent if somebody has waited for it in vain while nobody
// was answered.
func (t *turns) heard(s *share, began time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var late net.Error
	switch now := t.now(); {
	case errors.Is(err, context.Canceled): // nobody wants to know any more
	case err != nil && errors.As(err, &late) && late.Timeout():
		if !s.answered.Before(began) {
			return
		}
		if s.rests.IsZero() {
			close(s.silent)
		}
		s.rests = now.Add(silence)
	default:
		s.answered = now
		if !s.rests.IsZero() {
			s.rests, s.silent = time.Time{}, make(chan struct{})
		}
	}
}

// awake has an address asked again that was silent: something has come from there.
func (t *turns) awake(from netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.at[from]; s != nil && !s.rests.IsZero() {
		s.rests = t.now()
	}
}

// leave forgets an address that nobody waits for and nothing is known about.
func (t *turns) leave(from netip.Addr, s *share) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.waiting--; s.waiting == 0 && s.rests.IsZero() && t.at[from] == s {
		delete(t.at, from)
	}
}
