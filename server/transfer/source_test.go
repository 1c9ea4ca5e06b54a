//go:build linux

package transfer

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"leeward/zones"
)

// TestSource: messages come from the address that the zone names, if this machine has it. If the zone names none, they
// come from the one that the server listens on, or else from whichever the kernel chooses.
func TestSource(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := map[string]func() netip.Addr{
		"udp": func() netip.Addr {
			_ = pc.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, from, err := pc.ReadFrom(make([]byte, 16))
			if err != nil {
				t.Fatal(err)
			}
			return from.(*net.UDPAddr).AddrPort().Addr()
		},
		"tcp": func() netip.Addr {
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			return conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
		},
	}
	at := map[string]string{"udp": pc.LocalAddr().String(), "tcp": l.Addr().String()}
	for _, c := range []struct {
		name   string
		listen string
		said   string
		want   string // an address, or a part of the error
	}{
		{"the one it listens on", "127.0.2.1:53", "", "127.0.2.1"},
		{"the first of these that goes", "0.0.0.0:53 [::1]:53 192.0.2.9:53 127.0.2.2:53 127.0.2.1:53", "", "127.0.2.2"},
		{"all of them", "0.0.0.0:53 :53 localhost:53", "", "127.0.0.1"},
		{"one that reaches nothing here", "192.0.2.9:53", "", "127.0.0.1"},
		{"what the zone says", "127.0.2.1:53", "127.0.3.1", "127.0.3.1"},
		{"what it says of this machine", "127.0.2.1:53", "198.51.100.251 127.0.3.1", "127.0.3.1"},
		{"what it says of the family", "127.0.2.1:53", "::1", "127.0.2.1"},
		{
			"nothing of this machine", "127.0.2.1:53", "198.51.100.251 198.51.100.252",
			"none of the addresses 198.51.100.251, 198.51.100.252; add one that it has to transfer.field",
		},
	} {
		s := newSources(strings.Fields(c.listen))
		said := (&zones.Transfer{TransferSource: strings.Fields(c.said)}).TransferSources()
		for _, network := range []string{"udp", "tcp"} {
			conn, err := s.dial(context.Background(), network, netip.MustParseAddrPort(at[network]), said, "field")
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s, %s: %v, want %s", c.name, network, err, c.want)
				}
				continue
			}
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if got := heard[network](); got.String() != c.want {
				t.Errorf("%s, %s: from %s, want %s", c.name, network, got, c.want)
			}
			conn.Close()
		}
	}
}
