package server

import (
	"sync"
	"sync/atomic"
)

// The counters are numbers of a tally. Those that have a label are runs of them.
const (
	queries   = 0                         // by way: how it came in
	responses = queries + ways            // by RCODE; those above the last are counted as the last
	single    = responses + responseCodes // the rest, one each

	responseCodes = 24 // RFC 6895 assigns 0 to 23; EDNS carries those above 15
)

const (
	droppedShort   = single + iota // too short for a header, or a response
	droppedBusy                    // for Options.Special, which has its hands full
	droppedPanic                   // a fault of ours
	droppedReceive                 // the system reported an error instead of a datagram
	droppedSend                    // the system would not take the response
	truncated                      // responses with TC set
	steered                        // answered by a policy
	failOpen                       // of these, with nothing healthy
	subnets                        // queries with an ECS option
	notReady                       // answered before there was a snapshot

	// Responses over the rate limit, and what was done with them.
	limitDropped
	limitSlipped // sent truncated
	limitCookie  // sent as BADCOOKIE
	limitExempt  // sent as they are

	cookies // by standing: queries with a cookie
	_
	_
	_
	counters
)

// way is how a query came in: protocol and family.
type way int

const (
	udp4 way = iota
	udp6
	tcp4
	tcp6
	ways = iota
)

// tally is what one worker has counted since it last told anybody: plain numbers, one goroutine's.
type tally [counters]uint64

// stripe is a worker's counts as others may read them. A worker adds its tally after each batch of queries, before the
// responses are sent, so that the queries of a batch share the cost of the atomic additions and whoever has a response
// finds it counted.
type stripe struct {
	_    [64]byte // no cache line in common with what lies before or behind
	sums [counters]atomic.Uint64
	_    [64]byte

	pools poolTally
	kinds kindTables
}

func (s *stripe) add(t *tally) {
	for i, n := range t {
		if n != 0 {
			s.sums[i].Add(n)
			t[i] = 0
		}
	}
}

// counts are all stripes of a server.
type counts struct {
	mu      sync.Mutex
	stripes []*stripe
	npools  int // that every stripe has room for
}

// stripe makes a new one. It stays for as long as the server, so that a sum never falls.
func (c *counts) stripe() *stripe {
	s := new(stripe)
	s.kinds.open()
	c.mu.Lock()
	defer c.mu.Unlock()
	s.pools.grow(c.npools)
	c.stripes = append(c.stripes, s)
	return s
}

// pools gives every stripe room for n pools.
func (c *counts) pools(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.npools = max(c.npools, n)
	for _, s := range c.stripes {
		s.pools.grow(c.npools)
	}
}

// ofPool returns how many answers the pool of that number has given.
func (c *counts) ofPool(number int) (n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.stripes {
		n += s.pools.get(number)
	}
	return n
}

// each calls f with every stripe.
func (c *counts) each(f func(*stripe)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.stripes {
		f(s)
	}
}

// sum adds all stripes up.
func (c *counts) sum() (t tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.stripes {
		for i := range t {
			t[i] += s.sums[i].Load()
		}
	}
	return t
}

// Stats are a server's counts since it was made.
type Stats struct {
	Queries     uint64 `json:"queries"`
	Responses   uint64 `json:"responses"`
	Dropped     uint64 `json:"dropped"` // without a response, for any reason
	Truncated   uint64 `json:"truncated"`
	Steered     uint64 `json:"steered"`
	FailOpen    uint64 `json:"failOpen"`
	NotReady    uint64 `json:"notReady"` // told SERVFAIL, there being no snapshot yet
	Panics      uint64 `json:"panics"`
	Connections int    `json:"connections"` // TCP, open now
}

// Stats sums the counts of all workers. What a packet loop has in hand at the moment may be missing.
func (s *Server) Stats() Stats {
	t := s.counts.sum()
	stats := Stats{
		Truncated: t[truncated], Steered: t[steered], FailOpen: t[failOpen], NotReady: t[notReady], Panics: t[droppedPanic],
		Connections: s.table.size(),
	}
	for _, n := range t[queries:responses] {
		stats.Queries += n
	}
	for _, n := range t[responses:single] {
		stats.Responses += n
	}
	for _, n := range t[droppedShort : droppedSend+1] {
		stats.Dropped += n
	}
	return stats
}
