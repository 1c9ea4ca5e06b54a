package steer

import "leeward/health"

// View is who may be named right now.
type View struct{}

// NewView judges every pool of the program.
func NewView(p *Program, verdict func(health.Target) health.State, prev *View) *View { return &View{} }
