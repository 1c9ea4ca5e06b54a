package process

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"leeward/server/answer"
	"leeward/zones/snapshot"
)

// ahead signs, in the background, the sets of addresses that policies of signed zones may answer with, whenever what is
// served changes. Nobody waits for it: a verdict is published before its sets are signed. A set that is asked for
// before it is signed is signed by whoever answers, or answered by one address.
type ahead struct {
	log    *slog.Logger
	rests  time.Duration                // how many times as long as it works
	state  atomic.Pointer[answer.State] // what is served
	anew   atomic.Bool                  // look at everything again
	wake   chan struct{}
	chosen snapshot.Chosen // belongs to run

	began time.Time // when run last went on after a rest
}

// The work takes a quarter of a processor at most, in pieces that are short compared to a turn of the control loop.
const (
	aheadWorks = time.Millisecond
	aheadRests = 3 // times as long as it works
)

func newAhead(log *slog.Logger) *ahead {
	return &ahead{log: log, rests: aheadRests, wake: make(chan struct{}, 1)}
}

// publish passes on what is served now. It never blocks.
func (a *ahead) publish(s answer.State) {
	a.state.Store(&s)
	a.rouse()
}

// again has all sets signed with signatures that have just been prepared.
func (a *ahead) again() {
	a.anew.Store(true)
	a.rouse()
}

func (a *ahead) rouse() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *ahead) run(ctx context.Context) {
	a.chosen.Rest = func() {
		worked := time.Since(a.began)
		if worked < aheadWorks {
			return
		}
		if a.rests == 0 {
			return
		}
		rest := time.NewTimer(a.rests * worked)
		defer rest.Stop()
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		a.began = time.Now()
	}
	var seen *answer.State
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		}
		for more := true; more && ctx.Err() == nil; {
			if s := a.state.Load(); s != seen {
				seen = s
				a.chosen.See(s.Snapshot, s.View)
			}
			if seen == nil {
				break
			}
			if a.anew.Swap(false) {
				a.chosen.Again()
			}
			a.began = time.Now()
			var err error
			if more, err = a.chosen.Next(); err != nil {
				a.log.Error("sets of addresses cannot be signed ahead: they are signed as they are asked for",
					"err", err)
			}
		}
	}
}
