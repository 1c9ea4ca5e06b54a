package process

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// Each collection leads to a look at the heap, which lowers the percentage while the heap is large and raises it again.
func TestHeapRule(t *testing.T) {
	before := debug.SetGCPercent(smallPercent)
	defer debug.SetGCPercent(before)
	h := newHeapRule()
	h.watch()
	collect := func() int {
		runtime.GC()
		<-h.due // after this collection or a later one
		h.follow()
		return h.percent
	}
	large := make([]byte, 2*steadyGarbage)
	if got := collect(); got < largePercent || got > smallPercent/2 {
		t.Errorf("a large heap: %d %%", got)
	}
	runtime.KeepAlive(large)
	got := collect()
	for range 3 { // the look of an earlier collection may come first
		if got != smallPercent {
			got = collect()
		}
	}
	if got != smallPercent {
		t.Errorf("a small heap again: %d %%", got)
	}
	if set := debug.SetGCPercent(smallPercent); set != got {
		t.Errorf("%d %% is set, %d %% was meant", set, got)
	}
}

// While much is read, garbage is bounded by its own size, within a share of what is live. done ends that.
func TestPercentFor(t *testing.T) {
	for _, c := range []struct {
		live  uint64
		paced bool
		want  int
	}{
		{0, false, 100},
		{0, true, 100},
		{pacedHeap - 1, true, 100},
		{pacedHeap, true, 40},
		{pacedHeap, false, 100},
		{steadyGarbage, false, 100},
		{steadyGarbage + 1, false, 99},
		{2 * steadyGarbage, false, 50},
		{steadyGarbage * 100 / 40, false, 40},
		{pacedGarbage * 100 / 40, true, 40},
		{2 * pacedGarbage, true, 40},
		{4 * pacedGarbage, true, 25},
		{4 * steadyGarbage, false, 40},
		{8 * pacedGarbage, true, 12},
		{1 << 40, true, 10},
		{1 << 40, false, 40},
	} {
		if got := percentFor(c.live, c.paced); got != c.want {
			t.Errorf("%d octets live, paced %v: %d %%, want %d", c.live, c.paced, got, c.want)
		}
	}
	h := newHeapRule()
	defer steady.Store(steady.Swap(h))
	first, second := paceHeap(), paceHeap()
	first()
	if h.paced.Load() != 1 {
		t.Error("one reading goes on, and is not paced")
	}
	if second(); h.paced.Load() != 0 {
		t.Error("no reading goes on, and garbage is kept small")
	}
}

// GOGC and GOMEMLIMIT take precedence.
func TestSteadyHeapLeavesSettings(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if h := SteadyHeap(func(n string) string { return map[string]string{name: "50"}[n] }); h {
			t.Errorf("%s is set, and the rule goes on all the same", name)
		}
	}
}
