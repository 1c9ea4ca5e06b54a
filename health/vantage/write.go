package vantage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/health"
)

// Bounds of what is written.
const (
	maxOps   = 128                   // of one transaction: etcd's own default
	maxBytes = 512 << 10             // of one transaction, if it is not one value alone
	maxValue = 1280 << 10            // of one value; etcd refuses transactions of 1.5 MiB
	pace     = 20 * time.Millisecond // between two transactions: what turns meanwhile is written together
	calm     = time.Second           // between two statuses
	patience = 2 * time.Second       // for one answer of etcd
	maxRetry = 2 * time.Second       // between two attempts while etcd is away
	pageSize = 512                   // keys of one page of a list
	keysPage = 4096                  // of one that has no values
)

// errMoved is that this vantage's heartbeat in etcd is not the one that this process has written.
var errMoved = errors.New("this vantage's keys were changed by something else")

// Run writes reports and heartbeats until the context ends. While etcd is away it tries again and again, ever less
// often, and then writes what is true by then.
func (l *Link) Run(ctx context.Context) error {
	if l.options.Bystander {
		return l.stand(ctx)
	}
	retry := newBackoff()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var lastWrite, lastBeat time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-l.wake:
		}
		wait := l.until(lastWrite, lastBeat)
		if wait > 0 {
			timer.Reset(wait)
			continue
		}
		beat, err := l.step(ctx, time.Since(lastBeat))
		if ctx.Err() != nil {
			return nil
		}
		l.note(err)
		if err != nil {
			wait := pace // another member is asked at once
			if errors.Is(err, errMoved) || l.rota.turn() {
				wait = retry.next()
			}
			if !sleep(ctx, wait) {
				return nil
			}
		} else {
			retry.reset()
			l.rota.reset()
			lastWrite = time.Now()
			if beat {
				lastBeat = lastWrite
			}
		}
		timer.Reset(0)
	}
}

// until returns how long nothing has to be written.
func (l *Link) until(lastWrite, lastBeat time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return time.Hour
	}
	if !l.synced {
		return 0
	}
	wait := l.every - time.Since(lastBeat)
	if l.untold {
		wait = min(wait, calm-time.Since(l.toldAt))
	}
	if len(l.unwritten) > 0 {
		wait = min(wait, max(0, l.pacing.rest.Sub(l.options.Now())))
	}
	return max(wait, pace-time.Since(lastWrite))
}

// step does one transaction's worth of work, and reports whether a heartbeat was part of it.
func (l *Link) step(ctx context.Context, sinceBeat time.Duration) (beat bool, err error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	synced, closed := l.synced, l.closed
	l.mu.Unlock()
	switch {
	case closed:
		return false, nil
	case !synced:
		if err := l.sync(ctx); err != nil {
			return false, err
		}
	}
	t := l.render(sinceBeat)
	if len(t.ops) == 0 {
		return false, nil
	}
	call, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := l.rota.client().Txn(call).
		If(clientv3.Compare(clientv3.ModRevision(l.beat), "=", t.over)).
		Then(t.ops...).Commit()
	if err == nil && !r.Succeeded {
		err = errMoved
	}
	l.metrics.written(len(t.ops), err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		// It may have been written or not: look before the next attempt.
		for _, name := range t.pools {
			l.write(name)
		}
		l.synced = false
		l.untold = l.untold || t.about
		return false, err
	}
	l.settle(t, r.Header.Revision)
	return t.beat, nil
}

// settle keeps that a transaction was made. The mutex is held.
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
		l.revision = revision
	}
	if t.about {
		l.toldAt = time.Now()
	}
	l.begun = true
}

// transaction is what is about to be written.
type transaction struct {
	ops     []clientv3.Op
	over    int64 // the heartbeat's revision that it holds for
	pools   []string
	deleted map[string]bool
	beat    bool
	about   bool
}

// render makes a transaction of pools that are unwritten, and of a heartbeat that is due.
func (l *Link) render(sinceBeat time.Duration) transaction {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := transaction{over: l.revision, deleted: map[string]bool{}}
	size := 0
	now := l.options.Now()
	l.pacing.rest = now.Add(gather)
	for name := range l.unwritten {
		if len(t.ops) == maxOps-2 || size >= maxBytes {
			l.pacing.rest = time.Time{}
			break
		}
		if at := l.pacing.due(name, now); now.Before(at) {
			if at.Before(l.pacing.rest) {
				l.pacing.rest = at
			}
			continue
		}
		op := clientv3.OpDelete(l.reports + name)
		if endpoints, load := l.pools[name], l.loads[name]; len(endpoints) > 0 || load != nil {
			if endpoints == nil {
				endpoints = map[string]map[string]entry{}
			}
			l.sequence++
			value := encode(pool{
				Vantage: l.options.ID, Sequence: l.sequence, Time: l.options.Now().UTC(), Endpoints: endpoints, Load: load,
			})
			if len(value) > maxValue {
				l.options.Log.Error("a pool has more reports than etcd takes in one value; split the pool", "pool", name, "bytes", len(value))
				l.status.Problem = fmt.Sprintf("pool %s has more reports than etcd takes in one value; split the pool", name)
				delete(l.unwritten, name)
				continue
			}
			if size > 0 && size+len(value) > maxBytes {
				l.pacing.rest = time.Time{}
				continue
			}
			size += len(value)
			op = clientv3.OpPut(l.reports+name, string(value))
		} else {
			t.deleted[name] = true
		}
		t.ops = append(t.ops, op)
		t.pools = append(t.pools, name)
		delete(l.unwritten, name)
	}
	if l.untold && time.Since(l.toldAt) >= calm {
		op := clientv3.OpDelete(l.about)
		if l.server != nil {
			op = clientv3.OpPut(l.about, string(l.server))
		}
		t.ops = append(t.ops, op)
		t.about, l.untold = true, false
	}
	if sinceBeat >= l.every || l.revision == 0 {
		l.sequence++
		value := encode(Heartbeat{
			Region: l.options.Region, Sequence: l.sequence, Time: l.options.Now().UTC().Round(time.Millisecond),
			Every: health.Duration(l.every), Stale: health.Duration(l.options.Stale),
		})
		t.ops = append(t.ops, clientv3.OpPut(l.beat, string(value)))
		t.beat = true
	}
	return t
}

// encode writes a value. Nothing of it can fail to be written as JSON.
func encode(v any) []byte {
	value, err := json.Marshal(v)
	if err != nil {
		panic("vantage: " + err.Error())
	}
	return value
}

// sync finds out what etcd holds of this vantage, be it of an earlier run, of a backup or of what was written last:
// keys that are not as this process left them are written anew, those of pools that are not assigned here removed, and
// the sequence goes on above all that was there.
func (l *Link) sync(ctx context.Context) error {
	client := l.rota.client()
	// Each call has its own time: with 10,000 pools there are several, and a sync that is cut short would begin anew
	// for ever.
	get := func(key string, o ...clientv3.OpOption) (*clientv3.GetResponse, error) {
		call, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return client.Get(call, key, o...)
	}
	held, err := get(l.beat)
	if err != nil {
		return err
	}
	revisions := map[string]int64{}
	from, end := l.reports, clientv3.GetPrefixRangeEnd(l.reports)
	for {
		page, err := get(from, clientv3.WithRange(end), clientv3.WithLimit(keysPage), clientv3.WithKeysOnly(),
			clientv3.WithRev(held.Header.Revision))
		if err != nil {
			return err
		}
		for _, kv := range page.Kvs {
			revisions[strings.TrimPrefix(string(kv.Key), l.reports)] = kv.ModRevision
		}
		if !page.More {
			break
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	l.revision = 0
	l.untold = l.server != nil || l.untold // whether etcd still has it is not asked
	l.status.Problem = ""
	if len(held.Kvs) > 0 {
		kv := held.Kvs[0]
		l.revision = kv.ModRevision
		if h, err := readHeartbeat(l.options.ID, kv.Value); err == nil {
			if h.Sequence > l.sequence && l.begun {
				l.status.Problem = fmt.Sprintf("another process writes as vantage %q; give each an --id of its own", l.options.ID)
				l.options.Log.Error("two vantages have one name", "vantage", l.options.ID)
			}
			if h.Sequence > l.sequence || !l.begun {
				l.sequence = max(l.sequence, h.Sequence+health.Leap)
			}
		}
	}
	for _, has := range []iter.Seq[string]{maps.Keys(l.pools), maps.Keys(l.loads)} {
		for name := range has {
			if revisions[name] == 0 || revisions[name] != l.written[name] {
				l.write(name)
			}
		}
	}
	if l.assigned != nil {
		probed := map[string]bool{}
		for t := range l.assigned {
			name, _, _ := strings.Cut(t.Endpoint, "/")
			probed[name] = true
		}
		for name := range revisions {
			if l.pools[name] == nil && l.loads[name] == nil && !probed[name] {
				l.write(name)
			}
		}
	}
	l.synced = true
	return nil
}

// note keeps how the last attempt went.
func (l *Link) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	connected := err == nil || errors.Is(err, errMoved)
	if connected != l.status.Connected {
		l.status.Connected, l.status.Since = connected, l.options.Now()
		if connected {
			l.options.Log.Info("reports are written to etcd", "vantage", l.options.ID)
		} else {
			l.options.Log.Warn("etcd cannot be written to; reports stay here until it can", "vantage", l.options.ID, "error", err)
		}
	}
	if !connected {
		l.status.Problem = "etcd cannot be written to: " + err.Error()
	}
	l.metrics.connect(connected)
}

// backoff is the time between attempts: it doubles, and is drawn from the upper half so that not all come at once.
type backoff struct{ wait time.Duration }

func newBackoff() *backoff { return &backoff{wait: pace} }

func (b *backoff) reset() { b.wait = pace }

func (b *backoff) next() time.Duration {
	b.wait = min(2*b.wait, maxRetry)
	return b.wait/2 + rand.N(b.wait/2)
}

// sleep waits, and reports whether the context still holds.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
