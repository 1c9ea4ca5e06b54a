package transfer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
)

// sources are the addresses that this server listens on. It also sends from them, unless a zone sets another: other
// servers know it by these addresses, and accept requests and NOTIFY from no other.
type sources []netip.Addr

// newSources returns the addresses of listen, which have ports, without wildcard and multicast addresses.
func newSources(listen []string) (s sources) {
	for _, text := range listen {
		if a, err := netip.ParseAddrPort(text); err == nil && !a.Addr().IsUnspecified() && !a.Addr().IsMulticast() {
			s = append(s, a.Addr().Unmap())
		}
	}
	return s
}

// usual returns the address to send from to another server. It is not valid if the kernel is to choose. Loopback
// addresses reach only each other.
func (s sources) usual(to netip.Addr) netip.Addr {
	for _, a := range s {
		if a.Is4() == to.Is4() && a.IsLoopback() == to.IsLoopback() &&
			a.IsLinkLocalUnicast() == to.IsLinkLocalUnicast() {
			return a
		}
	}
	return netip.Addr{}
}

// dial connects to another server. It sends from the first of the zone's addresses that has the right family and
// belongs to this machine. If the zone sets none of that family, it sends from the usual address. field is the zone's
// field that sets them, for the error.
func (s sources) dial(ctx context.Context, network string, to netip.AddrPort, said []netip.Addr,
	field string,
) (net.Conn, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	var tried []string
	for _, from := range said {
		if from.Is4() != to.Addr().Is4() {
			continue
		}
		conn, err := dialFrom(ctx, network, from, to)
		if !foreign(err) {
			return conn, err
		}
		tried = append(tried, from.String())
	}
	if tried != nil {
		return nil, fmt.Errorf("this server has none of the addresses %s; add one that it has to transfer.%s",
			strings.Join(tried, ", "), field)
	}
	conn, err := dialFrom(ctx, network, s.usual(to.Addr()), to)
	if foreign(err) { // the server answers there, but the machine does not have the address
		return dialFrom(ctx, network, netip.Addr{}, to)
	}
	return conn, err
}

func dialFrom(ctx context.Context, network string, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	if from.IsValid() {
		switch at := netip.AddrPortFrom(from, 0); network {
		case "udp":
			d.LocalAddr = net.UDPAddrFromAddrPort(at)
		default:
			d.LocalAddr = net.TCPAddrFromAddrPort(at)
		}
	}
	return d.DialContext(ctx, network, to.String())
}

// foreign reports whether a connection failed because its source is not an address of this machine.
func foreign(err error) bool {
	var call *os.SyscallError
	return errors.As(err, &call) && call.Syscall == "bind" && errors.Is(call.Err, syscall.EADDRNOTAVAIL)
}
