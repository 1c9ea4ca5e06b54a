//go:build linux

package probe

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leeward/health"
)

// A machine without a network knows nothing about other addresses, but its own loopback works.
func TestVantageWithoutNetwork(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a network namespace needs root")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock it: the thread and its namespace end with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Log("no network namespace here:", err)
			return
		}
		p, err := New(Options{Vantage: "test", OnReport: func([]health.Report) {}})
		if err != nil {
			t.Error(err)
			return
		}
		for address, want := range map[string]string{
			"192.0.2.10": "this vantage has no IPv4", "2001:db8::10": "this vantage has no IPv6",
			"::1": "this vantage has no IPv6",
		} {
			for _, m := range []*health.Monitor{
				{TCP: &health.TCP{Port: 80}},
				{DNS: &health.DNS{Name: "a.test"}},
				{GRPC: &health.GRPC{Port: 80}},
			} {
				o := p.probe(t.Context(), netip.MustParseAddr(address), m, health.Manner{})
				if o.state != health.Unknown || o.reason != want {
					t.Errorf("%s %s: %s %q, want unknown %q", m.Check(), address, o.state, o.reason, want)
				}
			}
		}
	}()
	<-done
}

// This machine's faults are told apart from the target's by the error, and by whether there is a route at all.
func TestFaults(t *testing.T) {
	c := &checker{address: loopback, timeout: 1}
	for errno, want := range map[syscall.Errno]string{
		syscall.EMFILE:       "no file descriptors",
		syscall.ENOBUFS:      "no memory",
		syscall.EAFNOSUPPORT: "no IPv4",
		// Loopback has a route here, so these come from elsewhere or from a lack of ports.
		syscall.EADDRNOTAVAIL: "no local port",
		syscall.ENETUNREACH:   "network unreachable",
		syscall.EHOSTUNREACH:  "no route to host",
		syscall.ECONNREFUSED:  "connection refused",
		syscall.ECONNRESET:    "connection reset",
	} {
		o := c.failed(t.Context(), os.NewSyscallError("connect", errno))
		if !strings.Contains(o.reason, want) {
			t.Errorf("%v: %q, want %q", errno, o.reason, want)
		}
		remote := map[syscall.Errno]bool{
			syscall.ENETUNREACH: true, syscall.EHOSTUNREACH: true, syscall.ECONNREFUSED: true, syscall.ECONNRESET: true,
		}[errno]
		if (o.state == health.Down) != remote {
			t.Errorf("%v: %s", errno, o.state)
		}
	}
	long := c.failed(t.Context(), errors.New(strings.Repeat("x", 1000)))
	if len(long.reason) > 120 || long.state != health.Down {
		t.Errorf("%d bytes of reason", len(long.reason))
	}
}

// A timeout that comes much too late is this process's own fault: it got no processor.
func TestLateTimeoutIsNoResult(t *testing.T) {
	late := down("timeout after 1s")
	late.timedOut = true
	for _, c := range []struct {
		o             outcome
		timeout, took time.Duration
		want          health.State
	}{
		{late, time.Second, 1010 * time.Millisecond, health.Down},
		{late, time.Second, 1250 * time.Millisecond, health.Down},
		{late, time.Second, 1300 * time.Millisecond, health.Unknown},
		{late, 20 * time.Millisecond, 60 * time.Millisecond, health.Down},
		{late, 20 * time.Millisecond, 80 * time.Millisecond, health.Unknown},
		{down("connection refused"), time.Second, 5 * time.Second, health.Down},
		{up(), time.Second, 5 * time.Second, health.Up},
	} {
		if got := c.o.believe(c.timeout, c.took); got.state != c.want || got.state == health.Unknown &&
			got.reason == "" {
			t.Errorf("%q after %v, timeout %v: %v, %q", c.o.reason, c.took, c.timeout, got.state, got.reason)
		}
	}
}
