//go:build !linux

package socket

import "net/netip"

// bindUDP opens the packet loops of one address.
func (s *Server) bindUDP(a netip.AddrPort) ([]packetLoop, error) { return s.bindPlain(a) }
