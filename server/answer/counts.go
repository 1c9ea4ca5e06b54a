package answer

import (
	"slices"
	"sync"
	"sync/atomic"
)

// The counters are indexes into a tally. A counter with a label is a run of them.
const (
	queries   = 0                          // by transport and address family
	responses = queries + 2*mostTransports // by RCODE; those above the last are counted as the last
	types     = responses + responseCodes  // queries by QTYPE: see typeRows
	single    = types + mostTypes          // the others, one each

	responseCodes = 24 // RFC 6895 assigns 0 to 23; EDNS carries those above 15
)

const (
	droppedShort = single + iota // too short for a header, or a response
	droppedPanic                 // a fault of this program
	dropped                      // by Loss: dropped by a transport
	_
	_
	truncated // responses with TC set
	steered   // answered by a policy
	failOpen  // those with nothing healthy
	subnets   // queries with an ECS option
	notReady  // answered before there was a snapshot

	// Responses over the rate limit, and what was done with them.
	limitDropped
	limitSlipped // sent truncated
	limitCookie  // sent as BADCOOKIE
	limitExempt  // sent unchanged

	cookies // by standing: queries with a cookie
	_
	_
	_
	counters
)

// Loss is why a transport drops a request or a response.
type Loss int

// The losses.
const (
	Busy    Loss = iota // too many requests that are answered later were under way
	Receive             // the system reported an error instead of a request
	Send                // the system did not take the response
)

// tally is what one worker has counted since its last report. Its numbers are plain, for one goroutine.
type tally [counters]uint64

// stripe is the counts of a worker as others may read them. A worker adds its tally after each batch of queries, before
// it sends the responses. So the queries of a batch share the cost of the atomic additions, and whoever has a response
// finds it counted.
type stripe struct {
	_    [64]byte // no shared cache line with what lies before or after
	sums [counters]atomic.Uint64
	_    [64]byte

	cells  cellTally
	places countryTally
	kinds  kindTables
	tap    *tapRing   // nil: nobody follows queries
	top    *topStripe // nil: who asks most is not counted
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
	ncells  uint32   // number of cells that every stripe has room for
	ways    []string // the transports, by number
}

// way returns the first of the two indexes by which queries over a transport are counted.
func (c *counts) way(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.Index(c.ways, name)
	if at < 0 {
		at = len(c.ways)
		if at == mostTransports {
			panic("answer: more transports than mostTransports")
		}
		c.ways = append(c.ways, name)
	}
	return 2 * at
}

// names returns the transports, by number.
func (c *counts) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ways)
}

// stripe makes a new stripe. It stays as long as the server, so that sums never fall.
func (c *counts) stripe() *stripe {
	s := new(stripe)
	s.kinds.open()
	c.mu.Lock()
	defer c.mu.Unlock()
	s.cells.grow(c.ncells)
	c.stripes = append(c.stripes, s)
	return s
}

// cells gives every stripe room for n cells.
func (c *counts) cells(n uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ncells = max(c.ncells, n)
	for _, s := range c.stripes {
		s.cells.grow(c.ncells)
	}
}

// ofRun returns the counts of n cells, from the first on.
func (c *counts) ofRun(first, n uint32) []uint64 {
	sums := make([]uint64, n)
	c.each(func(s *stripe) {
		for i := range sums {
			sums[i] += s.cells.get(first + uint32(i))
		}
	})
	return sums
}

// ofCells returns the counts of the first n cells.
func (c *counts) ofCells(n uint32) []uint64 {
	sums := make([]uint64, n)
	c.each(func(s *stripe) {
		for page := range s.cells.pages {
			first := uint32(page * cellsPerPage)
			if first >= n {
				break
			}
			counts := s.cells.pages[page].Load()
			if counts == nil {
				continue
			}
			for i := range min(n-first, cellsPerPage) {
				sums[first+i] += counts[i].Load()
			}
		}
	})
	return sums
}

// byCountry sums what all stripes have counted by country.
func (c *counts) byCountry() (sums countrySums) {
	c.each(func(s *stripe) {
		for i := range s.places {
			sums[i] += s.places[i].Load()
		}
	})
	return sums
}

// all returns every stripe.
func (c *counts) all() []*stripe {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.stripes)
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

// Stats are a Responder's counts since it was made.
type Stats struct {
	Queries   uint64
	Responses uint64
	Dropped   uint64 // got no response, for whatever reason
	Truncated uint64
	Steered   uint64
	FailOpen  uint64
	NotReady  uint64 // got SERVFAIL, because there was no snapshot yet
	Panics    uint64
}

// Stats sums the counts of all workers. It misses what a Worker has not reported yet.
func (r *Responder) Stats() Stats {
	t := r.counts.sum()
	stats := Stats{
		Truncated: t[truncated], Steered: t[steered], FailOpen: t[failOpen], NotReady: t[notReady],
		Panics: t[droppedPanic],
	}
	for _, n := range t[queries:responses] {
		stats.Queries += n
	}
	for _, n := range t[responses:types] {
		stats.Responses += n
	}
	for _, n := range t[droppedShort:truncated] {
		stats.Dropped += n
	}
	return stats
}
