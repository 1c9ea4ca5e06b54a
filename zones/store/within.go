package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/zones"
)

// Scope is the part of everything that a small change looks at.
type Scope struct {
	Keys    []zones.Key // there or not
	Folders []string    // below the prefix, ending in a slash, such as "records/example.test/www/"; each holds little
	Beside  []zones.Key // read as Keys are, but the change stands if they change
}

// ErrTooMuch says that a change does not fit into one transaction: more than some thousand keys, or a MiB.
var ErrTooMuch = errors.New("more than one transaction can hold")

// ChangeWithin is Change for a change that looks at little: it reads only the scope, lets plan say what to change, and
// commits that in one transaction, all or nothing, if nothing of the scope's Keys and Folders has changed since;
// otherwise all of it again, a bounded number of times. plan's error ends it. Where etcd fails while it commits,
// whether the change was made is not known: that is an error, and is not tried again.
func (e *Etcd) ChangeWithin(ctx context.Context, s Scope, plan func(*Listing) (Plan, error)) (Committed, error) {
	for attempt := 0; ; attempt++ {
		done, again, err := e.tryWithin(ctx, s, plan)
		if err == nil || !again || attempt+1 == attempts || ctx.Err() != nil {
			return done, err
		}
		e.log.Debug("etcd: trying the change again", "attempt", attempt+1, "err", err)
		t := time.NewTimer(time.Duration((0.5 + e.o.Dice()) * float64(5*time.Millisecond<<min(attempt, 6))))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return done, err
		}
	}
}

func (e *Etcd) tryWithin(ctx context.Context, s Scope, plan func(*Listing) (Plan, error)) (done Committed, again bool, err error) {
	base, err := e.listWithin(ctx, s)
	if err != nil {
		// Where a listing of several reads was overtaken by a compaction, the next one is of a later revision.
		return done, fleeting(err) || errors.Is(rpctypes.Error(err), rpctypes.ErrCompacted), e.why(ctx, err)
	}
	p, err := plan(base)
	if err != nil {
		return done, false, err
	}
	done.Revision = base.Revision
	c, writes, err := e.prepare(base, p)
	if err != nil || len(writes) == 0 {
		return done, false, err
	}
	n, premises := c.fit(writes)
	for _, k := range s.Keys {
		premises.key(k)
	}
	for _, f := range s.Folders {
		premises.folder(f)
	}
	beside := map[zones.Key]bool{}
	for _, k := range s.Beside {
		beside[k] = true
	}
	for _, change := range base.Changes { // a range sees what is put, not what is deleted
		if !beside[change.Key] {
			premises.key(change.Key)
		}
	}
	octets := premises.octets(len(e.o.Prefix))
	for _, w := range writes {
		octets += w.octets(len(e.o.Prefix))
	}
	if n < len(writes) || premises.count() > mostCompares || octets > mostOctets {
		return done, false, fmt.Errorf("%d changes that rely on %d keys are %w", len(writes), premises.count(), ErrTooMuch)
	}
	if err := c.transact(ctx, writes, premises); err != nil {
		return done, errors.Is(err, ErrConflict), e.unwell(ctx, err)
	}
	return c.done, false, nil
}

// listWithin reads a scope at one revision.
func (e *Etcd) listWithin(ctx context.Context, s Scope) (*Listing, error) {
	var ranges [][2]string
	folders := map[string]bool{}
	for _, f := range s.Folders {
		folders[f] = true
		ranges = append(ranges, [2]string{f, after(f)})
	}
	within := func(k zones.Key) bool {
		for i := range k {
			if k[i] == '/' && folders[string(k[:i+1])] {
				return true
			}
		}
		return false
	}
	for _, keys := range [][]zones.Key{s.Keys, s.Beside, {accepted}} {
		for _, k := range keys {
			if !within(k) {
				ranges = append(ranges, [2]string{string(k), string(k) + "\x00"})
			}
		}
	}
	slices.SortFunc(ranges, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	ranges = slices.Compact(ranges)
	l := &Listing{Leases: map[zones.Key]Lease{}}
	for part := range slices.Chunk(ranges, mostOps) {
		var ops []clientv3.Op
		for _, r := range part {
			ops = append(ops, clientv3.OpGet(e.o.Prefix+r[0], clientv3.WithRange(e.o.Prefix+r[1]), clientv3.WithRev(l.Revision)))
		}
		call, cancel := context.WithTimeout(ctx, e.o.Timeout)
		answer, err := e.client.Txn(call).Then(ops...).Commit()
		cancel()
		if err != nil {
			return nil, err
		}
		if l.Revision == 0 {
			l.ClusterID, l.Revision = answer.Header.ClusterId, answer.Header.Revision
		}
		for _, r := range answer.Responses {
			for _, kv := range r.GetResponseRange().Kvs {
				l.take(e, kv)
			}
		}
	}
	return l, nil
}
