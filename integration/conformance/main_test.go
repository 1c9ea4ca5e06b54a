//go:build linux

// Package conformance compares Leeward with BIND, NSD and Knot, and lets judges look at it: generated zones and
// questions, EDNS as compliance testers send it, master files with corner cases, dig and kdig as people use them.
package conformance

import (
	"testing"

	"leeward/integration/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
