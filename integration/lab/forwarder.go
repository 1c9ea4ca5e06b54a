//go:build linux

package lab

import (
	"context"
	bigendian "encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// forwarder carries packets between the hosts of a yard in the test process. So every pair of hosts has a link of its
// own in each direction, which can be cut, lose packets or delay them. Each host has a TUN device in its namespace. The
// forwarder reads what its kernel sends there, and writes it to the device of the host that has the destination's
// address. Packets within a host never come here. A seeded generator for each link decides which packets are lost.
type forwarder struct {
	seed uint64

	mu     sync.Mutex
	ports  map[string]*port // by host
	owners map[netip.Addr]*port
	routes []route
	links  map[[2]string]*link // by the names of the hosts, from and to
}

// port is a host's device.
type port struct {
	name   string
	device *os.File
}

// route is a range of addresses that a host has.
type route struct {
	prefix netip.Prefix
	port   *port
}

// Weather is how a link carries packets.
type Weather struct {
	Cut   bool          // none arrive, and nobody is told
	Port  uint16        // of TCP, either end: none of its packets arrive; 0: none
	To    uint16        // of TCP, the destination's: as port
	Six   bool          // Port and To are about IPv6 only
	Loss  float64       // share of packets that do not arrive
	Delay time.Duration // of those that do
}

// link is one direction between two hosts.
type link struct {
	Weather
	random *rand.Rand
	queue  chan parcel // to the goroutine that delays packets; nil until there is a delay

	carried, dropped int
}

type parcel struct {
	due    time.Time
	to     *port
	packet []byte
}

// linkQueue bounds the packets that a delayed link holds. It drops further packets, as a router's buffer would.
const linkQueue = 4096

func newForwarder(seed uint64) *forwarder {
	return &forwarder{
		seed: seed, ports: map[string]*port{}, owners: map[netip.Addr]*port{},
		links: map[[2]string]*link{},
	}
}

// plug makes a TUN device of that name in the host's namespace and carries its packets until the test ends.
func (f *forwarder) plug(t testing.TB, h *Host, device string) {
	t.Helper()
	var fd int
	err := h.Do(func() (err error) {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("/dev/net/tun: %w", err)
		}
		request, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	})
	if err != nil {
		Missing(t, "no TUN device can be made here: %v", err)
	}
	p := &port{name: h.Name, device: os.NewFile(uintptr(fd), "tun of "+h.Name)}
	f.mu.Lock()
	f.ports[h.Name] = p
	f.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.carry(ctx, p) }()
	t.Cleanup(func() { cancel(); p.device.Close(); <-done })
}

// own says which host has an address, or a range of them.
func (f *forwarder) own(h *Host, p netip.Prefix) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.IsSingleIP() {
		f.owners[p.Addr()] = f.ports[h.Name]
		return
	}
	f.routes = append(f.routes, route{p, f.ports[h.Name]})
}

// carry reads what a host sends until its device is closed.
func (f *forwarder) carry(ctx context.Context, from *port) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.device.Read(buffer)
		if err != nil {
			return
		}
		to, ok := destination(buffer[:n])
		if !ok {
			continue
		}
		f.forward(ctx, from, to, buffer[:n])
	}
}

// destination reads where an IP packet goes.
func destination(packet []byte) (netip.Addr, bool) {
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		return netip.AddrFromSlice(packet[16:20])
	case len(packet) >= 40 && packet[0]>>4 == 6:
		return netip.AddrFromSlice(packet[24:40])
	}
	return netip.Addr{}, false
}

// stops says whether an IP packet is TCP of ports that are cut.
func (w *Weather) stops(packet []byte) bool {
	if w.Port == 0 && w.To == 0 {
		return false
	}
	at, protocol := 40, packet[6] // IPv6, which has no extension headers here
	if packet[0]>>4 == 4 {
		if w.Six {
			return false
		}
		at, protocol = int(packet[0]&15)*4, packet[9]
	}
	if protocol != unix.IPPROTO_TCP || len(packet) < at+4 {
		return false
	}
	from, to := bigendian.BigEndian.Uint16(packet[at:]), bigendian.BigEndian.Uint16(packet[at+2:])
	return w.Port != 0 && (from == w.Port || to == w.Port) || w.To != 0 && to == w.To
}

func (f *forwarder) forward(ctx context.Context, from *port, address netip.Addr, packet []byte) {
	f.mu.Lock()
	to := f.owners[address]
	for i := 0; to == nil && i < len(f.routes); i++ {
		if f.routes[i].prefix.Contains(address) {
			to = f.routes[i].port
		}
	}
	if to == nil || to == from {
		f.mu.Unlock()
		return
	}
	l := f.link(from.name, to.name)
	if l.Cut || l.stops(packet) || l.Loss > 0 && l.random.Float64() < l.Loss {
		l.dropped++
		f.mu.Unlock()
		return
	}
	l.carried++
	if l.Delay == 0 {
		f.mu.Unlock()
		to.device.Write(packet)
		return
	}
	if l.queue == nil {
		l.queue = make(chan parcel, linkQueue)
		go l.hold(ctx, l.queue)
	}
	select {
	case l.queue <- parcel{time.Now().Add(l.Delay), to, append([]byte(nil), packet...)}:
	default:
		l.dropped++
	}
	f.mu.Unlock()
}

// hold delivers delayed packets in their order.
func (l *link) hold(ctx context.Context, queue chan parcel) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-queue:
			timer.Reset(time.Until(p.due))
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			p.to.device.Write(p.packet)
		}
	}
}

// link returns one direction between two hosts. The caller holds the mutex.
func (f *forwarder) link(from, to string) *link {
	key := [2]string{from, to}
	l := f.links[key]
	if l == nil {
		l = &link{random: rand.New(rand.NewPCG(f.seed, sumOf(from+">"+to)))}
		f.links[key] = l
	}
	return l
}

// sumOf makes a number of a text (FNV-1a), so that each link draws its own losses in whatever order the links came up.
func sumOf(text string) uint64 {
	sum := uint64(14695981039346656037)
	for i := range len(text) {
		sum = (sum ^ uint64(text[i])) * 1099511628211
	}
	return sum
}

// Set changes how packets go from one host to another: one direction.
func (f *forwarder) Set(from, to string, change func(*Weather)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.link(from, to).Weather)
}

// others returns the names of all hosts but this one.
func (f *forwarder) others(name string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for other := range f.ports {
		if other != name {
			all = append(all, other)
		}
	}
	return all
}

// isolate cuts or heals both directions between a host and all others.
func (f *forwarder) isolate(name string, cut bool) {
	for _, other := range f.others(name) {
		f.Set(name, other, func(w *Weather) { w.Cut = cut })
		f.Set(other, name, func(w *Weather) { w.Cut = cut })
	}
}
