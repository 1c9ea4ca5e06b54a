package folder

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"leeward/zones"
)

// A process that takes more than its memory limit (GOMEMLIMIT, or that of its control group) is killed, or does nothing
// but collect garbage. So a file that would not fit is not read to its end. What it said before stays in service, and a
// problem says so.

// largeFile is the size, in octets, from which it is worth asking how much memory there is.
const largeFile = 4 << 20

// What reading takes at most, in octets: measured with short records, with a fifth to spare. Text comes on top.
const (
	knownCost = 48  // of a resource that was there before: its places in the index, and among sets that are complete
	newCost   = 384 // of one that says something else: as a document, in the Catalog, as an answer
	textCost  = 4   // of each octet of its text: it is there as often
)

// memory is what the process uses and may use, in octets.
type memory struct{ limit, used int64 }

// left returns how much may be added. A twentieth stays free for the garbage collector to work with.
func (m memory) left() int64 { return m.limit - m.limit/20 - m.used }

// memoryNow asks the runtime. With exact set it collects garbage first.
func memoryNow(exact bool) memory {
	m := memory{limit: debug.SetMemoryLimit(-1)}
	if m.limit == math.MaxInt64 {
		return m
	}
	if exact {
		runtime.GC()
	}
	names := []string{
		"/gc/heap/live:bytes", "/memory/classes/total:bytes",
		"/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes",
		"/memory/classes/heap/free:bytes", "/memory/classes/heap/released:bytes",
	}
	samples := make([]metrics.Sample, len(names))
	for i := range names {
		samples[i].Name = names[i]
	}
	metrics.Read(samples)
	n := func(i int) int64 { return int64(samples[i].Value.Uint64()) }
	m.used = n(0) + n(1) - n(2) - n(3) - n(4) - n(5) // what is live, and what is no heap: stacks, the runtime's own
	return m
}

// room counts what reading a file takes of the memory that is left.
type room struct {
	memory
	ask          func(exact bool) memory // nil: it was asked, or there is no limit
	large        int64                   // ask once so much is taken
	least, taken int64
	parsing      int64 // of taken: what is held only while documents are parsed
	over         int64 // what was taken when it did not fit; 0: it did
}

// roomFor returns the room for a file of a size. last is what is kept of it; nil: nothing, or all is read anew. A small
// file is not worth asking, unless much comes of it: a few octets of a document are a node, which takes hundreds.
func (s *scanner) roomFor(size int64, last *kept) *room {
	r := &room{memory: memory{limit: math.MaxInt64}, ask: s.memory, large: s.large}
	if s.memory == nil || size < s.large {
		return r
	}
	if r.memory, r.ask = s.memory(true), nil; last != nil {
		r.least = int64(len(last.entries)) * knownCost
	}
	return r
}

func (r *room) begin() { r.taken, r.parsing, r.over = r.least, 0, 0 }

// parse counts what is held while documents are parsed: so many octets more, or fewer.
func (r *room) parse(octets int) error {
	r.taken += int64(octets)
	r.parsing += int64(octets)
	return r.fits()
}

// hold counts one more resource. The error says that the file does not fit.
func (r *room) hold(d zones.Document) error {
	octets := newCost
	if record, ok := d.Resource.(*zones.Record); ok {
		octets += textCost * len(record.Owner)
		for _, text := range record.Data {
			octets += textCost * len(text)
		}
	} else {
		octets *= 8 // with what is compiled of it
	}
	r.taken += int64(octets)
	return r.fits()
}

// fits returns an error if what has been counted does not fit.
func (r *room) fits() error {
	if r.ask != nil && r.taken > r.large {
		r.memory, r.ask = r.ask(true), nil
		if r.limit != math.MaxInt64 {
			r.used -= r.taken // it is in use already
		}
	}
	if r.limit == math.MaxInt64 || r.taken <= r.left() {
		return nil
	}
	r.over = r.taken
	const mib = 1 << 20
	how := ""
	if r.parsing > r.taken/2 {
		how = "; what is one large document, or one List, takes less as several documents, which are read one by one"
	}
	return fmt.Errorf("it does not fit into memory and is not read: it takes more than the %d MiB that are left of "+
		"the limit of %d MiB; raise it (GOMEMLIMIT, or the control group's) or make the file smaller%s",
		max(0, r.left()/mib), r.limit/mib, how)
}

// wants returns how much must be free for another attempt; 0: the file did fit.
func (r *room) wants() int64 { return r.over + r.over/8 }

// fits reports whether there is room now for that much.
func (s *scanner) fits(octets int64) bool { return s.memory(false).left() >= octets }
