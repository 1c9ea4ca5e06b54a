package process

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// epochs turns signed zones to the signatures of the next epoch. They are made ahead, of the snapshot in service then,
// and once more just before the turn, when only what has changed meanwhile is missing.
type epochs struct {
	log      *slog.Logger
	now      func() time.Time
	snapshot atomic.Pointer[snapshot.Snapshot]
	ahead    *ahead
	kept     *kept
	turned   func(origin string) // hears of each turn
}

const (
	epochAhead = 2 * time.Hour    // when the next epoch's signatures are made
	epochLook  = 15 * time.Second // how often it is looked at
)

func (e *epochs) run(ctx context.Context) {
	tick := time.NewTicker(epochLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			e.turn(ctx)
		}
	}
}

// turn does what is due.
func (e *epochs) turn(ctx context.Context) {
	s := e.snapshot.Load()
	if s == nil {
		return
	}
	s.Signed(func(origin rr.Name, signer *dnssec.Signer) bool {
		now := e.now()
		begun := signer.Prepared() != nil
		next := signer.Prepare(now.Add(epochAhead))
		if next == nil {
			return ctx.Err() == nil
		}
		due := dnssec.EpochAt(origin, now) == next.Epoch
		if begun && !due {
			return ctx.Err() == nil
		}
		if !begun {
			if k := e.kept.read(signer.Keys(), next.Epoch); k != nil {
				signer.RecallPrepared(k)
			}
		}
		began := time.Now()
		if err := e.snapshot.Load().Prepare(origin); err != nil {
			e.log.Error("the next signatures of a zone cannot be made: those in use stay", "zone", origin, "err", err,
				"until", signer.Now().Epoch.Expires())
			return ctx.Err() == nil
		}
		e.ahead.again()
		if due {
			signer.Turn()
			e.turned(rr.TrimDot(origin.String()))
		}
		e.log.Debug("signatures of the next epoch", "zone", origin, "in use", due, "signatures", next.Len(),
			"took", time.Since(began))
		return ctx.Err() == nil
	})
}
