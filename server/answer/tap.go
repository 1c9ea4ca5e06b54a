package answer

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Tap takes copies of queries and responses for a follower (package dnstap). Each worker has a ring of fixed size, and
// never waits. A copy that finds no room is dropped and counted.
type Tap struct {
	every uint32 // one query in this many is taken
	size  int    // of a ring, in octets; a power of two

	mu      sync.Mutex
	rings   []*tapRing
	dropped atomic.Uint64
}

// NewTap returns a Tap that takes one query in every. size is that of each worker's ring in octets. It must be a power
// of two, and at least 256 KiB, so that every message fits.
func NewTap(every, size int) *Tap {
	if every < 1 || size < 1<<18 || size&(size-1) != 0 {
		panic("answer: a Tap's numbers are out of range")
	}
	return &Tap{every: uint32(every), size: size}
}

// Dropped returns how many queries were dropped because their ring was full.
func (t *Tap) Dropped() uint64 { return t.dropped.Load() }

// Tapped is a query and its response as they were on the wire. Its slices are valid until the function that Read calls
// returns.
type Tapped struct {
	At       time.Time // when the response was made
	Client   netip.AddrPort
	Stream   bool
	Query    []byte
	Response []byte // nil: none was sent
}

// Read calls f with everything in the rings, each ring in order, until f returns false. It returns how many calls it
// made. Only one goroutine may read.
func (t *Tap) Read(f func(*Tapped) bool) (n int) {
	t.mu.Lock()
	rings := t.rings
	t.mu.Unlock()
	for _, r := range rings {
		for more := true; more; {
			var got bool
			if got, more = r.read(f); got {
				n++
			} else {
				break
			}
			if !more {
				return n
			}
		}
	}
	return n
}

func (t *Tap) ring() *tapRing {
	r := &tapRing{tap: t, octets: make([]byte, t.size)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rings = append(t.rings, r)
	return r
}

// tapRing is the ring of one stripe. head and tail only grow; modulo the size, they are offsets in octets. The writer
// moves head, and the reader moves tail. Workers of one stripe take turns by mu; a packet loop has it to itself.
type tapRing struct {
	tap    *Tap
	octets []byte

	mu sync.Mutex

	head atomic.Uint64
	_    [56]byte
	tail atomic.Uint64
}

// A record has a header, the query and the response. It begins at a multiple of 8, and never wraps around the end of
// the ring. A record whose query length is skipped only fills the end.
const (
	tapHeader = 40
	skipped   = 1<<32 - 1
)

// put copies the latest query of one worker.
func (r *tapRing) put(query, response []byte, client netip.AddrPort, stream bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	size, need := uint64(len(r.octets)), uint64(tapHeader+len(query)+len(response)+7)&^7
	head := r.head.Load()
	at := head & (size - 1)
	fill := uint64(0)
	if size-at < need {
		fill = size - at
	}
	if head+fill+need-r.tail.Load() > size {
		r.tap.dropped.Add(1)
		return
	}
	if fill > 0 {
		binary.LittleEndian.PutUint32(r.octets[at:], skipped)
		at = 0
	}
	b := r.octets[at : at+need]
	binary.LittleEndian.PutUint32(b, uint32(len(query)))
	binary.LittleEndian.PutUint32(b[4:], uint32(len(response)))
	binary.LittleEndian.PutUint64(b[8:], uint64(time.Now().UnixNano()))
	address := client.Addr().As16()
	copy(b[16:], address[:])
	binary.LittleEndian.PutUint16(b[32:], client.Port())
	b[34] = 0
	if stream {
		b[34] = 1
	}
	copy(b[tapHeader:], query)
	copy(b[tapHeader+len(query):], response)
	r.head.Store(head + fill + need)
}

// read calls f with the oldest record, if there is one.
func (r *tapRing) read(f func(*Tapped) bool) (got, more bool) {
	tail, size := r.tail.Load(), uint64(len(r.octets))
	for {
		if tail == r.head.Load() {
			return false, false
		}
		at := tail & (size - 1)
		b := r.octets[at:]
		length := binary.LittleEndian.Uint32(b)
		if length == skipped {
			tail += size - at
			continue
		}
		end := tapHeader + uint64(length) + uint64(binary.LittleEndian.Uint32(b[4:]))
		client := netip.AddrFrom16([16]byte(b[16:32])).Unmap()
		x := Tapped{
			At:     time.Unix(0, int64(binary.LittleEndian.Uint64(b[8:]))),
			Client: netip.AddrPortFrom(client, binary.LittleEndian.Uint16(b[32:])),
			Stream: b[34] == 1,
			Query:  b[tapHeader : tapHeader+uint64(length)],
		}
		if end > tapHeader+uint64(length) {
			x.Response = b[tapHeader+uint64(length) : end]
		}
		more = f(&x)
		r.tail.Store(tail + (end+7)&^7)
		return true, more
	}
}

// Tap copies what the worker has answered, if anybody follows. response is empty if none is sent.
func (w *Worker) Tap(query, response []byte, client netip.AddrPort) {
	if w.tap != nil { // this much is compiled into the loop of a transport
		w.copied(query, response, client)
	}
}

//go:noinline
func (w *Worker) copied(query, response []byte, client netip.AddrPort) {
	if w.untapped++; w.untapped >= w.tap.tap.every {
		w.untapped = 0
		w.tap.put(query, response, client, w.over.Stream)
	}
}
