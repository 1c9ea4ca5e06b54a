//go:build linux

// Package measure makes the figures of docs/measurements.md: make measure. It asserts nothing about speed.
package measure

import (
	"testing"

	"leeward/integration/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
