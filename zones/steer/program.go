package steer

import "leeward/health"

// Program is the compiled pools.
type Program struct{}

// Assignments returns every address of every endpoint that has a monitor.
func (p *Program) Assignments() []health.Assignment { return nil }
