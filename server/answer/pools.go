package answer

import (
	"sync"
	"sync/atomic"

	"leeward/zones/steer"
)

// poolsPerPage and poolPages bound how many pools are counted: a million, far above what one server steers.
const (
	poolsPerPage = 1024
	poolPages    = 1024
)

// poolPage counts the answers of some pools by one worker.
type poolPage [poolsPerPage]atomic.Uint64

// poolTally is one worker's answers by pool number. Publish gives it pages before a Program with more pools is served,
// and never takes one away, so that a worker adds to a place that does not move.
type poolTally struct {
	pages [poolPages]atomic.Pointer[poolPage]
}

// add counts one answer of the pool.
func (p *poolTally) add(number int32) {
	if page := uint32(number) / poolsPerPage; page < poolPages {
		if counts := p.pages[page].Load(); counts != nil {
			counts[uint32(number)%poolsPerPage].Add(1)
		}
	}
}

// get returns the count of the pool.
func (p *poolTally) get(number int) uint64 {
	if page := number / poolsPerPage; page < poolPages {
		if counts := p.pages[page].Load(); counts != nil {
			return counts[number%poolsPerPage].Load()
		}
	}
	return 0
}

// grow gives the tally pages for n pools.
func (p *poolTally) grow(n int) {
	for page := range min((n+poolsPerPage-1)/poolsPerPage, poolPages) {
		if p.pages[page].Load() == nil {
			p.pages[page].CompareAndSwap(nil, new(poolPage))
		}
	}
}

// poolNames says whose count a pool number is. Numbers are used again when a pool goes: the count at which one changed
// hands is where its new owner begins.
type poolNames struct {
	mu      sync.Mutex
	program *steer.Program
	names   []string
	base    []uint64
}

// name takes the names of the program's pools. It is called before the program is served.
func (p *poolNames) name(program *steer.Program, c *counts) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if program == p.program || program == nil {
		return
	}
	p.program = program
	c.pools(len(program.Pools))
	for i, pool := range program.Pools {
		if i == len(p.names) {
			p.names = append(p.names, "")
			p.base = append(p.base, 0)
		}
		switch {
		case pool == nil || p.names[i] == pool.Name:
			// a pool that went keeps its series until its number has a new owner
		case p.names[i] == "":
			p.names[i] = pool.Name
		default:
			p.names[i], p.base[i] = pool.Name, c.ofPool(i)
		}
	}
}

// AnswersByPool returns how many queries each pool has answered since the server was made.
func (r *Responder) AnswersByPool() map[string]uint64 {
	p := &r.pools
	p.mu.Lock()
	defer p.mu.Unlock()
	answers := make(map[string]uint64, len(p.names))
	for i, name := range p.names {
		if name != "" {
			answers[name] += r.counts.ofPool(i) - p.base[i]
		}
	}
	return answers
}
