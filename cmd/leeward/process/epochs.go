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

// epochs switches signed zones to the signatures of the next epoch. They are made in advance, for the snapshot in
// service at that time. Just before the switch they are made once more: by then only what has changed since is missing.
type epochs struct {
	log      *slog.Logger
	now      func() time.Time
	snapshot atomic.Pointer[snapshot.Snapshot]
	ahead    *ahead
	kept     *kept
	early    time.Duration       // how long before it begins an epoch is prepared
	turned   func(origin string) // called after each switch

	prepared prepared

	tried map[rr.Name]tried // for zones whose keys are elsewhere: the last attempt to prepare
}

// tried is an attempt to prepare an epoch when not all of its signatures had come yet.
type tried struct {
	epoch dnssec.Epoch
	of    int64 // dnssec.Received.Version
}

const (
	epochAhead = 2 * time.Hour   // when the next epoch's signatures are made
	epochLook  = 5 * time.Second // how often to check
)

func (e *epochs) run(ctx context.Context) {
	for range ticks(ctx, epochLook) {
		e.turn(ctx)
	}
}

// turn does what is due.
func (e *epochs) turn(ctx context.Context) {
	s := e.snapshot.Load()
	if s == nil {
		return
	}
	s.Signed(func(origin rr.Name, signer *dnssec.Signer) bool {
		if e.zone(origin, signer) {
			e.zone(origin, signer) // it may be time to prepare the next one already
		}
		return ctx.Err() == nil
	})
}

// zone does what is due for one zone, and reports whether it has switched to another epoch. If an old epoch is in use,
// it prepares the epoch of now; else it prepares the next one when its time has come. A signer prepares a whole day
// ahead.
func (e *epochs) zone(origin rr.Name, signer *dnssec.Signer) (turned bool) {
	now := e.now()
	at := now
	if signer.Now().Epoch == dnssec.EpochAt(origin, now) {
		at = now.Add(e.early)
	}
	prepared := signer.Prepared()
	begun := prepared != nil && prepared.Epoch == dnssec.EpochAt(origin, at)
	hand := signer.Keys().Hand()
	if hand != nil && e.waits(origin, signer, hand, at) {
		return false
	}
	next := signer.Prepare(at)
	if next == nil {
		e.prepared.note(origin, 0, nil)
		return false
	}
	due := dnssec.EpochAt(origin, now) == next.Epoch
	if begun && !due {
		return false
	}
	if !begun {
		if k := e.kept.read(signer.Keys(), next.Epoch); k != nil {
			signer.RecallPrepared(k)
		}
	}
	began := time.Now()
	lacks, err := e.snapshot.Load().Prepare(origin)
	e.prepared.note(origin, lacks, err)
	if lacks > 0 {
		signer.Unprepare()
		e.log.Debug("signatures of the next epoch have not all come", "zone", origin, "lacking", lacks)
		return false
	}
	if err != nil {
		e.log.Error("the next signatures of a zone cannot be made: those in use stay", "zone", origin, "err", err,
			"until", signer.Now().Epoch.Expires())
		return false
	}
	e.ahead.again()
	if due {
		signer.Turn()
		e.turned(rr.TrimDot(origin.String()))
	}
	e.log.Debug("signatures of the next epoch", "zone", origin, "in use", due, "signatures", next.Len(),
		"took", time.Since(began))
	return due
}

// waits reports whether preparing the next epoch would be useless: the zone's keys are elsewhere, and no signatures
// have come since the last attempt.
func (e *epochs) waits(origin rr.Name, signer *dnssec.Signer, hand *dnssec.Hand, at time.Time) bool {
	if signer.Prepared() != nil {
		return false
	}
	next := tried{dnssec.EpochAt(origin, at), hand.Received.Version()}
	if e.tried[origin] == next || len(hand.Received.Chunks(next.epoch.Number)) == 0 {
		return true
	}
	if e.tried == nil {
		e.tried = map[rr.Name]tried{}
	}
	e.tried[origin] = next
	return false
}
