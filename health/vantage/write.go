package vantage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"leeward/health"
	"leeward/zones/etcd"
)

// Bounds of what is written.
const (
	maxOps   = 128                   // of one transaction: etcd's own default
	maxBytes = 512 << 10             // of one transaction, unless it is one value alone
	maxValue = 1280 << 10            // of one value; etcd refuses transactions of 1.5 MiB
	pace     = 20 * time.Millisecond // between two transactions: reports that turn meanwhile go together
	calm     = time.Second           // between two writes of what the server says of itself
	patience = 2 * time.Second       // with one call to etcd
)

// Run writes until the context ends: reports and heartbeats, or a bystander's key. While etcd is away it tries again,
// ever less often, and then writes what is true by then.
func (l *Link) Run(ctx context.Context) error {
	until, step := l.until, l.step
	if l.options.Bystander {
		until, step = l.standUntil, l.renew
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-l.wake:
		}
		if wait := until(); wait > 0 {
			timer.Reset(wait)
			continue
		}
		err := step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		l.note(err)
		switch {
		case err == nil:
			l.turns.Worked()
		case errors.Is(err, etcd.ErrConflict): // the member is not to blame
			l.turns.Rest(ctx)
		default:
			l.turns.Next(ctx)
		}
		timer.Reset(0)
	}
}

// until returns how long to wait before there is something to write.
func (l *Link) until() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return time.Hour
	}
	if !l.synced {
		return 0
	}
	wait := l.every - time.Since(l.beatAt)
	if l.untold {
		wait = min(wait, calm-time.Since(l.toldAt))
	}
	if len(l.unwritten) > 0 {
		wait = min(wait, max(0, l.pacing.rest.Sub(l.options.Now())))
	}
	return max(wait, pace-time.Since(l.madeAt))
}

// step does one transaction's worth of work.
func (l *Link) step(ctx context.Context) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	synced, closed := l.synced, l.closed
	l.mu.Unlock()
	switch {
	case closed:
		return nil
	case !synced:
		if err := l.sync(ctx); err != nil {
			return err
		}
	}
	t := l.render()
	if t.Writes() == 0 {
		return nil
	}
	revision, err := t.Commit(ctx)
	l.metrics.written(t.Writes(), err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		// Perhaps it was written all the same: look before the next attempt.
		for _, name := range t.pools {
			l.write(name)
		}
		l.synced = false
		l.untold = l.untold || t.about
		return err
	}
	l.settle(t, revision)
	return nil
}

// settle records that a transaction was made. The caller holds the mutex.
func (l *Link) settle(t transaction, revision int64) {
	now := l.options.Now()
	for _, name := range t.pools {
		l.written[name] = revision
		if t.deleted[name] {
			delete(l.written, name)
		}
		l.pacing.wrote(name, now)
	}
	if t.beat {
		l.revision, l.beatAt = revision, time.Now()
	}
	if t.about {
		l.toldAt = time.Now()
	}
	l.begun = true
}

// transaction is what is about to be written.
type transaction struct {
	*etcd.Txn
	pools   []string
	deleted map[string]bool
	beat    bool
	about   bool
}

// render makes a transaction of unwritten pools and of a heartbeat, if one is due.
func (l *Link) render() transaction {
	l.mu.Lock()
	defer l.mu.Unlock()
	// It fails if the heartbeat is not the one that this process wrote: something else writes under its name.
	t := transaction{Txn: l.member(patience).Begin().At(l.beat, l.revision), deleted: map[string]bool{}}
	size := 0
	l.madeAt = time.Now()
	now := l.options.Now()
	l.pacing.rest = now.Add(gather)
	for name := range l.unwritten {
		if t.Writes() == maxOps-2 || size >= maxBytes {
			l.pacing.rest = time.Time{}
			break
		}
		if at := l.pacing.due(name, now); now.Before(at) {
			if at.Before(l.pacing.rest) {
				l.pacing.rest = at
			}
			continue
		}
		if o := l.pools[name]; o != nil {
			l.sequence++
			value := o.value(l.options.ID, l.sequence, now)
			if len(value) > maxValue {
				const why = "a pool has more reports than etcd takes in one value; split the pool"
				l.options.Log.Error(why, "pool", name, "bytes", len(value))
				l.status.Problem = name + ": " + why
				delete(l.unwritten, name)
				continue
			}
			if size > 0 && size+len(value) > maxBytes {
				l.pacing.rest = time.Time{}
				continue
			}
			size += len(value)
			t.Put(l.reports+name, value, 0)
		} else {
			t.Delete(etcd.One(l.reports + name))
			t.deleted[name] = true
		}
		t.pools = append(t.pools, name)
		delete(l.unwritten, name)
	}
	if l.untold && time.Since(l.toldAt) >= calm {
		if l.server != nil {
			t.Put(l.about, l.server, 0)
		} else {
			t.Delete(etcd.One(l.about))
		}
		t.about, l.untold = true, false
	}
	if time.Since(l.beatAt) >= l.every || l.revision == 0 {
		l.sequence++
		value := encode(Heartbeat{
			Region: l.options.Region, Sequence: l.sequence, Run: l.run,
			Time:  l.options.Now().UTC().Round(time.Millisecond),
			Every: health.Duration(l.every), Stale: health.Duration(l.options.Stale),
		})
		t.Put(l.beat, value, 0)
		t.beat = true
	}
	return t
}

// encode returns a value as JSON. It cannot fail for the types here.
func encode(v any) []byte {
	value, err := json.Marshal(v)
	if err != nil {
		panic("vantage: " + err.Error())
	}
	return value
}

// sync finds out what etcd holds of this vantage: keys of an earlier run, of a backup, or of the last write. Those that
// are not as this process left them are written anew, those of pools that are not assigned here are removed, and the
// sequence goes on above all that was there.
func (l *Link) sync(ctx context.Context) error {
	c := l.member(patience)
	held, at, err := c.Get(ctx, l.beat)
	if err != nil {
		return err
	}
	revisions := map[string]int64{}
	if _, err := c.Read(ctx, at.Revision, []etcd.Range{etcd.Folder(l.reports)}, func(kv etcd.KV) {
		revisions[strings.TrimPrefix(kv.Name, l.reports)] = kv.Revision
	}, etcd.KeysOnly()); err != nil {
		return err
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	l.revision = 0
	l.untold = l.server != nil || l.untold // nobody asks whether etcd still has it
	l.status.Problem = ""
	if held != nil {
		l.revision = held.Revision
		if h, err := readHeartbeat(l.options.ID, held.Value); err == nil {
			if h.Sequence > l.sequence && l.begun {
				l.status.Problem = fmt.Sprintf("another process writes as vantage %q; give each an --id of its own",
					l.options.ID)
				l.options.Log.Error("two vantages have one name", "vantage", l.options.ID)
			}
			if h.Sequence > l.sequence || !l.begun {
				l.sequence = max(l.sequence, h.Sequence+health.Leap)
			}
		}
	}
	if l.run == 0 {
		l.run = l.sequence + 1
	}
	for name := range l.pools {
		if revisions[name] == 0 || revisions[name] != l.written[name] {
			l.write(name)
		}
	}
	if l.assigned != nil {
		probed := map[string]bool{}
		for t := range l.assigned {
			name, _, _ := strings.Cut(t.Endpoint, "/")
			probed[name] = true
		}
		for name := range revisions {
			if l.pools[name] == nil && !probed[name] {
				l.write(name)
			}
		}
	}
	l.synced = true
	return nil
}

// note records how the last attempt went.
func (l *Link) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	connected := err == nil || errors.Is(err, etcd.ErrConflict)
	err = l.etcd.Due(err, "reads and writes", etcd.Vantages)
	if connected != l.status.Connected {
		l.status.Connected, l.status.Since = connected, l.options.Now()
		if connected {
			l.options.Log.Info("reports are written to etcd", "vantage", l.options.ID)
		} else {
			l.options.Log.Warn("etcd cannot be written to; reports stay here until it can",
				"vantage", l.options.ID, "error", err)
		}
	}
	if !connected {
		l.status.Problem = "etcd cannot be written to: " + err.Error()
	}
	l.metrics.connect(connected)
}
