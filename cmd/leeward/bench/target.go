package bench

import (
	"fmt"
	"net/netip"
)

// Allowed refuses a target that may be somebody else's. It allows loopback, link-local, private (RFC 1918, RFC 4193)
// and shared address space (RFC 6598).
func Allowed(a netip.Addr) error {
	a = a.Unmap()
	if a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || shared.Contains(a) {
		return nil
	}
	return fmt.Errorf("%s is neither loopback nor private, and bench sends until the server breaks; if it is yours, "+
		"say so with --i-own-this-target", a)
}

var shared = netip.MustParsePrefix("100.64.0.0/10")
