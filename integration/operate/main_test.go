//go:build linux

// Package operate does what operators do: with files in a folder, keys in etcd, verbs and their exit codes, terminals,
// and machines that are unusual in some way.
package operate

import (
	"testing"

	"leeward/integration/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
