package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	runtimemetrics "runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"leeward/zones"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// many returns n zones with the same primaries.
func many(t *testing.T, n int, primaries ...string) (all []Assignment) {
	t.Helper()
	for i := range n {
		all = append(all, Assignment{
			Origin: fmt.Sprintf("zone-%d.test", i), Primaries: (&zones.Transfer{Primaries: primaries}).PrimaryServers(),
		})
	}
	return all
}

// TestHangingPrimary: 300 zones have a first primary that hangs, in its SOA queries or in its transfers. They do not
// hold up a zone of another primary. They hold each other up for no longer than the primary is given once.
func TestHangingPrimary(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*primary)
		within time.Duration // the last of them is there
	}{
		{"SOA queries", func(p *primary) { p.mute = true }, soaLimit + time.Second},
		{"transfers", func(p *primary) { p.stuck = true }, idleLimit + time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPrimaries(t, "192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53")
				for address := range p.at {
					p.set(address, "1000")
				}
				p.change("192.0.2.1:53", c.change)
				p.anyZone()
				f, stop := newFollower(t, p, "", nil)
				defer stop()
				f.Assign(many(t, 300, "192.0.2.1", "192.0.2.2"))
				synctest.Wait()
				others := func() (n int) {
					for _, x := range f.Following() {
						if x.Serial == 1000 {
							n++
						}
					}
					return n
				}
				f.Assign(append(many(t, 300, "192.0.2.1", "192.0.2.2"), peers(t, "192.0.2.3")...))
				synctest.Wait()
				if others() != 1 {
					t.Errorf("%d zones are there at once, want the one of the healthy primary", others())
				}
				time.Sleep(c.within)
				synctest.Wait()
				if n := others(); n != 301 {
					t.Errorf("%d zones are there after %s, want all", n, c.within)
				}
			})
		})
	}
}

// TestSilentAddress: one zone at a time asks an address that was silent, and all ask again once it answers.
func TestSilentAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrimaries(t, "192.0.2.1:53")
		p.set("192.0.2.1:53", "1000")
		p.change("192.0.2.1:53", func(p *primary) { p.mute = true })
		p.anyZone()
		f, stop := newFollower(t, p, "", nil)
		defer stop()
		f.Assign(many(t, 300, "192.0.2.1"))
		time.Sleep(soaLimit)
		synctest.Wait()
		if n := strings.Count(p.heard(), "SOA"); n != askFromOne {
			t.Errorf("asked %d times, want %d", n, askFromOne)
		}
		for _, x := range f.Following() {
			if x.State != "waiting" || x.Error == "" {
				t.Fatalf("%+v", x)
			}
		}
		time.Sleep(silence + soaLimit)
		synctest.Wait()
		if n := strings.Count(p.heard(), "SOA"); n != 1 {
			t.Errorf("asked %d times after it was silent, want once", n)
		}
		p.change("192.0.2.1:53", func(p *primary) { p.mute = false })
		time.Sleep(2 * (silence + soaLimit))
		synctest.Wait()
		for _, x := range f.Following() {
			if x.State != "current" {
				t.Fatalf("%+v", x)
			}
		}
	})
}

// endless is a primary that sends an AXFR without end, as fast as it is read.
func endless(t *testing.T, conn net.Conn, sent *atomic.Int64) {
	defer conn.Close()
	for {
		var head [2]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		request := make([]byte, binary.BigEndian.Uint16(head[:]))
		if _, err := io.ReadFull(conn, request); err != nil {
			return
		}
		q := new(dns.Msg)
		if err := q.Unpack(request); err != nil {
			t.Error(err)
			return
		}
		origin := q.Question[0].Name
		reply := func(lines ...string) bool {
			m := new(dns.Msg).SetReply(q)
			m.Authoritative, m.Compress = true, true
			for _, line := range lines {
				m.Answer = append(m.Answer, recordOf(t, origin, line))
			}
			b, err := m.Pack()
			if err != nil {
				t.Error(err)
				return false
			}
			_, err = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
			sent.Add(int64(len(b)))
			return err == nil
		}
		if !reply("@ SOA 1000") {
			return
		}
		if q.Question[0].Qtype == dns.TypeSOA {
			continue
		}
		for n := 0; ; n += 100 {
			var lines []string
			for i := range 100 {
				lines = append(lines, fmt.Sprintf("host-%d A 192.0.2.1", n+i))
			}
			if !reply(lines...) {
				return
			}
		}
	}
}

// TestEndlessTransfer: a primary sends zones without end, ten at once. It gets no more memory than all transfers
// together may have, and takes no room from a zone of another primary.
func TestEndlessTransfer(t *testing.T) {
	const most = 8 << 20
	p := newPrimaries(t, "192.0.2.2:53")
	p.set("192.0.2.2:53", "1000")
	var sent atomic.Int64
	s, err := NewSecondary(SecondaryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.held = newHeld(most)
	s.dial = func(ctx context.Context, to netip.AddrPort, from []netip.Addr) (net.Conn, error) {
		if to.Addr().String() == "192.0.2.2" {
			return p.dial(ctx, to, from)
		}
		here, there := net.Pipe()
		go endless(t, there, &sent)
		return here, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	defer func() { cancel(); <-done }()
	heap := func() uint64 {
		runtime.GC()
		live := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}} // without what became garbage since
		runtimemetrics.Read(live)
		return live[0].Value.Uint64()
	}
	before := heap()
	s.Assign(append(many(t, 10, "192.0.2.1"), peers(t, "192.0.2.2")...))
	var worst uint64
	refused := func() (n int) {
		for _, x := range s.Following() {
			if strings.Contains(x.Error, "all transfers together hold more than 8 MiB") {
				n++
			}
		}
		return n
	}
	for deadline := time.Now().Add(2 * time.Minute); refused() < 10; {
		if time.Now().After(deadline) {
			t.Fatalf("not refused: %+v", s.Following())
		}
		worst = max(worst, heap())
		time.Sleep(time.Millisecond) // between two looks at the heap
	}
	t.Logf("%d MiB sent; the heap grew by %d MiB at most", sent.Load()>>20, (worst-min(worst, before))>>20)
	if worst > before+6*most { // what is held, as much in the tree made of it, and this test's primaries
		t.Errorf("the heap grew by %d MiB where transfers may hold %d", (worst-before)>>20, most>>20)
	}
	for _, x := range s.Following() {
		if x.Zone == "example.test" && x.State != "current" {
			t.Errorf("%+v", x)
		}
		if x.Zone != "example.test" && time.Until(x.Next) < restTooLarge/2 {
			t.Errorf("it is asked for again too soon: %+v", x)
		}
	}
	if s.held.now != 0 || len(s.held.from) != 0 || len(s.held.shares) != 0 {
		t.Errorf("still held: %+v", s.held)
	}
}

// TestHeaviestEnds: when all transfers together hold too much, the one that ends is the largest of the address that
// holds most.
func TestHeaviestEnds(t *testing.T) {
	h := newHeld(100)
	ended := ""
	open := func(name, from string) *holding {
		return h.open(netip.MustParseAddr(from), func() { ended += name })
	}
	a, b, c := open("a", "192.0.2.1"), open("b", "192.0.2.1"), open("c", "192.0.2.2")
	for _, x := range []struct {
		*holding
		octets int
	}{{a, 30}, {b, 25}, {c, 45}} {
		if err := x.take(x.octets); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.take(5); err != nil || ended != "a" {
		t.Errorf("%v, ended %q, want a", err, ended)
	}
	if err := a.take(1); !errors.As(err, new(errHeld)) {
		t.Errorf("a goes on: %v", err)
	}
	a.give(10) // it no longer counts
	if err := c.take(30); !errors.As(err, new(errHeld)) || ended != "ac" {
		t.Errorf("%v, ended %q", err, ended)
	}
	if !a.close() || b.close() || !c.close() || h.now != 0 || len(h.from) != 0 {
		t.Errorf("%+v", h)
	}
}

// TestRepeatedAddition: NSD repeats an apex MX that has not changed in each difference.
func TestRepeatedAddition(t *testing.T) {
	v := whole(t, "@ SOA 1", "@ NS ns", "@ MX 10 Mail", "ns A 192.0.2.53")
	e := v.Edit()
	for _, line := range []string{"@ MX 10 Mail", "@ MX 10 mail", "@ NS ns", "new A 192.0.2.1"} {
		packed, err := (&dns.Msg{Answer: []dns.RR{record(t, line)}}).Pack()
		if err != nil {
			t.Fatal(err)
		}
		x, _, err := rr.ReadRecord(packed, 12)
		if err == nil {
			err = e.Add(x)
		}
		if err != nil {
			t.Error(err)
		}
	}
	var next *snapshot.Version
	next, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(lines(next), "\n")
	want := strings.Join(lines(whole(t, "@ SOA 1", "@ NS ns", "@ MX 10 mail", "ns A 192.0.2.53", "new A 192.0.2.1")),
		"\n")
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
