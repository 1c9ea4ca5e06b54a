package process

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// await returns once that revision or a later one is served, and at the latest after the limit.
func TestReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reached
		r.set(3)
		if !r.await(t.Context(), 3, time.Second) {
			t.Error("what is there already was waited for")
		}
		var all sync.WaitGroup
		waiting := func(revision int64, want bool, after time.Duration) {
			begin := time.Now()
			all.Go(func() {
				if got := r.await(t.Context(), revision, time.Second); got != want || time.Since(begin) != after {
					t.Errorf("revision %d: %v after %v, want %v after %v", revision, got, time.Since(begin), want,
						after)
				}
			})
		}
		waiting(4, true, 100*time.Millisecond)
		waiting(5, true, 200*time.Millisecond)
		waiting(6, true, 200*time.Millisecond)
		waiting(7, false, time.Second)
		time.Sleep(100 * time.Millisecond)
		r.set(4)
		time.Sleep(100 * time.Millisecond)
		r.set(6)
		all.Wait()
		ended, stop := context.WithCancel(t.Context())
		stop()
		if r.await(ended, 8, time.Hour) {
			t.Error("a revision that never was")
		}
	})
}
