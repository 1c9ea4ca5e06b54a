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

// sources are the addresses that this server sends from unless a zone says another: those that it listens on. Others
// know it by these, and let in, or take NOTIFY from, nobody else.
type sources []netip.Addr

// newSources takes those of addresses with ports that are one host's.
func newSources(listen []string) (s sources) {
	for _, text := range listen {
		if a, err := netip.ParseAddrPort(text); err == nil && !a.Addr().IsUnspecified() && !a.Addr().IsMulticast() {
			s = append(s, a.Addr().Unmap())
		}
	}
	return s
}

// usual returns the address to send from to another; not valid: whatever the kernel takes. Loopback addresses reach
// only each other.
func (s sources) usual(to netip.Addr) netip.Addr {
	for _, a := range s {
		if a.Is4() == to.Is4() && a.IsLoopback() == to.IsLoopback() &&
			a.IsLinkLocalUnicast() == to.IsLinkLocalUnicast() {
			return a
		}
	}
	return netip.Addr{}
}

// dial connects to another server from one of the addresses that a zone says, the first of the family that this machine
// has; where it says none of the family, from the usual one. field is where it says so.
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
	if foreign(err) { // it answers there without having it
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

// foreign reports whether a connection failed as its source is no address of this machine.
func foreign(err error) bool {
	var call *os.SyscallError
	return errors.As(err, &call) && call.Syscall == "bind" && errors.Is(call.Err, syscall.EADDRNOTAVAIL)
}
