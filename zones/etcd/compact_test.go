//go:build !noembed

package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"leeward/cmd/leeward/embedded"
)

// start starts an etcd for the test, and dials it n times.
func start(t *testing.T, n int) []*Cluster {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	e, err := embedded.Start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	var all []*Cluster
	for range n {
		c, err := Dial(Options{Endpoints: []string{e.URL()}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		all = append(all, c)
	}
	return all
}

func put(t *testing.T, c *Cluster, name, value string) int64 {
	t.Helper()
	revision, err := c.Begin().Put(name, []byte(value), 0).Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// Several ask for compaction, and one of them does it each time. What is younger than an interval stays, and what is
// older goes.
func TestCompactOneOfMany(t *testing.T) {
	all := start(t, 5)
	seen := make([]int64, len(all))
	round := func() {
		t.Helper()
		before := version(t, all[0])
		for i, e := range all {
			next, err := e.compact(t.Context(), fmt.Sprint("server-", i), seen[i])
			if err != nil {
				t.Fatal(err)
			}
			seen[i] = next
		}
		if after := version(t, all[0]); after != before+1 {
			t.Fatalf("%d rounds were made by %d servers at once, want 1", after-before, len(all))
		}
	}
	held := func(revision int64) bool {
		_, _, err := all[0].GetAt(t.Context(), "x", revision)
		if err != nil && !errors.Is(err, ErrCompacted) {
			t.Fatal(err)
		}
		return err == nil
	}
	first := put(t, all[0], "regions/eu-west", "x")
	round()
	second := put(t, all[0], "regions/eu-west", "x")
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
	// By hand: the next ones begin anew.
	if _, err := all[0].Begin().Delete(One(compacted)).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range all {
		seen[i], _ = all[i].compact(t.Context(), "x", seen[i])
	}
	round()
	round()
}

// version returns how often meta/compacted was put.
func version(t *testing.T, c *Cluster) int64 {
	t.Helper()
	r, err := c.Client.Get(t.Context(), c.Key(compacted))
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range r.Kvs {
		return kv.Version
	}
	return 0
}
