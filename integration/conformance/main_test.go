//go:build linux

// Package conformance asks Leeward beside BIND, NSD and Knot, and has judges look at it: generated zones and questions,
// EDNS as compliance testers send it, master files that go after the corners, dig and kdig as people use them.
package conformance

import (
	"testing"

	"leeward/integration/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
