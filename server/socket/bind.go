package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
)

// listenAddress is one entry of Options.Listen: an address, or the wildcards of both families at one port.
type listenAddress struct {
	text  string
	addrs []netip.AddrPort
	both  bool // ":53": if the machine lacks one of the families, the other is enough
}

// portTries is how many free TCP ports are tried at most, until one is free for UDP too.
const portTries = 32

// CheckListen returns an error if an entry of Options.Listen is wrong.
func CheckListen(text string) error {
	_, err := readListen(text)
	return err
}

// readListen reads "192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%eth0]:53" or ":53".
func readListen(text string) (listenAddress, error) {
	refuse := func(why string) (listenAddress, error) {
		return listenAddress{}, fmt.Errorf("listen: %q %s; write it as 192.0.2.1:53, [2001:db8::1]:53 or :53", text,
			why)
	}
	if port, found := strings.CutPrefix(text, ":"); found && !strings.Contains(port, ":") {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return refuse("has no port of 0 to 65535")
		}
		return listenAddress{text: text, both: true, addrs: []netip.AddrPort{
			netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(n)),
			netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(n)),
		}}, nil
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return refuse("is not an address and a port")
	}
	a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	if a.Addr().IsMulticast() {
		return refuse("is a multicast address")
	}
	return listenAddress{text: text, addrs: []netip.AddrPort{a}}, nil
}

// bind opens the sockets of one entry. TCP comes first: a TCP port has one owner, while a UDP port with SO_REUSEPORT
// would silently be shared with another server of the same user.
func (s *Server) bind(l listenAddress) error {
	tries := 1
	if l.addrs[0].Port() == 0 {
		tries = portTries
	}
	var err error
	for range tries {
		var b bound
		if b, err = s.bindOnce(l); err == nil {
			s.addresses = append(s.addresses, b.addresses...)
			s.loops = append(s.loops, b.loops...)
			s.acceptors = append(s.acceptors, b.tcp...)
			return nil
		}
		b.close()
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		err = fmt.Errorf("%w; stop what listens there or choose another port", err)
	case errors.Is(err, syscall.EACCES):
		err = fmt.Errorf("%w; ports below 1024 need CAP_NET_BIND_SERVICE", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		err = fmt.Errorf("%w; no interface of this machine has that address", err)
	}
	return fmt.Errorf("listen %s: %w", l.text, err)
}

// bound has the sockets opened for one entry.
type bound struct {
	addresses []netip.AddrPort
	loops     []packetLoop
	tcp       []*acceptor
}

func (b *bound) close() {
	for _, l := range b.loops {
		l.close()
	}
	for _, t := range b.tcp {
		t.close()
	}
}

func (s *Server) bindOnce(l listenAddress) (b bound, err error) {
	port := l.addrs[0].Port()
	for _, a := range l.addrs {
		a = netip.AddrPortFrom(a.Addr(), port)
		config := net.ListenConfig{KeepAlive: -1} // idle connections are closed long before a keep-alive would be due
		listener, err := config.Listen(context.Background(), network("tcp", a), a.String())
		if l.both && noSuchFamily(err) {
			s.log.Warn("one address family is not there, going on with the other", "address", a, "error", err)
			continue
		}
		if err != nil {
			return b, err
		}
		b.tcp = append(b.tcp, newAcceptor(s, s.tcp, listener.(*net.TCPListener)))
		port = listener.Addr().(*net.TCPAddr).AddrPort().Port()
		a = netip.AddrPortFrom(a.Addr(), port)
		loops, err := s.bindUDP(a)
		b.loops = append(b.loops, loops...)
		if err != nil {
			return b, err
		}
		b.addresses = append(b.addresses, a)
	}
	if len(b.addresses) == 0 {
		return b, errors.New("neither IPv4 nor IPv6 can be bound")
	}
	return b, nil
}

// network returns the name of a network that has only the family of the address: "udp4", "tcp6".
func network(protocol string, a netip.AddrPort) string {
	if a.Addr().Is4() {
		return protocol + "4"
	}
	return protocol + "6"
}

// noSuchFamily reports whether the machine lacks the address family.
func noSuchFamily(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
}
