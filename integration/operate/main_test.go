//go:build linux

// Package operate does what an operator does: files in a folder and keys in etcd, verbs and their exit codes,
// terminals, and machines on which something is not as it usually is.
package operate

import (
	"testing"

	"leeward/integration/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
