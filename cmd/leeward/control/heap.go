package control

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// The rule of the heap: as long as what is live is small, garbage may be as much again, as Go has it; from largeHeap on
// only two fifths of it. A geo table alone is that large. A million records then take a third less memory, and as next
// to nothing of either is a pointer, collecting more often costs little.
const (
	largeHeap    = 32 << 20 // octets
	smallPercent = 100
	largePercent = 40
)

// SteadyHeap has the garbage collector of this process follow the rule from now on. An operator who has set GOGC or
// GOMEMLIMIT knows better: nothing is done then, and false is returned.
func SteadyHeap(getenv func(string) string) bool {
	if getenv("GOGC") != "" || getenv("GOMEMLIMIT") != "" {
		return false
	}
	h := newHeapRule()
	go func() {
		for range h.due {
			h.follow()
		}
	}()
	h.watch()
	return true
}

// heapRule looks at the heap after each collection.
type heapRule struct {
	sample  []metrics.Sample
	percent int
	due     chan struct{}
}

func newHeapRule() *heapRule {
	return &heapRule{sample: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}, percent: smallPercent, due: make(chan struct{}, 1)}
}

// watch leaves an object that nothing holds: that it is collected tells that there was a collection.
func (h *heapRule) watch() {
	runtime.AddCleanup(&struct{ _ [64]byte }{}, func(h *heapRule) {
		select {
		case h.due <- struct{}{}: // not here: setting the percentage waits for a collection to end
		default:
		}
		h.watch()
	}, h)
}

func (h *heapRule) follow() {
	metrics.Read(h.sample)
	if p := percentFor(h.sample[0].Value.Uint64()); p != h.percent {
		debug.SetGCPercent(p)
		h.percent = p
	}
}

// percentFor is how much garbage there may be beside what is live, in percent of it.
func percentFor(live uint64) int {
	if live >= largeHeap {
		return largePercent
	}
	return smallPercent
}
