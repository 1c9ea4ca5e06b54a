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
	early    time.Duration       // how long before its beginning an epoch is prepared
	turned   func(origin string) // hears of each turn

	prepared prepared

	tried map[rr.Name]tried // where keys are elsewhere: the last attempt to prepare
}

// tried is an attempt to prepare an epoch of which not all signatures had come.
type tried struct {
	epoch dnssec.Epoch
	of    int64 // dnssec.Received.Version
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
		if e.zone(origin, signer) {
			e.zone(origin, signer) // it may be time to prepare the next one already
		}
		return ctx.Err() == nil
	})
}

// zone does what is due of one zone, and reports whether it has turned to another epoch. What is prepared is the epoch
// of now while another is in use, and else the next one when its time has come: a signer prepares it a whole day ahead.
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

// waits reports whether there is no reason to prepare the next epoch of a zone whose keys are elsewhere, as nothing has
// come since the last attempt.
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
