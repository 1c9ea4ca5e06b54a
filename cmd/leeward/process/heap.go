package process

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// The heap's rule: garbage may be as much as what is live, which is Go's default, up to steadyGarbage. Of a large heap
// it may be two fifths. A million records then take a third less memory, and collecting more often costs little, since
// they contain few pointers. In between, a heap of some 50 MiB with thousands of endpoints is not small: each
// collection takes processor time from queries and pages for ten milliseconds, so there should be few.
//
// While much is being read, the old and the new data are both live, and garbage comes on top. From pacedHeap on it is
// then limited to pacedGarbage, but never to less than pacedPercent of what is live.
const (
	smallPercent  = 100
	steadyGarbage = 64 << 20 // octets
	largePercent  = 40
	pacedHeap     = 32 << 20 // octets
	pacedGarbage  = 32 << 20 // octets
	pacedPercent  = 10
)

// steady is the rule that this process follows; nil: Go's own, or the operator's.
var steady atomic.Pointer[heapRule]

// paceHeap keeps garbage small until done is called, which gives free memory back to the system. Calls may overlap.
func paceHeap() (done func()) {
	h := steady.Load()
	if h != nil {
		h.pace(1)
	}
	return func() {
		if h != nil {
			h.pace(-1)
		}
		go debug.FreeOSMemory() // it takes a while, and nobody needs to wait
	}
}

// SteadyHeap makes this process's garbage collector follow the rule from now on. It does nothing and returns false if
// an operator has set GOGC or GOMEMLIMIT.
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

// heapRule checks the heap after each collection.
type heapRule struct {
	sample  []metrics.Sample
	percent int
	paced   atomic.Int32 // number of readings under way
	due     chan struct{}
}

func newHeapRule() *heapRule {
	return &heapRule{
		sample: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}, percent: smallPercent,
		due: make(chan struct{}, 1),
	}
}

// watch leaves an object that nothing refers to. When its cleanup runs, a collection has run.
func (h *heapRule) watch() {
	runtime.AddCleanup(&struct{ _ [64]byte }{}, func(h *heapRule) {
		h.look() // hand over: setting the percentage waits for the collection to end
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

// percentFor returns how much garbage there may be, in percent of what is live.
func percentFor(live uint64, paced bool) int {
	switch {
	case paced && live >= pacedHeap:
		return int(min(largePercent, max(pacedPercent, pacedGarbage*100/live)))
	case live <= steadyGarbage:
		return smallPercent
	}
	return int(max(largePercent, steadyGarbage*100/live))
}
