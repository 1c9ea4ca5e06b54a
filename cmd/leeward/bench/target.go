package bench

import (
	"fmt"
	"net/netip"
)

// Allowed refuses a target that is not plainly one's own: loopback, link-local, private (RFC 1918, RFC 4193) or shared
// address space (RFC 6598). A load that breaks servers is no way to ask others'.
func Allowed(a netip.Addr) error {
	a = a.Unmap()
	if a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || shared.Contains(a) {
		return nil
	}
	return fmt.Errorf("%s is neither loopback nor private: a bench sends until the server breaks; if it is your own, say so with --i-own-this-target", a)
}

var shared = netip.MustParsePrefix("100.64.0.0/10")
