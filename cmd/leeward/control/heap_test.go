package control

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// Every collection is followed by a look at the heap, and the percentage goes with it: down while it is large, and
// back.
func TestHeapRule(t *testing.T) {
	before := debug.SetGCPercent(smallPercent)
	defer debug.SetGCPercent(before)
	h := newHeapRule()
	h.watch()
	collect := func() int {
		runtime.GC()
		<-h.due // of this collection, or a later one
		h.follow()
		return h.percent
	}
	large := make([]byte, largeHeap)
	if got := collect(); got != largePercent {
		t.Errorf("a large heap: %d %%", got)
	}
	runtime.KeepAlive(large)
	got := collect()
	for range 3 { // an earlier collection's look may have come first
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

// Who sets GOGC or GOMEMLIMIT gets what they say.
func TestSteadyHeapLeavesSettings(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if h := SteadyHeap(func(n string) string { return map[string]string{name: "50"}[n] }); h {
			t.Errorf("%s is set, and the rule goes on all the same", name)
		}
	}
}
