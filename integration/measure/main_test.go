//go:build linux

// Package measure has the figures of docs/measurements.md: make measure. It asserts nothing of speed.
package measure

import (
	"testing"

	"leeward/integration/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
