package transfer

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"runtime/debug"
	"sync"
)

// mostHeld bounds what all transfers under way hold in memory together, octets: a primary that never ends, or is not
// what it was taken for, must not take the memory that answers are made from. A process with a memory limit has a
// quarter of it for them.
const mostHeld = 512 << 20

// What a message that waits, and a record that has been taken up, cost in memory beside their own octets. A record of a
// few octets at a name of its own is the dearest: 113 octets were measured for one that counts as 38.
const (
	messageCost = 64
	recordCost  = 96
)

// mayHold returns how much all transfers may hold.
func mayHold() int {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return int(min(mostHeld, limit/4))
	}
	return mostHeld
}

// held counts what transfers hold, as it arrives. Where it is too much, one of them has to end: the largest of the
// address that holds most. So no transfer fails because of another that is larger.
type held struct {
	most int

	mu     sync.Mutex
	now    int // without what those hold that have to end
	from   map[netip.Addr]int
	shares map[*holding]bool
}

// holding is what one transfer holds. held.mu guards it.
type holding struct {
	all    *held
	from   netip.Addr
	octets int
	over   bool // it has to end
	end    context.CancelFunc
}

// errHeld is a transfer that holds too much.
type errHeld struct{ most int }

func (e errHeld) Error() string {
	return fmt.Sprintf("the transfers under way hold more than %d MiB, and those from this primary most; its zone "+
		"does not fit here", e.most>>20)
}

func newHeld(most int) *held {
	return &held{most: most, from: map[netip.Addr]int{}, shares: map[*holding]bool{}}
}

// open begins to count for a transfer from an address. end is called if it has to end for another's sake.
func (h *held) open(from netip.Addr, end context.CancelFunc) *holding {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := &holding{all: h, from: from, end: end}
	h.shares[x] = true
	return x
}

// take counts what has arrived. The error is errHeld if this transfer has to end; nil has everything pass.
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

// give takes back what was counted.
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

// close gives all of it back, and reports whether the transfer had to end.
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

// drop has a transfer end. What it holds is as good as given back: it stops at its next step.
func (h *held) drop(x *holding) {
	if x.over {
		return
	}
	x.over = true
	h.count(x, -x.octets)
	delete(h.shares, x)
	x.end()
}

// heaviest returns which transfer is to end.
func (h *held) heaviest() (worst *holding) {
	for x := range h.shares {
		if worst == nil || h.from[x.from] > h.from[worst.from] || h.from[x.from] == h.from[worst.from] &&
			x.octets > worst.octets {
			worst = x
		}
	}
	return worst
}

// tight reports whether so much is held that nobody should read far ahead.
func (x *holding) tight() bool {
	if x == nil {
		return false
	}
	x.all.mu.Lock()
	defer x.all.mu.Unlock()
	return x.all.now > x.all.most/2
}
