//go:build linux

// Package abuse attacks the binary from outside: floods and forged sources, clients that say nothing or never read,
// broken messages, and shares of descriptors and memory that others hold. Each test has bystanders, who must not
// notice.
package abuse

import (
	"testing"

	"leeward/integration/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
