package answer

import (
	"strings"
	"testing"

	"leeward/zones/steer"
)

func TestOptionsOutOfRange(t *testing.T) {
	if _, err := New(Options{ID: strings.Repeat("x", 129)}); err == nil || !strings.HasPrefix(err.Error(), "ID") {
		t.Errorf("a long ID: %v", err)
	}
}

// A pool's number is given to another pool when it goes: the newcomer begins at zero.
func TestPoolNumbersUsedAgain(t *testing.T) {
	s := newResponder(t)
	s.pools = poolNames{}
	one, two := s.counts.stripe(), s.counts.stripe()
	pools := make([]*steer.Pool, 3000) // more than a page of them
	pools[2999] = &steer.Pool{Name: "old"}
	s.pools.name(&steer.Program{Pools: pools}, s.counts)
	late := s.counts.stripe()
	one.pools.add(2999)
	one.pools.add(2999)
	two.pools.add(2999)
	late.pools.add(2999)
	one.pools.add(1_500_000_000) // beyond all: not counted, no fault
	if got := s.AnswersByPool(); got["old"] != 4 || len(got) != 1 {
		t.Errorf("answers by pool: %v", got)
	}
	s.pools.name(&steer.Program{Pools: make([]*steer.Pool, 3000)}, s.counts)
	if got := s.AnswersByPool(); got["old"] != 4 {
		t.Errorf("a pool that went has lost its count: %v", got)
	}
	pools = make([]*steer.Pool, 3000)
	pools[2999] = &steer.Pool{Name: "new"}
	s.pools.name(&steer.Program{Pools: pools}, s.counts)
	two.pools.add(2999)
	if got := s.AnswersByPool(); got["new"] != 1 || len(got) != 1 {
		t.Errorf("answers by pool: %v", got)
	}
}
