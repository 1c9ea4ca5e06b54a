package answer

import (
	"sync/atomic"
	"unsafe"

	"leeward/zones/steer"
)

// Answers of policies are counted in cells, one for each combination of policy, rule and pool (steer.Policy.Cell). A
// ledger says which policy owns which cells. cellsPerPage and cellPages bound their number: a million, far more than
// one server steers.
const (
	cellsPerPage = 1024
	cellPages    = 1024
	mostCells    = cellsPerPage * cellPages
)

// cellPage is a page of cells as one worker has counted them.
type cellPage [cellsPerPage]atomic.Uint64

// cellTally is the cells of one worker. Before a policy is served, the tally gets pages for its cells. It never loses a
// page, so that a worker adds to a place that does not move.
type cellTally struct {
	pages [cellPages]atomic.Pointer[cellPage]
}

// at returns the place of a cell, or nil if there is none.
func (c *cellTally) at(cell uint32) *atomic.Uint64 {
	if page := cell / cellsPerPage; page < cellPages {
		if counts := c.pages[page].Load(); counts != nil {
			return &counts[cell%cellsPerPage]
		}
	}
	return nil
}

// get returns the count of a cell.
func (c *cellTally) get(cell uint32) uint64 {
	if n := c.at(cell); n != nil {
		return n.Load()
	}
	return 0
}

// answered are the cells that a worker has counted in since its last report. Each policy has cells of its own, so a
// cell is rarely in the cache, and an atomic addition would wait for memory. So a batch first fetches the memory of all
// its cells.
type answered struct {
	cells [mostAhead]uint32
	n     int
}

// note counts an answer.
func (a *answered) note(cell uint32, to *cellTally) {
	if a.n == len(a.cells) {
		a.tell(to)
	}
	a.cells[a.n] = cell
	a.n++
}

// tell adds what was noted to the tally.
func (a *answered) tell(to *cellTally) {
	cells := a.cells[:a.n]
	if len(cells) >= fewAhead {
		for _, cell := range cells {
			prefetch(unsafe.Pointer(to.at(cell)))
		}
	}
	for _, cell := range cells {
		if n := to.at(cell); n != nil {
			n.Add(1)
		}
	}
	a.n = 0
}

// grow gives the tally pages for n cells.
func (c *cellTally) grow(n uint32) {
	for page := range (n + cellsPerPage - 1) / cellsPerPage {
		if c.pages[page].Load() == nil {
			c.pages[page].CompareAndSwap(nil, new(cellPage))
		}
	}
}

// cell returns where the worker's decision is counted: in a cell of the policy, or in the one for policies that have
// none.
func (s *State) cell(w *Worker) uint32 {
	p := w.found.Policy
	if base := s.base(p); base != nil && *base != 0 {
		return *base + p.Cell(&w.decision)
	}
	return 0
}

// base returns the first cell of a policy: 0 if the policy has none, and nil if it is not known here.
func (s *State) base(p *steer.Policy) *uint32 {
	if n := uint(p.Number); n < uint(len(s.bases)) {
		return &s.bases[n]
	}
	return nil
}

// openCell returns the cell that counts how often the policy fails open. Without cells, it is out of range: cell 0
// counts answers.
func (s *State) openCell(p *steer.Policy) uint32 {
	if base := s.base(p); base != nil && *base != 0 {
		return *base
	}
	return mostCells
}
