//go:build linux

// Package capacity is the closed loop: a world in which load matters. Servers, etcd, queries and probes are real.
// Requests are in a model, whose load endpoints report, so that what servers conclude decides what comes next.
//
//	resolvers' caches ─→ requests ─→ balancers ─→ load, in the answers to probes
//	       ↑                                                │
//	       └────── answers ←── servers ←── what they keep ←─┘
//
// README.md has what worlds can say, and what is measured.
package capacity

import (
	"testing"

	"leeward/integration/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
