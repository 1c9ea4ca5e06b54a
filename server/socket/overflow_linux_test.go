package socket

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// Datagrams that find a full receive buffer are counted, and the count remains after the socket is closed.
func TestOverflowIsCounted(t *testing.T) {
	fd, err := batchSocket(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	var o overflow
	if n := o.read(fd); n != 0 {
		t.Errorf("%d at the start", n)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	from, err := batchSocket(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(from)
	for range 100 {
		if err := unix.Sendto(from, make([]byte, 1000), 0, name); err != nil {
			t.Fatal(err)
		}
	}
	n := o.read(fd)
	if n == 0 || n > 100 {
		t.Errorf("%d of 100 have found the buffer full", n)
	}
	o.end(fd)
	if after := o.read(fd); after != n {
		t.Errorf("%d before the end, %d after it", n, after)
	}
}
