//go:build linux

package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// Yard is hosts in namespaces of their own, each on one cable. The cables meet in a switch of the kernel, in a
// namespace of its own, which is fast; or in a forwarder in the test process, which can do to packets whatever a
// scenario asks for. Names are unique to the run, so two runs do not meet. Everything is removed when the test ends.
type Yard struct {
	prefix    string     // of namespaces: "lw-<pid>-<n>-"
	hub       string     // the switch's namespace
	Forwarder *forwarder // in place of the switch, if it is not nil
	IPv6      bool
}

// Host is a namespace with one interface, its cable to the yard.
type Host struct {
	yard      *Yard
	Name      string
	namespace string
	port      string // its end of the cable at the switch
}

var yards atomic.Int32

// NewYard makes a switch with a table in which ports can be cut.
func NewYard(t testing.TB) *Yard {
	t.Helper()
	NeedRoot(t)
	Need(t, "ip", "nft")
	y := bareYard(t)
	Must(t, nil, "ip", "-n", y.hub, "link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0")
	Must(t, nil, "ip", "-n", y.hub, "link", "set", "br0", "up")
	rules := `table bridge yard {
		set off { type ifname; }
		chain forward { type filter hook forward priority 0; iifname @off drop; oifname @off drop; }
	}`
	if o := Command(t, nil, rules, "ip", "netns", "exec", y.hub, "nft", "-f", "-"); o.Code != 0 {
		Missing(t, "nft cannot filter on a bridge here: %s", strings.TrimSpace(o.Stderr))
	}
	return y
}

// newForwardedYard makes a yard whose packets pass a forwarder.
func newForwardedYard(t testing.TB, seed uint64) *Yard {
	t.Helper()
	NeedRoot(t)
	Need(t, "ip")
	y := bareYard(t)
	y.Forwarder = newForwarder(seed)
	return y
}

// bareYard has no hosts and nothing between them.
func bareYard(t testing.TB) *Yard {
	t.Helper()
	y := &Yard{prefix: fmt.Sprintf("lw-%d-%d-", os.Getpid(), yards.Add(1))}
	y.hub = y.prefix + "hub"
	if out, err := exec.Command("ip", "netns", "add", y.hub).CombinedOutput(); err != nil {
		Missing(t, "no network namespace can be made here: %s", strings.TrimSpace(string(out)))
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", y.hub).Run() })
	y.IPv6 = Command(t, nil, "", "ip", "-n", y.hub, "addr", "add", "fd77::/128", "dev", "lo", "nodad").Code == 0
	if !y.IPv6 {
		t.Log("IPv6 is off on this machine: the yard has IPv4 only")
	}
	return y
}

// Host adds a host with these addresses on its cable. It leaves out IPv6 addresses if the machine has no IPv6.
func (y *Yard) Host(t testing.TB, name string, addresses ...netip.Prefix) *Host {
	t.Helper()
	h := &Host{yard: y, Name: name, namespace: y.prefix + name, port: "to-" + name}
	Must(t, nil, "ip", "netns", "add", h.namespace)
	t.Cleanup(func() { exec.Command("ip", "netns", "del", h.namespace).Run() })
	if y.Forwarder != nil {
		y.Forwarder.plug(t, h, "cable")
		// Packets that wait while this process does not run must not be lost: a TUN device holds 500 unless told
		// otherwise.
		Must(t, nil, "ip", "-n", h.namespace, "link", "set", "cable", "txqueuelen", "20000")
	} else {
		Must(t, nil, "ip", "link", "add", "cable", "netns", h.namespace, "type", "veth", "peer", "name", h.port,
			"netns",
			y.hub)
		Must(t, nil, "ip", "-n", y.hub, "link", "set", h.port, "master", "br0", "up")
	}
	Must(t, nil, "ip", "-n", h.namespace, "link", "set", "lo", "up")
	Must(t, nil, "ip", "-n", h.namespace, "link", "set", "cable", "up")
	for _, a := range addresses {
		h.Address(t, a, "cable")
	}
	return h
}

// Address adds an address to one of the host's interfaces.
func (h *Host) Address(t testing.TB, a netip.Prefix, device string) {
	t.Helper()
	args := []string{"ip", "-n", h.namespace, "addr", "add", a.String(), "dev", device}
	if a.Addr().Is6() {
		if !h.yard.IPv6 {
			return
		}
		args = append(args, "nodad")
	}
	Must(t, nil, args...)
	if h.yard.Forwarder != nil && device == "cable" {
		h.yard.Forwarder.own(h, netip.PrefixFrom(a.Addr(), a.Addr().BitLen()))
	}
}

// UseNameserver makes programs that start in the host's namespace from now on ask this address for names.
func (h *Host) UseNameserver(t testing.TB, address string) {
	t.Helper()
	of := filepath.Join("/etc/netns", h.namespace) // ip netns exec lays it over /etc
	if err := os.MkdirAll(of, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(of) })
	Write(t, filepath.Join(of, "resolv.conf"), "nameserver "+address+"\n")
}

// Cut silently drops everything between the host and the others, both ways: no link goes down, no error comes back.
func (y *Yard) Cut(t testing.TB, h *Host) {
	t.Helper()
	if y.Forwarder != nil {
		y.Forwarder.isolate(h.Name, true)
		return
	}
	Must(t, nil, "ip", "netns", "exec", y.hub, "nft", "add", "element", "bridge", "yard", "off", "{ "+h.port+" }")
}

// Heal undoes Cut.
func (y *Yard) Heal(t testing.TB, h *Host) {
	t.Helper()
	if y.Forwarder != nil {
		y.Forwarder.isolate(h.Name, false)
		return
	}
	Must(t, nil, "ip", "netns", "exec", y.hub, "nft", "delete", "element", "bridge", "yard", "off", "{ "+h.port+" }")
}

// Do calls f on a thread inside the host's namespace. Sockets that f opens belong to the host for ever, whoever uses
// them. f must open them in its own goroutine. If h is nil, f is simply called.
func (h *Host) Do(f func() error) error {
	if h == nil {
		return f()
	}
	inside, err := os.Open(filepath.Join("/run/netns", h.namespace))
	if err != nil {
		return err
	}
	defer inside.Close()
	runtime.LockOSThread()
	outside, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer outside.Close()
	if err := unix.Setns(int(inside.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace %s: %w", h.namespace, err)
	}
	ferr := f()
	if err := unix.Setns(int(outside.Fd()), unix.CLONE_NEWNET); err != nil {
		// the thread stays locked and ends with its goroutine
		return fmt.Errorf("leave namespace %s: %w", h.namespace, err)
	}
	runtime.UnlockOSThread()
	return ferr
}

// Dial opens a socket in the host's namespace, or on the machine if h is nil.
func (h *Host) Dial(dialer net.Dialer, network, address string) (c net.Conn, err error) {
	if h == nil {
		return dialer.Dial(network, address)
	}
	derr := h.Do(func() error { c, err = dialer.Dial(network, address); return nil })
	if derr != nil {
		return nil, derr
	}
	return c, err
}

// Listen opens a stream listener in the host's namespace.
func (h *Host) Listen(t testing.TB, address string) (l net.Listener) {
	t.Helper()
	err := h.Do(func() (err error) { l, err = net.Listen("tcp", address); return err })
	if err != nil {
		t.Fatalf("listen on %s in %s: %v", address, h.Name, err)
	}
	return l
}

// ListenPacket opens a datagram socket in the host's namespace.
func (h *Host) ListenPacket(t testing.TB, address string) (c net.PacketConn) {
	t.Helper()
	err := h.Do(func() (err error) { c, err = net.ListenPacket("udp", address); return err })
	if err != nil {
		t.Fatalf("listen on %s in %s: %v", address, h.Name, err)
	}
	return c
}

// sweepNamespaces removes what killed runs left behind: namespaces named after a process that no longer exists.
func sweepNamespaces() {
	entries, err := os.ReadDir("/run/netns")
	if err != nil {
		return
	}
	for _, e := range entries {
		parts := strings.Split(e.Name(), "-")
		if len(parts) < 4 || parts[0] != "lw" {
			continue
		}
		pid, err := strconv.Atoi(parts[1])
		if err != nil {
			continue
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); os.IsNotExist(err) {
			exec.Command("ip", "netns", "del", e.Name()).Run()
		}
	}
}
