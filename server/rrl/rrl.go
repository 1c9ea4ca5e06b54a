// Package rrl limits how many responses of a kind a network gets in a second. So an attacker who forges addresses gains
// nothing by flooding others through this server. (Response rate limiting, as in BIND, NSD and Knot.)
//
// Each bucket belongs to a client prefix, a kind of response and a name: that of the RRset, the wildcard, the zone of a
// negative answer, or the cut. It holds one second's worth of responses and fills at the rate. It is one word of
// memory: a tag from the hash of its key, and the time at which it will be full again, counted in responses since the
// start (the theoretical arrival time of GCRA). A full bucket is the same as none, so buckets need not be removed. The
// number in use is at most the responses of a second divided by the rate, and the table never has to be swept.
//
// The table has a fixed size and is shared by all workers, so a limit holds for all of them together. Each key has one
// cache line of eight buckets. They are read and written by atomic operations: no lock, no allocation. If all eight are
// in use by other keys, the fullest gives way. So too many clients at once make the limit milder, never stricter.
// Hashes have random seeds, so nobody can aim at a bucket.
package rrl

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"
	"unsafe"
)

// Kind is the kind of a response. Each kind has buckets of its own.
type Kind uint8

// The kinds, and the name that each is counted by.
const (
	Error    Kind = iota // anything else: by no name
	Answer               // an RRset: by its owner, or by the wildcard or DNAME that it was made from
	Negative             // NXDOMAIN or no data: by the zone, because the number of names is unlimited
	Referral             // a delegation: by the name of the cut
)

// A client is a network: that of one victim of forged addresses.
const (
	IPv4Bits = 24
	IPv6Bits = 56
)

// Limits of Options.
const (
	MaxRate     = 1_000_000_000
	DefaultSlip = 2
	MaxSlip     = 100
	capacity    = 1 << 16 // buckets: 512 KiB
)

// Options are a Limiter's settings.
type Options struct {
	Rate   int            // responses a second and bucket, 1 to MaxRate
	Slip   int            // one in this many limited responses is sent truncated; 0: all are dropped
	Exempt []netip.Prefix // clients that are not limited
}

// Limiter decides which responses are sent. All of its methods may be called by several goroutines at once.
type Limiter struct {
	rate    uint64
	slip    uint64
	exempt  []netip.Prefix
	mix     [2]uint64
	lines   []line
	evicted atomic.Uint64
}

// line has the buckets among which a key is looked for: a cache line.
type line [8]atomic.Uint64

// The word of a bucket: the tag in the high bits, the time in the low ones.
const (
	timeBits = 40
	timeMask = 1<<timeBits - 1
)

// Time is a moment, counted in responses that a bucket would have let through since the start: see At.
type Time uint64

// New returns a limiter whose buckets are full. It fails if the rate or the slip is out of range.
func New(o Options) (*Limiter, error) {
	if o.Rate < 1 || o.Rate > MaxRate {
		return nil, fmt.Errorf("rate limit: %d responses a second are out of range; give 1 to %d", o.Rate, MaxRate)
	}
	if o.Slip < 0 || o.Slip > MaxSlip {
		return nil, fmt.Errorf("rate limit: a slip of %d is out of range; give 1 to %d, or 0 for none", o.Slip, MaxSlip)
	}
	return &Limiter{
		rate: uint64(o.Rate), slip: uint64(o.Slip), exempt: o.Exempt,
		mix: [2]uint64{rand.Uint64(), rand.Uint64() | 1}, lines: make([]line, capacity/len(line{})),
	}, nil
}

// At converts the time since the start to the limiter's unit. One result is enough for a batch of responses.
func (l *Limiter) At(since time.Duration) Time {
	high, low := bits.Mul64(uint64(max(since, 0)), l.rate)
	// modulo 2^64, of which 40 bits are looked at
	t, _ := bits.Div64(high%uint64(time.Second), low, uint64(time.Second))
	return Time(t)
}

// Allow takes a response of the kind out of the client's bucket for the name, and reports whether there was one left.
// The name is given by its hash, under a seed that nobody else knows; 0 if the kind has no name. An IPv4 client must
// not be mapped to IPv6.
func (l *Limiter) Allow(now Time, client netip.Addr, kind Kind, name uint64) bool {
	return l.take(uint64(now), l.key(client, kind, name))
}

// Bucket returns where Allow will look for the bucket, so that a caller can fetch that into the cache in advance.
func (l *Limiter) Bucket(client netip.Addr, kind Kind, name uint64) unsafe.Pointer {
	return unsafe.Pointer(&l.lines[l.key(client, kind, name)&uint64(len(l.lines)-1)])
}

// Exempt reports whether the client has no limit. It takes longer, so call it only if Allow returned false.
func (l *Limiter) Exempt(client netip.Addr) bool {
	for _, p := range l.exempt {
		if p.Contains(client) {
			return true
		}
	}
	return false
}

// Slip reports whether a limited response is sent truncated rather than dropped, by a random number. So one client
// among many in its prefix gets through by TCP sooner or later, whatever pattern the others ask in.
func (l *Limiter) Slip(random uint64) bool { return l.slip > 0 && random%l.slip == 0 }

// key hashes a bucket's client, kind and name.
func (l *Limiter) key(client netip.Addr, kind Kind, name uint64) uint64 {
	var prefix uint64
	if client.Is4() {
		a := client.As4()
		prefix = uint64(a[0])<<16 | uint64(a[1])<<8 | uint64(a[2])
	} else {
		a := client.As16()
		prefix = 1<<63 | uint64(a[0])<<48 | uint64(a[1])<<40 | uint64(a[2])<<32 | uint64(a[3])<<24 |
			uint64(a[4])<<16 | uint64(a[5])<<8 | uint64(a[6])
	}
	high, low := bits.Mul64(prefix^l.mix[0], l.mix[1])
	h := high ^ low ^ uint64(kind)
	high, low = bits.Mul64(h^name, 0x9e3779b97f4a7c15)
	return high ^ low
}

// take is Allow for the hash of a key. Its low bits choose the line, its high bits are the tag.
func (l *Limiter) take(now, key uint64) bool {
	at := &l.lines[key&uint64(len(l.lines)-1)]
	tag := key &^ timeMask
	for range 4 { // after losing the race for a bucket this often, the response goes out
		var slot *atomic.Uint64
		word, lacks, mine := uint64(0), uint64(1<<timeBits), false
		for i := range at {
			w := at[i].Load()
			d := (w - now) & timeMask // how many responses it lacks
			switch {
			case d <= l.rate:
			case d <= 2*l.rate: // all, by a loop whose clock is ahead of this one's by up to a second
				d = l.rate
			default: // the time when it was full again lies behind: nothing
				d = 0
			}
			if w&^timeMask == tag {
				slot, word, lacks, mine = &at[i], w, d, true
				break
			}
			if d < lacks {
				slot, word, lacks = &at[i], w, d
			}
		}
		evicts := !mine && lacks > 0
		switch {
		case !mine:
			lacks = 0
		case lacks >= l.rate:
			return false
		}
		if slot.CompareAndSwap(word, tag|(now+lacks+1)&timeMask) {
			if evicts {
				l.evicted.Add(1)
			}
			return true
		}
	}
	return true
}

// Capacity returns how many buckets the table has.
func (l *Limiter) Capacity() int { return len(l.lines) * len(line{}) }

// InUse counts the buckets that are not full. It reads the whole table.
func (l *Limiter) InUse(now Time) (n int) {
	for i := range l.lines {
		for j := range l.lines[i] {
			if d := (l.lines[i][j].Load() - uint64(now)) & timeMask; d > 0 && d <= l.rate {
				n++
			}
		}
	}
	return n
}

// Evicted returns how many buckets have given way while they were in use.
func (l *Limiter) Evicted() uint64 { return l.evicted.Load() }
