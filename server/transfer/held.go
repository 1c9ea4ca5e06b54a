package transfer

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"runtime/debug"
	"sync"
)

// mostHeld bounds how many octets all transfers together hold in memory. A primary that never stops sending must not
// take the memory that queries are answered from. A process with a memory limit uses a quarter of that limit instead.
const mostHeld = 512 << 20

// The overhead in memory of a waiting message and of a processed record, in octets. A short record at a name of its own
// costs most: 113 octets were measured for one that counts as 38.
const (
	messageCost = 64
	recordCost  = 96
)

// mayHold returns how many octets all transfers together may hold.
func mayHold() int {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return int(min(mostHeld, limit/4))
	}
	return mostHeld
}

// held counts the memory of all transfers as their messages arrive. When it is too much, one transfer has to end: the
// largest from the address that holds most. So no transfer fails because of another that is larger.
type held struct {
	most int

	mu     sync.Mutex
	now    int // octets, without the transfers that are ending
	from   map[netip.Addr]int
	shares map[*holding]bool
}

// holding is the memory that one transfer holds. held.mu guards it.
type holding struct {
	all    *held
	from   netip.Addr
	octets int
	over   bool // the transfer has to end
	end    context.CancelFunc
}

// errHeld is returned if a transfer had to end because it held too much.
type errHeld struct{ most int }

func (e errHeld) Error() string {
	return fmt.Sprintf("all transfers together hold more than %d MiB, and this primary's hold most; its zone "+
		"does not fit here", e.most>>20)
}

func newHeld(most int) *held {
	return &held{most: most, from: map[netip.Addr]int{}, shares: map[*holding]bool{}}
}

// open starts to count for a transfer from an address. end is called if this transfer has to end in favour of others.
func (h *held) open(from netip.Addr, end context.CancelFunc) *holding {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := &holding{all: h, from: from, end: end}
	h.shares[x] = true
	return x
}

// take counts octets that have arrived. It returns errHeld if this transfer has to end. A nil holding takes everything.
func (x *holding) take(octets int) error {
	if x == nil {
		return nil
	}
	h := x.all
	h.mu.Lock()
	defer h.mu.Unlock()
	if !x.over {
		x.octets += octets
		h.count(x, octets)
	}
	for h.now > h.most {
		h.drop(h.heaviest())
	}
	if x.over {
		return errHeld{h.most}
	}
	return nil
}

// give counts octets that are no longer held.
func (x *holding) give(octets int) {
	if x == nil {
		return
	}
	x.all.mu.Lock()
	defer x.all.mu.Unlock()
	if !x.over {
		x.octets -= octets
		x.all.count(x, -octets)
	}
}

// close gives back everything that the transfer holds. It reports whether the transfer had to end.
func (x *holding) close() (over bool) {
	h := x.all
	h.mu.Lock()
	defer h.mu.Unlock()
	over = x.over
	h.drop(x)
	return over
}

func (h *held) count(x *holding, octets int) {
	h.now += octets
	if h.from[x.from] += octets; h.from[x.from] == 0 {
		delete(h.from, x.from)
	}
}

// drop ends a transfer. Its memory no longer counts, as the transfer stops at its next step.
func (h *held) drop(x *holding) {
	if x.over {
		return
	}
	x.over = true
	h.count(x, -x.octets)
	delete(h.shares, x)
	x.end()
}

// heaviest returns the transfer that is to end.
func (h *held) heaviest() (worst *holding) {
	for x := range h.shares {
		if worst == nil || h.from[x.from] > h.from[worst.from] || h.from[x.from] == h.from[worst.from] &&
			x.octets > worst.octets {
			worst = x
		}
	}
	return worst
}

// tight reports whether so much is held that transfers must not read far ahead.
func (x *holding) tight() bool {
	if x == nil {
		return false
	}
	x.all.mu.Lock()
	defer x.all.mu.Unlock()
	return x.all.now > x.all.most/2
}
