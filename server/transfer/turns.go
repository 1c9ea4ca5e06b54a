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

// How much may be under way at once. Each address has a share of its own, so that a primary that hangs or is slow in
// all of its zones leaves room for the zones of others.
const (
	askAtOnce    = 256 // SOA queries to addresses that answer
	retryAtOnce  = 64  // SOA queries to addresses that were silent, which wait only for each other
	askFromOne   = 16  // SOA queries to one address
	fetchAtOnce  = 64  // transfers; held bounds their memory
	fetchFromOne = 4   // transfers from one address

	// silence is how long an address is left alone after a query or transfer ran into its time limit. Zones that have
	// other primaries ask those meanwhile.
	silence = 30 * time.Second

	// turnLimit is how long a zone waits for its turn at an address where nothing completes.
	turnLimit = 30 * time.Second
)

// Sockets is how many sockets to primaries and secondaries may be open at once. If the process may have fewer, all
// bounds shrink in proportion.
const Sockets = askAtOnce + 2*retryAtOnce + fetchAtOnce + notifyAtOnce

// part scales n, which is a part of Sockets, to a total of sockets. 0 means Sockets.
func part(n, sockets int) int {
	if sockets == 0 {
		return n
	}
	return max(1, min(n, n*sockets/Sockets))
}

// errTurn says why an address is not asked now.
type errTurn string

func (e errTurn) Error() string { return string(e) }

func silentFor(d time.Duration) error {
	return errTurn(fmt.Sprintf("it did not answer for another zone; it is asked again in %s",
		max(d.Round(time.Second), time.Second)))
}

// turns gives out the turns for one kind of request, SOA queries or transfers.
type turns struct {
	now            func() time.Time
	fromOne        int
	slots, retries chan struct{} // one element for each that is under way; retries is for addresses that were silent

	mu sync.Mutex
	at map[netip.Addr]*share
}

// share is the state of one address. turns.mu guards it, except for slots.
type share struct {
	slots    chan struct{}
	waiting  int           // requests that wait or are under way
	answered time.Time     // when a request last ended without a timeout
	rests    time.Time     // if the address is silent: when it may be asked again; else zero
	silent   chan struct{} // closed while the address is silent
}

func newTurns(now func() time.Time, atOnce, fromOne, sockets int) *turns {
	return &turns{
		now: now, fromOne: fromOne, at: map[netip.Addr]*share{},
		slots: make(chan struct{}, part(atOnce, sockets)), retries: make(chan struct{}, part(retryAtOnce, sockets)),
	}
}

// take waits for a turn at an address. The caller must call done with the result of its request. The error is the
// context's, or an errTurn.
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
		s.rests = now.Add(silence) // one request tries, on behalf of all
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
		t.heard(s, began, err) // before anybody else gets the turn
		<-all
		<-s.slots
		t.leave(from, s)
	}, nil
}

// wait takes a slot. It gives up if the address falls silent, or if nothing completes there for turnLimit.
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
			return errTurn(fmt.Sprintf("no request there has completed for %s", turnLimit))
		}
		timer.Reset(turnLimit)
	}
}

// heard notes the result of a turn. An address becomes silent when a request times out and no other was answered
// meanwhile.
func (t *turns) heard(s *share, began time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var late net.Error
	switch now := t.now(); {
	case errors.Is(err, context.Canceled): // nobody wants the result any more
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

// awake lets a silent address be asked again at once, because a message has come from it.
func (t *turns) awake(from netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.at[from]; s != nil && !s.rests.IsZero() {
		s.rests = t.now()
	}
}

// leave forgets an address once nobody waits for it and it is not silent.
func (t *turns) leave(from netip.Addr, s *share) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.waiting--; s.waiting == 0 && s.rests.IsZero() && t.at[from] == s {
		delete(t.at, from)
	}
}
