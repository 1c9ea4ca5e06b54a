package answer

import (
	"slices"
	"sync"
	"time"

	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// ledger says which policy owns which cells. A policy has a sheet of consecutive cells for as long as its rules and
// pools stay the same, whatever its number in a snapshot is. When the policy changes or goes, its sheet is retired.
// Workers may still add to it for an old state. After retiredFor the sheet is closed: its counts are kept under the
// names of its policy, rules and pools, and its cells may get a new owner. So no count is lost, and none goes to the
// wrong owner.
//
// Cell 0 counts the answers of policies for which there was no room.
type ledger struct {
	mu       sync.Mutex // held only for moments, because the control loop calls post
	policies []*steer.Policy
	sheets   []*sheet // by number of the policy; nil: the policy has none
	bases    []uint32 // the sheets' first cells, as States have them; 0: none
	retired  []*sheet
	free     map[uint32][]uint32 // first cells of free runs, by length
	next     uint32              // the first cell that has never had an owner

	// reading is held while counts are read, and while sheets are closed. So each cell that is read has one owner
	// throughout. The control loop never takes it.
	reading sync.Mutex
	past    map[pastKey]uint64 // counts of closed sheets
	samples [samplesKept]sample
}

// sheet is the cells of one policy.
type sheet struct {
	policy *steer.Policy
	base   uint32
	begin  []uint64  // what its cells had counted for earlier owners; nil: nothing
	left   time.Time // when it was retired
}

// pastKey names a cell of a closed sheet. rule is -2 for what failed open.
type pastKey struct {
	policy string
	rule   int
	when   string
	pool   string
}

const (
	// retiredFor is for how long workers may still add to a retired sheet. It is far longer than any query takes, and
	// as long as rates look back.
	retiredFor = (samplesKept + 1) * sampleEvery

	// mostPast is how many names are remembered of policies, rules and pools that are gone. Beyond that, answers are
	// still counted, but without a name.
	mostPast = 16384

	ruleFailOpen = -2
)

// post gives the policies of a snapshot their sheets, and returns the first cell of each by its number.
func (l *ledger) post(s *snapshot.Snapshot, c *counts, at time.Time) []uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := s.Numbered()
	if len(now) == len(l.policies) && (len(now) == 0 || &now[0] == &l.policies[0]) {
		return l.bases
	}
	l.next = max(l.next, 1)
	loose := map[string]*sheet{}
	sheets := make([]*sheet, len(now))
	var fresh []int
	for i := range max(len(now), len(l.policies)) {
		var before, after *steer.Policy
		if i < len(l.policies) {
			before = l.policies[i]
		}
		if i < len(now) {
			after = now[i]
		}
		if before == after {
			if after != nil {
				sheets[i] = l.sheets[i]
			}
			continue
		}
		if before != nil && l.sheets[i] != nil {
			loose[before.Name] = l.sheets[i]
		}
		if after != nil {
			fresh = append(fresh, i)
		}
	}
	for _, i := range fresh {
		p := now[i]
		if old := loose[p.Name]; old != nil && p.CountsAs(old.policy) {
			// a sheet does not change while it is read
			sheets[i] = &sheet{policy: p, base: old.base, begin: old.begin}
			delete(loose, p.Name)
			continue
		}
		sheets[i] = l.open(p, c)
	}
	for _, s := range loose {
		l.retired = append(l.retired, &sheet{s.policy, s.base, s.begin, at})
	}
	bases := make([]uint32, len(now))
	for i, s := range sheets {
		if s != nil {
			bases[i] = s.base
		}
	}
	l.policies, l.sheets, l.bases = now, sheets, bases
	return bases
}

// open finds cells for a policy. It returns nil if there are none left.
func (l *ledger) open(p *steer.Policy, c *counts) *sheet {
	size := uint32(p.Cells())
	if runs := l.free[size]; len(runs) > 0 {
		base := runs[len(runs)-1]
		l.free[size] = runs[:len(runs)-1]
		return &sheet{policy: p, base: base, begin: c.ofRun(base, size)}
	}
	if size > mostCells-l.next {
		return l.split(p, size, c)
	}
	s := &sheet{policy: p, base: l.next}
	l.next += size
	c.cells(l.next)
	return s
}

// split takes the cells from a larger free run.
func (l *ledger) split(p *steer.Policy, size uint32, c *counts) *sheet {
	for length, runs := range l.free {
		if n := len(runs) - 1; length > size && n >= 0 {
			base := runs[n]
			l.free[length] = runs[:n]
			l.give(base+size, length-size)
			l.give(base, size)
			return l.open(p, c)
		}
	}
	return nil
}

func (l *ledger) give(base, size uint32) {
	if l.free == nil {
		l.free = map[uint32][]uint32{}
	}
	l.free[size] = append(l.free[size], base)
}

// current returns all sheets that may be added to. The caller holds reading.
func (l *ledger) current() (all []*sheet, next uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all = append(slices.Clone(l.sheets), l.retired...)
	return slices.DeleteFunc(all, func(s *sheet) bool { return s == nil }), l.next
}

// close closes the sheets that were retired long ago. The caller holds reading.
func (l *ledger) close(now time.Time, c *counts) {
	l.mu.Lock()
	var old []*sheet
	l.retired = slices.DeleteFunc(l.retired, func(s *sheet) bool {
		if now.Sub(s.left) < retiredFor {
			return false
		}
		old = append(old, s)
		return true
	})
	l.mu.Unlock()
	if l.past == nil {
		l.past = map[pastKey]uint64{}
	}
	for _, s := range old {
		sums := c.ofRun(s.base, uint32(s.policy.Cells()))
		s.each(true, func(key pastKey, number uint32) {
			n := s.total(sums[number], number)
			if _, there := l.past[key]; !there && len(l.past) >= mostPast {
				key = pastKey{rule: key.rule}
			}
			if n > 0 {
				l.past[key] += n
			}
		})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range old {
		l.give(s.base, uint32(s.policy.Cells()))
	}
}

// each calls f with the name of each cell of the sheet. Without words it leaves out the conditions of rules, because
// putting these into words takes most of the time.
func (s *sheet) each(words bool, f func(key pastKey, number uint32)) {
	f(pastKey{policy: s.policy.Name, rule: ruleFailOpen}, 0)
	s.policy.EachCell(words, func(number int, c steer.Cell) {
		f(pastKey{s.policy.Name, c.Rule, c.When, c.Pool}, uint32(number))
	})
}

// total returns what a cell of the sheet has counted for this policy. sum is its total count.
func (s *sheet) total(sum uint64, number uint32) uint64 {
	if s.begin == nil {
		return sum
	}
	return sum - s.begin[number]
}
