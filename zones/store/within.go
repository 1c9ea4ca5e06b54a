package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"leeward/zones"
	"leeward/zones/etcd"
)

// Scope is the part of all keys that a small change reads.
type Scope struct {
	Keys    []zones.Key // there or not
	Folders []string    // below the prefix, ending in a slash, such as "records/example.test/www/"; each holds little
	Beside  []zones.Key // read like Keys, but they may change meanwhile
}

// ErrTooMuch says that a change does not fit into one transaction: more than some thousand keys, or a MiB.
var ErrTooMuch = errors.New("more than one transaction can hold")

// ChangeWithin is Change for a change that reads little. It reads only the scope, asks plan what to change, and commits
// that in one transaction, all or nothing, if nothing in the scope's Keys and Folders has changed since. If something
// has, it starts again, a bounded number of times. An error of plan ends it. So does a failure of etcd during the
// commit, after which nobody knows whether the change was made.
func (e *Store) ChangeWithin(ctx context.Context, s Scope, plan func(*Listing) (Plan, error)) (Committed, error) {
	for attempt := 0; ; attempt++ {
		done, again, err := e.tryWithin(ctx, s, plan)
		if err == nil || !again || attempt+1 == attempts || !e.again(ctx, attempt, 5*time.Millisecond, err) {
			return done, err
		}
	}
}

func (e *Store) tryWithin(
	ctx context.Context, s Scope, plan func(*Listing) (Plan, error),
) (done Committed, again bool, err error) {
	base, err := e.listWithin(ctx, s)
	if err != nil {
		// A compaction may overtake a listing of several reads: the next one is of a later revision.
		return done, etcd.Fleeting(err) || errors.Is(err, etcd.ErrCompacted), e.Explain(ctx, err)
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
	for _, change := range base.Changes { // a comparison of a range notices puts, not deletions
		if !beside[change.Key] {
			premises.key(change.Key)
		}
	}
	octets := premises.octets(len(e.Prefix()))
	for _, w := range writes {
		octets += w.octets(len(e.Prefix()))
	}
	if n < len(writes) || premises.count() > etcd.MostCompares || octets > etcd.MostOctets {
		return done, false, fmt.Errorf("%d changes that rely on %d keys are %w",
			len(writes), premises.count(), ErrTooMuch)
	}
	if err := c.transact(ctx, writes, premises); err != nil {
		return done, errors.Is(err, etcd.ErrConflict), e.Explain(ctx, err)
	}
	return c.done, false, nil
}

// listWithin reads a scope at one revision.
func (e *Store) listWithin(ctx context.Context, s Scope) (*Listing, error) {
	var ranges []etcd.Range
	folders := map[string]bool{}
	for _, f := range s.Folders {
		folders[f] = true
		ranges = append(ranges, etcd.Folder(f))
	}
	within := func(k zones.Key) bool {
		for i := range k {
			if k[i] == '/' && folders[string(k[:i+1])] {
				return true
			}
		}
		return false
	}
	for _, keys := range [][]zones.Key{s.Keys, s.Beside, {etcd.Accepted}} {
		for _, k := range keys {
			if !within(k) {
				ranges = append(ranges, etcd.One(string(k)))
			}
		}
	}
	slices.SortFunc(ranges, func(a, b etcd.Range) int { return strings.Compare(a.From, b.From) })
	l := &Listing{}
	var err error
	l.Point, err = e.ReadMany(ctx, slices.Compact(ranges), func(kv etcd.KV) { l.take(e, kv) })
	return l, err
}
