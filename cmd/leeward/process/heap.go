package process

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// The rule of the heap: as long as what is live is small, garbage may be as much again, as Go has it; from largeHeap on
// only two fifths of it. A geo table alone is that large. A million records then take a third less memory, and as next
// to nothing of either is a pointer, collecting more often costs little.
//
// While much is read, what is live is what serves and what is new, and garbage comes on top of both. It is then bounded
// to pacedGarbage, within pacedPercent of what is live.
const (
	largeHeap    = 32 << 20 // octets
	smallPercent = 100
	largePercent = 40
	pacedGarbage = 48 << 20 // octets
	pacedPercent = 12
)

// steady is the rule that this process follows; nil: none.
var steady atomic.Pointer[heapRule]

// paceHeap has garbage kept small until done is called, which gives back what has become free. Readings may overlap.
func paceHeap() (done func()) {
	h := steady.Load() // nil: an operator knows better
	if h != nil {
		h.pace(1)
	}
	return func() {
		if h != nil {
			h.pace(-1)
		}
		go debug.FreeOSMemory() // nothing waits for it
	}
}

// SteadyHeap has the garbage collector of this process follow the rule from now on. An operator who has set GOGC or
// GOMEMLIMIT knows better: nothing is done then, and false is returned.
func SteadyHeap(getenv func(string) string) bool {
	if getenv("GOGC") != "" || getenv("GOMEMLIMIT") != "" {
		return false
	}
	h := newHeapRule()
	steady.Store(h)
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
	paced   atomic.Int32 // how many read much
	due     chan struct{}
}

func newHeapRule() *heapRule {
	return &heapRule{sample: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}, percent: smallPercent, due: make(chan struct{}, 1)}
}

// watch leaves an object that nothing holds: that it is collected tells that there was a collection.
func (h *heapRule) watch() {
	runtime.AddCleanup(&struct{ _ [64]byte }{}, func(h *heapRule) {
		h.look() // not here: setting the percentage waits for a collection to end
		h.watch()
	}, h)
}

func (h *heapRule) look() {
	select {
	case h.due <- struct{}{}:
	default:
	}
}

func (h *heapRule) pace(more int32) {
	h.paced.Add(more)
	h.look()
}

func (h *heapRule) follow() {
	metrics.Read(h.sample)
	if p := percentFor(h.sample[0].Value.Uint64(), h.paced.Load() > 0); p != h.percent {
		debug.SetGCPercent(p)
		h.percent = p
	}
}

// percentFor is how much garbage there may be beside what is live, in percent of it.
func percentFor(live uint64, paced bool) int {
	switch {
	case live < largeHeap:
		return smallPercent
	case paced:
		return int(min(largePercent, max(pacedPercent, pacedGarbage*100/live)))
	}
	return largePercent
}
