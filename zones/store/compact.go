package store

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Each put leaves its value in etcd's history until that is compacted, and heartbeats are puts. An etcd that nobody
// compacts reaches its quota and then takes no writes. So servers ask for it, one of them at a time: whoever moves the
// key meta/compacted while it is as it was at his last look asks; the others see that somebody has, and wait on.
const compacted = meta + "compacted"

// compaction is the value of meta/compacted, for people.
type compaction struct {
	By   string    `json:"by"`
	Time time.Time `json:"time"`
}

// Compact asks etcd again and again, until ctx ends, to forget what is older than an interval, at most two: watches
// that were away for less go on where they were, others list anew. Of any number of servers that do so one asks each
// time. With an interval of zero or less it does nothing.
func (e *Etcd) Compact(ctx context.Context, by string, every time.Duration) {
	if every <= 0 {
		return
	}
	failed := false
	var seen int64
	for {
		// Spread, so that servers that have started at once do not all write at once.
		if !wait(ctx, time.Duration(float64(every)*(1+e.o.Dice()/10))) {
			return
		}
		next, err := e.compact(ctx, by, seen)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failed = false
		case !failed:
			failed = true
			e.log.Warn("etcd: its history could not be compacted; have etcd do it (auto-compaction), or it grows to its quota",
				"err", err)
		}
		seen = next
	}
}

// compact is one round: seen is the revision at which the key was found by the last one. It returns that of this one.
func (e *Etcd) compact(ctx context.Context, by string, seen int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, e.o.Timeout)
	defer cancel()
	key := e.o.Prefix + compacted
	value, err := json.Marshal(compaction{By: by, Time: e.o.Now().UTC().Round(time.Second)})
	if err != nil {
		return seen, err
	}
	r, err := e.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", seen)).
		Then(clientv3.OpPut(key, string(value))).Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return seen, err
	}
	if !r.Succeeded {
		for _, kv := range r.Responses[0].GetResponseRange().Kvs {
			return kv.ModRevision, nil
		}
		return 0, nil
	}
	if seen > 0 {
		// The key's own revision then was where etcd was then.
		if _, err = e.client.Compact(ctx, seen); errors.Is(err, rpctypes.ErrCompacted) {
			err = nil
		}
	}
	return r.Header.Revision, err
}

// wait returns false if ctx ends before the time is over.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Database is how large etcd's is.
type Database struct {
	Bytes int64  // of the largest member's file; what is compacted is used again, and the file does not shrink
	InUse int64  // of these
	Quota int64  // at which etcd takes no more writes; DefaultQuota where it does not say (before 3.6)
	Alarm string // what a member has raised an alarm for, such as "NOSPACE"; empty: nothing
}

// DefaultQuota is etcd's own, in octets.
const DefaultQuota = 2 << 30

// Fill returns how much of the quota is taken, 1 being all.
func (d *Database) Fill() float64 { return float64(d.Bytes) / float64(d.Quota) }

// Database asks all members how large the database is, one after the other. It fails if none answers.
func (e *Etcd) Database(ctx context.Context) (*Database, error) {
	var d Database
	var err error
	answered := false
	for _, endpoint := range e.endpoints {
		one, cancel := context.WithTimeout(ctx, e.o.Timeout/4)
		s, why := e.client.Status(one, endpoint)
		cancel()
		if why != nil {
			err = why
			continue
		}
		answered = true
		if s.DbSize > d.Bytes {
			d.Bytes, d.InUse = s.DbSize, s.DbSizeInUse
		}
		d.Quota = max(d.Quota, s.DbSizeQuota)
		for _, text := range s.Errors {
			if strings.Contains(text, "alarm:") { // not one of a member that has no leader
				d.Alarm = text
			}
		}
	}
	if !answered {
		return nil, e.why(ctx, err)
	}
	if d.Quota == 0 {
		d.Quota = DefaultQuota
	}
	return &d, nil
}
