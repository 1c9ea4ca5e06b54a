package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Of several that ask for compaction one does each time; what is younger than an interval is kept, what is older is
// not.
func TestCompactOneOfMany(t *testing.T) {
	m := startMember(t)
	var all []*Etcd
	seen := make([]int64, 5)
	for range seen {
		all = append(all, dial(t, nil, m.url()))
	}
	round := func() {
		t.Helper()
		before := get(t, all[0], compacted)
		for i, e := range all {
			next, err := e.compact(t.Context(), fmt.Sprint("server-", i), seen[i])
			if err != nil {
				t.Fatal(err)
			}
			seen[i] = next
		}
		if after := get(t, all[0], compacted); after.Version != before.Version+1 {
			t.Fatalf("%d rounds were made by %d servers at once, want 1", after.Version-before.Version, len(all))
		}
	}
	held := func(revision int64) bool {
		_, err := all[0].Client().Get(t.Context(), "x", clientv3.WithRev(revision))
		if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
			t.Fatal(err)
		}
		return err == nil
	}
	first := put(t, all[0], "regions/eu-west", regionEU)
	round()
	second := put(t, all[0], "regions/eu-west", regionEU)
	if !held(first) {
		t.Error("what was put before the first round is gone at once")
	}
	round()
	if held(first) || !held(second) {
		t.Errorf("after an interval: older %v, younger %v", held(first), held(second))
	}
	round()
	if held(second) {
		t.Error("nothing is compacted any more")
	}
	del(t, all[0], compacted) // by hand: the next ones begin anew
	for i := range all {
		seen[i], _ = all[i].compact(t.Context(), "x", seen[i])
	}
	round()
	round()
}

// A watch goes on while servers compact, and nobody reads everything again.
func TestCompactUnderWatch(t *testing.T) {
	m := startMember(t)
	e := dial(t, nil, m.url())
	put(t, e, "regions/eu-west", regionEU)
	r := read(t, e.Follow)
	r.state(Following, 0)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { e.Compact(ctx, "one", 20*time.Millisecond) })
	wg.Go(func() { dial(t, nil, m.url()).Compact(ctx, "two", 20*time.Millisecond) })
	for get(t, e, compacted).Version < 10 {
		r.revision(put(t, e, "regions/eu-west", regionEU))
	}
	stop()
	wg.Wait()
	if n := r.full(); n != 1 {
		t.Errorf("everything was read %d times, want once", n)
	}
	d, err := e.Database(t.Context())
	if err != nil || d.Bytes <= 0 || d.InUse <= 0 || d.Quota <= 0 || d.Alarm != "" {
		t.Errorf("%+v, %v", d, err)
	}
}

// get returns a key as etcd has it; the zero one where it has none.
func get(t *testing.T, e *Etcd, key string) *mvccpb.KeyValue {
	t.Helper()
	r, err := e.Client().Get(t.Context(), e.Prefix()+key)
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range r.Kvs {
		return kv
	}
	return &mvccpb.KeyValue{}
}
