package socket

import "sync/atomic"

// seats count how many more loops may keep their P while they wait.
type seats struct{ free atomic.Int32 }

func (s *seats) take() bool {
	if s.free.Add(-1) >= 0 {
		return true
	}
	s.free.Add(1)
	return false
}

func (s *seats) give() { s.free.Add(1) }
