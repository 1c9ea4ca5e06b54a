//go:build linux

// Package interop lets Leeward work with what others run: primaries and secondaries, catalogs, resolvers, ACME clients,
// DHCP servers, external-dns, nsupdate. Clients written in Go are modules below clients/, built when a test needs them.
package interop

import (
	"testing"

	"leeward/integration/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
