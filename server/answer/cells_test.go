package answer

import (
	"math/rand/v2"
	"testing"
)

// However many answers a worker notes before it tells of them, each is counted once, and in its own cell.
func TestAnsweredTellsAll(t *testing.T) {
	const cells = 3 * cellsPerPage
	var to cellTally
	to.grow(cells)
	var w answered
	want := map[uint32]uint64{}
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		for range random.IntN(3 * mostAhead) {
			cell := random.Uint32N(cells)
			want[cell]++
			w.note(cell, &to)
		}
		w.note(mostCells, &to) // no cell
		w.tell(&to)
	}
	for cell := range uint32(cells) {
		if got := to.get(cell); got != want[cell] {
			t.Fatalf("cell %d: %d, not %d", cell, got, want[cell])
		}
	}
}
