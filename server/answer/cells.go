package answer

import (
	"sync/atomic"

	"leeward/zones/steer"
)

// Answers of policies are counted in cells: one for each policy, rule and pool (steer.Policy.Cell). A ledger says which
// numbers are whose. cellsPerPage and cellPages bound how many there are: a million, far above what one server steers.
const (
	cellsPerPage = 1024
	cellPages    = 1024
	mostCells    = cellsPerPage * cellPages
)

// cellPage is some cells as one worker has counted them.
type cellPage [cellsPerPage]atomic.Uint64

// cellTally is one worker's cells. It has pages for as many as there are before a policy that has them is served, and
// never loses one, so that a worker adds to a place that does not move.
type cellTally struct {
	pages [cellPages]atomic.Pointer[cellPage]
}

// add counts one answer.
func (c *cellTally) add(cell uint32) {
	if page := cell / cellsPerPage; page < cellPages {
		if counts := c.pages[page].Load(); counts != nil {
			counts[cell%cellsPerPage].Add(1)
		}
	}
}

// get returns the count of a cell.
func (c *cellTally) get(cell uint32) uint64 {
	if page := cell / cellsPerPage; page < cellPages {
		if counts := c.pages[page].Load(); counts != nil {
			return counts[cell%cellsPerPage].Load()
		}
	}
	return 0
}

// grow gives the tally pages for n cells.
func (c *cellTally) grow(n uint32) {
	for page := range (n + cellsPerPage - 1) / cellsPerPage {
		if c.pages[page].Load() == nil {
			c.pages[page].CompareAndSwap(nil, new(cellPage))
		}
	}
}

// cell is where what the worker has decided is counted: a cell of the policy, or the one for all that have none.
func (s *State) cell(w *Worker) uint32 {
	p := w.found.Policy
	if n := uint(p.Number); n < uint(len(s.bases)) && s.bases[n] != 0 {
		return s.bases[n] + p.Cell(&w.decision)
	}
	return 0
}

// openCell is where it is counted that the policy fails open; beyond all if it has no cells, as cell 0 counts answers.
func (s *State) openCell(p *steer.Policy) uint32 {
	if n := uint(p.Number); n < uint(len(s.bases)) && s.bases[n] != 0 {
		return s.bases[n]
	}
	return mostCells
}
