package health

import (
	"slices"
	"sync"
)

// Frozen is what a Board knew about some targets at one moment. One other goroutine may read it while the Board goes
// on. Copying is cheap. Wording verdicts costs more, and so is done outside the goroutine that owns the Board.
type Frozen struct {
	board   Board // only what wording a verdict needs
	targets []target
	cells   []cell // of all targets
	votes   []Vote // see Verdict
}

// thawed holds the memory of Frozens that are read no more. While people look, one is made several times a second.
var thawed = sync.Pool{New: func() any { return new(Frozen) }}

// Thaw gives the memory back for the next Freeze. The Frozen must not be used afterwards.
func (f *Frozen) Thaw() {
	clear(f.targets)
	clear(f.cells)
	clear(f.votes)
	*f = Frozen{targets: f.targets[:0], cells: f.cells[:0], votes: f.votes[:0]}
	thawed.Put(f)
}

// Freeze copies what the Board knows about these targets.
func (b *Board) Freeze(keys []Target) *Frozen {
	f := thawed.Get().(*Frozen)
	f.board = Board{now: b.now, known: b.known, vantages: make(map[string]*vantage, len(b.vantages))}
	f.targets = slices.Grow(f.targets, len(keys))[:len(keys)] // all of it is zero
	copies := make(map[*vantage]*vantage, len(b.vantages))
	vantages := make([]vantage, 0, len(b.vantages))
	for name, v := range b.vantages {
		vantages = append(vantages, *v)
		copies[v] = &vantages[len(vantages)-1]
		f.board.vantages[name] = copies[v]
	}
	for _, v := range b.living {
		f.board.living = append(f.board.living, copies[v])
	}
	votes := 0
	for i, key := range keys {
		if t := b.targets[key]; t != nil {
			f.targets[i] = *t
			votes += len(t.cells)
		}
	}
	cells := slices.Grow(f.cells, votes)
	for i := range f.targets {
		t := &f.targets[i]
		first := len(cells)
		for _, c := range t.cells {
			c.vantage = copies[c.vantage]
			cells = append(cells, c)
		}
		t.cells = cells[first:len(cells):len(cells)]
	}
	f.cells = cells
	return f
}

// Verdict returns what Board.Verdict would have returned for the i-th target when it was frozen. The votes are valid
// until the next call.
func (f *Frozen) Verdict(i int) Verdict {
	v := f.board.verdict(&f.targets[i], f.votes[:0])
	if v.Votes != nil {
		f.votes = v.Votes
	}
	return v
}

// Size returns how many targets were frozen, and how many votes on them.
func (f *Frozen) Size() (targets, votes int) {
	for i := range f.targets {
		votes += len(f.targets[i].cells)
	}
	return len(f.targets), votes
}
