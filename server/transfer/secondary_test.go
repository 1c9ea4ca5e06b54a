package transfer

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"leeward/server/tsig"
	"leeward/zones"
	"leeward/zones/snapshot"
)

// primaries are the name servers of zones, by address, at the other ends of pipes.
type primaries struct {
	t  *testing.T
	mu sync.Mutex

	at    map[string]*primary
	asked []string // the queries since the last look, and to whom
	any   bool     // they serve any origin
}

// anyZone lets all of them answer for any zone, with the same records.
func (p *primaries) anyZone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.any = true
}

// primary is one of them. It has the zone as lines, oldest version first.
type primary struct {
	versions [][]string
	down     bool
	mute     bool       // it accepts the query and says nothing
	stuck    bool       // it says nothing to AXFR and IXFR
	reset    bool       // its connection breaks at IXFR
	lone     bool       // it answers IXFR with one SOA, and then says nothing more
	noEDNS   bool       // it answers EDNS with FORMERR
	left     int        // seconds for which it says that its zone is good; 0: it does not say
	behind   bool       // it transfers the version before the one that its SOA says
	noIXFR   bool       // it answers IXFR with NOTIMP
	once     bool       // it closes the connection after each answer
	ring     *tsig.Ring // it signs, and accepts only what is signed
	broken   bool       // its transfers end too early
}

func newPrimaries(t *testing.T, addresses ...string) *primaries {
	p := &primaries{t: t, at: map[string]*primary{}}
	for _, a := range addresses {
		p.at[a] = &primary{}
	}
	return p
}

// set gives a primary a new version.
func (p *primaries) set(address, serial string, lines ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := append([]string{"@ SOA " + serial, "@ NS ns", "ns A 192.0.2.53"}, lines...)
	p.at[address].versions = append(p.at[address].versions, all)
}

func (p *primaries) change(address string, f func(*primary)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p.at[address])
}

// heard returns the queries since the last look.
func (p *primaries) heard() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := strings.Join(p.asked, ", ")
	p.asked = nil
	return s
}

func (p *primaries) dial(_ context.Context, to netip.AddrPort, _ []netip.Addr) (net.Conn, error) {
	address := to.String()
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.at[address]
	if at == nil || at.down {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	broken := new(atomic.Bool)
	go p.serve(address, &breaking{there, broken})
	return &breaking{here, broken}, nil
}

// breaking is a connection that, once broken, ends with a reset.
type breaking struct {
	net.Conn
	broken *atomic.Bool
}

func (b *breaking) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if err != nil && b.broken.Load() {
		err = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	}
	return n, err
}

func (p *primaries) serve(address string, conn net.Conn) {
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
		p.mu.Lock()
		at := *p.at[address]
		q := new(dns.Msg)
		if err := q.Unpack(request); err != nil {
			p.t.Error(err)
		}
		zone, qtype := "example.test.", q.Question[0].Qtype
		if p.any {
			zone = q.Question[0].Name
		}
		if at.behind && qtype != dns.TypeSOA {
			at.versions = at.versions[:len(at.versions)-1]
		}
		messages, session := at.answer(p.t, zone, request)
		p.asked = append(p.asked, strings.TrimSuffix(address, ":53")+" "+dns.TypeToString[qtype])
		p.mu.Unlock()
		if qtype == dns.TypeIXFR && at.reset {
			conn.(*breaking).broken.Store(true)
			return
		}
		if at.mute || at.stuck && qtype != dns.TypeSOA {
			_, _ = io.Copy(io.Discard, conn)
			return
		}
		for i, m := range messages {
			if at.broken && len(messages) > 1 && i == len(messages)-1 {
				return
			}
			b, err := m.Pack()
			if err != nil {
				p.t.Error(err)
				return
			}
			b = session.Sign(b, time.Now())
			if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)); err != nil {
				return
			}
		}
		if at.once {
			return
		}
	}
}

// answer makes the messages that answer a request.
func (at *primary) answer(t *testing.T, zone string, request []byte) ([]*dns.Msg, *tsig.Session) {
	q := new(dns.Msg)
	if err := q.Unpack(request); err != nil {
		t.Error(err)
		return nil, nil
	}
	session, fault := at.ring.Verify(request, time.Now())
	say := func(rcode int, records ...dns.RR) *dns.Msg {
		m := new(dns.Msg).SetRcode(q, rcode)
		m.Authoritative, m.Answer = true, records
		return m
	}
	if fault != nil || at.ring != nil && session == nil {
		return []*dns.Msg{say(dns.RcodeRefused)}, nil
	}
	if len(at.versions) == 0 {
		return []*dns.Msg{say(dns.RcodeRefused)}, session
	}
	opt := q.IsEdns0()
	switch {
	case opt != nil && at.noEDNS:
		return []*dns.Msg{say(dns.RcodeFormatError)}, session
	case q.Question[0].Qtype != dns.TypeSOA:
	case opt == nil && !at.noEDNS || opt != nil && (len(opt.Option) != 1 || opt.Option[0].Option() != dns.EDNS0EXPIRE):
		t.Errorf("it does not ask for EXPIRE: %v", q)
	}
	rrs := func(lines []string) (all []dns.RR) {
		for _, l := range lines {
			all = append(all, recordOf(t, zone, l))
		}
		return all
	}
	newest := rrs(at.versions[len(at.versions)-1])
	if q.Question[0].Qtype == dns.TypeSOA {
		m := say(0, newest[0])
		if at.left > 0 {
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []dns.EDNS0{
				&dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: "00"},
				&dns.EDNS0_EXPIRE{Code: dns.EDNS0EXPIRE, Expire: uint32(at.left)},
			}
		}
		return []*dns.Msg{m}, session
	}
	one := func(records []dns.RR) (all []*dns.Msg) { // one message for each record, but the first two together
		all = append(all, say(0, records[:min(2, len(records))]...))
		for _, r := range records[min(2, len(records)):] {
			all = append(all, say(0, r))
		}
		return all
	}
	if q.Question[0].Qtype == dns.TypeIXFR {
		if at.noIXFR {
			return []*dns.Msg{say(dns.RcodeNotImplemented)}, session
		}
		if at.lone {
			return []*dns.Msg{say(0, newest[0])}, session
		}
		from := q.Ns[0].(*dns.SOA).Serial
		if from == newest[0].(*dns.SOA).Serial {
			return []*dns.Msg{say(0, newest[0])}, session
		}
		for i, v := range at.versions {
			if rrs(v[:1])[0].(*dns.SOA).Serial != from {
				continue
			}
			out := []dns.RR{newest[0]}
			for ; i < len(at.versions)-1; i++ {
				a, b := at.versions[i], at.versions[i+1]
				less := func(x, y []string) (d []string) {
					return slices.DeleteFunc(slices.Clone(x[1:]), func(l string) bool { return slices.Contains(y, l) })
				}
				out = slices.Concat(out, rrs(a[:1]), rrs(less(a, b)), rrs(b[:1]), rrs(less(b, a)))
			}
			return one(append(out, newest[0])), session
		}
	}
	return one(append(newest, newest[0])), session
}

// follower is a Secondary of these primaries, and what it delivers.
type follower struct {
	*Secondary
	p   *primaries
	mu  sync.Mutex
	got []string
	now map[string]snapshot.Transferred
}

// newFollower starts a follower, within synctest. stop ends it.
func newFollower(t *testing.T, p *primaries, state string, ring *tsig.Ring) (f *follower, stop func()) {
	t.Helper()
	f = &follower{p: p, now: map[string]snapshot.Transferred{}}
	s, err := NewSecondary(SecondaryOptions{
		State: state, Random: func() float64 { return 0 }, Keys: func() *tsig.Ring { return ring },
		OnTransfer: func(origin string, x snapshot.Transferred) {
			f.mu.Lock()
			defer f.mu.Unlock()
			switch {
			case x.Version == nil:
				f.got = append(f.got, origin+" gone")
			case x.Expired:
				f.got = append(f.got, fmt.Sprintf("%d expired", x.Version.Serial()))
			default:
				f.got = append(f.got, fmt.Sprint(x.Version.Serial()))
			}
			f.now[origin] = x
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.dial = p.dial
	f.Secondary = s
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	synctest.Wait()
	return f, func() { cancel(); <-done }
}

func (f *follower) handed() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := strings.Join(f.got, ", ")
	f.got = nil
	return s
}

// expect waits for that time, and compares what was delivered, and what was asked of whom.
func (f *follower) expect(t *testing.T, after time.Duration, handed, asked string) {
	t.Helper()
	time.Sleep(after)
	synctest.Wait()
	if got := f.handed(); got != handed {
		t.Errorf("handed over %q, want %q", got, handed)
	}
	if got := f.p.heard(); got != asked {
		t.Errorf("asked %q, want %q", got, asked)
	}
}

func (f *follower) only(t *testing.T) Following {
	t.Helper()
	all := f.Following()
	if len(all) != 1 {
		t.Fatalf("%+v", all)
	}
	return all[0]
}

func peers(t *testing.T, texts ...string) []Assignment {
	t.Helper()
	transfer := zones.Transfer{Primaries: texts}
	return []Assignment{{Origin: "example.test", Primaries: transfer.PrimaryServers()}}
}

// TestRefresh: the times of the SOA (refresh 3600, retry 600, expire 86400) say when the primary is asked. A zone whose
// primary is gone stays until it expires, and comes back with its primary.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrimaries(t, "192.0.2.1:53")
		p.set("192.0.2.1:53", "1000", "www A 192.0.2.1")
		f, stop := newFollower(t, p, "", nil)
		defer stop()
		f.Assign(peers(t, "192.0.2.1"))
		f.expect(t, 0, "1000", "192.0.2.1 SOA, 192.0.2.1 AXFR")
		f.expect(t, 3599*time.Second, "", "")
		f.expect(t, time.Second, "", "192.0.2.1 SOA") // refresh: there is nothing new
		p.set("192.0.2.1:53", "1001", "www A 192.0.2.2")
		f.expect(t, time.Hour, "1001", "192.0.2.1 SOA, 192.0.2.1 IXFR")
		p.change("192.0.2.1:53", func(p *primary) { p.down = true })
		f.expect(t, time.Hour, "", "")
		if x := f.only(t); x.State != "failing" || !strings.Contains(x.Error, "connection refused") ||
			x.Serial != 1001 || !x.Next.Equal(time.Now().Add(10*time.Minute)) {
			t.Errorf("%+v", x)
		}
		f.expect(t, 22*time.Hour+59*time.Minute, "", "") // a day after the last word of it, less a minute
		f.expect(t, time.Minute, "1001 expired", "")
		if x := f.only(t); x.State != "expired" {
			t.Errorf("%+v", x)
		}
		p.change("192.0.2.1:53", func(p *primary) { p.down = false })
		f.expect(t, 10*time.Minute, "1001", "192.0.2.1 SOA, 192.0.2.1 AXFR")
		if x := f.only(t); x.State != "current" || x.Error != "" {
			t.Errorf("%+v", x)
		}
	})
}

// TestPrimaries: a zone asks its primaries in order until one of them has authority. One that says nothing costs its
// time, and one that is behind brings nothing.
func TestPrimaries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrimaries(t, "192.0.2.1:53", "192.0.2.2:5353", "192.0.2.3:53", "192.0.2.4:53")
		p.change("192.0.2.1:53", func(p *primary) { p.down = true })
		p.change("192.0.2.2:5353", func(p *primary) { p.mute = true })
		p.set("192.0.2.4:53", "1000")
		f, stop := newFollower(t, p, "", nil)
		defer stop()
		f.Assign(peers(t, "192.0.2.1", "192.0.2.2:5353", "192.0.2.3", "192.0.2.4"))
		f.expect(t, idleLimit, "1000", "192.0.2.2:5353 SOA, 192.0.2.3 SOA, 192.0.2.4 SOA, 192.0.2.4 AXFR")
		p.set("192.0.2.3:53", "999")
		p.change("192.0.2.2:5353", func(p *primary) { p.down = true })
		f.expect(t, time.Hour, "", "192.0.2.3 SOA, 192.0.2.4 SOA")
		if x := f.only(t); x.State != "current" || x.From != "192.0.2.4:53" {
			t.Errorf("%+v", x)
		}
		p.change("192.0.2.4:53", func(p *primary) { p.down = true })
		f.expect(t, time.Hour, "", "192.0.2.3 SOA")
		if x := f.only(t); !strings.Contains(x.Error,
			"192.0.2.3:53: it has serial 999, which is older than 1000 here") {
			t.Errorf("%+v", x)
		}
		// New primaries are named. The zone asks them at once, for everything, because what is here is not theirs.
		p.set("192.0.2.3:53", "1001")
		f.Assign(peers(t, "192.0.2.3"))
		f.expect(t, notifyGap, "1001", "192.0.2.3 SOA, 192.0.2.3 AXFR")
	})
}

// TestOtherPrimary: a zone moves to a primary that has come to its serials in a way of its own. A difference from there
// would not apply to the version here, even if the serial is the same. So the whole zone is transferred, once.
func TestOtherPrimary(t *testing.T) {
	state := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := newPrimaries(t, "192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53")
		p.set("192.0.2.1:53", "5", "a A 192.0.2.1")
		p.set("192.0.2.2:53", "5", "b A 192.0.2.2")
		p.set("192.0.2.3:53", "6", "c A 192.0.2.3")
		f, stop := newFollower(t, p, state, nil)
		f.Assign(peers(t, "192.0.2.1"))
		f.expect(t, 0, "5", "192.0.2.1 SOA, 192.0.2.1 AXFR")
		f.Assign(peers(t, "192.0.2.2"))
		f.expect(t, notifyGap, "5", "192.0.2.2 SOA, 192.0.2.2 AXFR")
		f.expect(t, time.Hour, "", "192.0.2.2 SOA")
		p.set("192.0.2.2:53", "6", "b A 192.0.2.2", "d A 192.0.2.4")
		f.expect(t, time.Hour, "6", "192.0.2.2 SOA, 192.0.2.2 IXFR")
		// The former primary is still among them, and so they say that they have the same.
		f.Assign(peers(t, "192.0.2.3", "192.0.2.2"))
		f.expect(t, notifyGap, "", "192.0.2.3 SOA")
		f.expect(t, saveEvery, "", "")
		stop()

		// The zone has moved while nothing ran.
		p.set("192.0.2.1:53", "6", "a A 192.0.2.1")
		f, stop = newFollower(t, p, state, nil)
		defer stop()
		f.Assign(peers(t, "192.0.2.1"))
		f.expect(t, 0, "6, 6", "192.0.2.1 SOA, 192.0.2.1 AXFR")
	})
}

// TestFirstTransfer: until there is a version the primary is asked soon, and then less and less often.
func TestFirstTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrimaries(t, "192.0.2.1:53")
		f, stop := newFollower(t, p, "", nil)
		defer stop()
		f.Assign(peers(t, "192.0.2.1"))
		tried := func(want, wantHas bool) {
			t.Helper()
			if is, has := f.Tried("example.test"); is != want || has != wantHas {
				t.Errorf("tried %v, has %v, want %v, %v", is, has, want, wantHas)
			}
		}
		tried(false, false)
		f.expect(t, 0, "", "192.0.2.1 SOA")
		if x := f.only(t); x.State != "waiting" || x.Error != "192.0.2.1:53: SOA: it says REFUSED" {
			t.Errorf("%+v", x)
		}
		tried(true, false)
		f.expect(t, 2*time.Second, "", "192.0.2.1 SOA")
		f.expect(t, 4*time.Second, "", "192.0.2.1 SOA")
		f.expect(t, 8*time.Second, "", "192.0.2.1 SOA")
		f.expect(t, 16*time.Second+32*time.Second, "", "192.0.2.1 SOA, 192.0.2.1 SOA")
		f.expect(t, 120*time.Second, "", "192.0.2.1 SOA, 192.0.2.1 SOA")
		p.set("192.0.2.1:53", "7")
		f.expect(t, time.Minute, "7", "192.0.2.1 SOA, 192.0.2.1 AXFR")
		tried(true, true)
	})
}

// TestFallBack: if differences are not available, or do not fit, the whole zone is transferred. What is cut short is
// discarded.
func TestFallBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrimaries(t, "192.0.2.1:53")
		p.set("192.0.2.1:53", "1000", "a A 192.0.2.1")
		f, stop := newFollower(t, p, "", nil)
		defer stop()
		f.Assign(peers(t, "192.0.2.1"))
		f.expect(t, 0, "1000", "192.0.2.1 SOA, 192.0.2.1 AXFR")
		p.change("192.0.2.1:53", func(p *primary) { p.noIXFR, p.once = true, true })
		p.set("192.0.2.1:53", "1001", "a A 192.0.2.2")
		f.expect(t, time.Hour, "1001", "192.0.2.1 SOA, 192.0.2.1 IXFR, 192.0.2.1 AXFR")
		p.change("192.0.2.1:53", func(p *primary) {
			p.noIXFR = false
			p.versions[1] = append(p.versions[1], "never A 192.0.2.9") // its journal says that there was more
		})
		p.set("192.0.2.1:53", "1002", "a A 192.0.2.3")
		f.expect(t, time.Hour, "1002", "192.0.2.1 SOA, 192.0.2.1 IXFR, 192.0.2.1 AXFR")
		p.change("192.0.2.1:53", func(p *primary) { p.broken = true })
		p.set("192.0.2.1:53", "1003", "a A 192.0.2.4")
		f.expect(t, time.Hour, "", "192.0.2.1 SOA, 192.0.2.1 IXFR, 192.0.2.1 AXFR")
		if x := f.only(t); x.Error != "192.0.2.1:53: AXFR: it has closed the connection" || x.Serial != 1002 {
			t.Errorf("%+v", x)
		}
		p.change("192.0.2.1:53", func(p *primary) { p.broken = false })
		f.expect(t, 10*time.Minute, "1003", "192.0.2.1 SOA, 192.0.2.1 IXFR")
		// However it goes wrong, the whole zone may follow: after a reset, and after one newer SOA with nothing behind
		// it.
		p.change("192.0.2.1:53", func(p *primary) { p.reset, p.once = true, false })
		p.set("192.0.2.1:53", "1004", "a A 192.0.2.5")
		// over a new connection first
		f.expect(t, time.Hour, "1004", "192.0.2.1 SOA, 192.0.2.1 IXFR, 192.0.2.1 IXFR, 192.0.2.1 AXFR")
		p.change("192.0.2.1:53", func(p *primary) { p.reset, p.lone = false, true })
		p.set("192.0.2.1:53", "1005", "a A 192.0.2.6")
		f.expect(t, time.Hour+moreLimit, "1005", "192.0.2.1 SOA, 192.0.2.1 IXFR, 192.0.2.1 AXFR")
		p.change("192.0.2.1:53", func(p *primary) { p.lone, p.stuck = false, true })
		p.set("192.0.2.1:53", "1006", "a A 192.0.2.7")
		f.expect(t, time.Hour+2*idleLimit, "", "192.0.2.1 SOA, 192.0.2.1 IXFR, 192.0.2.1 AXFR")
		p.change("192.0.2.1:53", func(p *primary) { p.stuck = false })
		f.expect(t, 10*time.Minute, "1006", "192.0.2.1 SOA, 192.0.2.1 IXFR")
		// It transfers what is already here, although it says that it has more. That is not up to date.
		p.change("192.0.2.1:53", func(p *primary) { p.behind = true })
		p.set("192.0.2.1:53", "1007", "a A 192.0.2.8")
		f.expect(t, time.Hour, "", "192.0.2.1 SOA, 192.0.2.1 IXFR, 192.0.2.1 AXFR")
		if x := f.only(t); x.Error != "192.0.2.1:53: AXFR: it announces serial 1007, but sends 1006" ||
			x.State != "failing" {
			t.Errorf("%+v", x)
		}
		// Of two new versions it transfers the first. That is accepted, and the other one is asked for soon.
		p.set("192.0.2.1:53", "1008", "a A 192.0.2.9")
		f.expect(t, 10*time.Minute, "1007", "192.0.2.1 SOA, 192.0.2.1 IXFR")
		p.change("192.0.2.1:53", func(p *primary) { p.behind = false })
		f.expect(t, 10*time.Minute, "1008", "192.0.2.1 SOA, 192.0.2.1 IXFR")
		want := lines(whole(t, "@ SOA 1008", "@ NS ns", "ns A 192.0.2.53", "a A 192.0.2.9"))
		if d := cmp.Diff(want, lines(f.now["example.test"].Version)); d != "" {
			t.Error(d)
		}
	})
}

// TestNotified: a NOTIFY refreshes the zone at once, from the primary that sent it first of all. Many of them count as
// one.
func TestNotified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrimaries(t, "192.0.2.1:53", "192.0.2.2:53")
		p.set("192.0.2.1:53", "1000")
		p.set("192.0.2.2:53", "1000")
		f, stop := newFollower(t, p, "", nil)
		defer stop()
		f.Assign(peers(t, "192.0.2.1", "192.0.2.2"))
		f.expect(t, time.Minute, "1000", "192.0.2.1 SOA, 192.0.2.1 AXFR")
		f.Notified("example.test", netip.MustParseAddr("192.0.2.2"), 1000, true, false)
		f.expect(t, time.Minute, "", "") // that is known already
		p.set("192.0.2.2:53", "1001")
		f.Notified("example.test", netip.MustParseAddr("192.0.2.2"), 1001, true, false)
		f.expect(t, 0, "1001", "192.0.2.2 SOA, 192.0.2.2 IXFR")
		for range 100 {
			f.Notified("example.test", netip.MustParseAddr("192.0.2.2"), 0, false, false)
		}
		f.expect(t, 0, "", "")
		f.expect(t, notifyGap, "", "192.0.2.2 SOA")
		f.Notified("other.test", netip.MustParseAddr("192.0.2.2"), 0, false, false)
		f.expect(t, time.Minute, "", "")
		// Hints count as well, but only now and then, and none is lost.
		for range 100 {
			f.Notified("example.test", netip.MustParseAddr("192.0.2.2"), 0, false, true)
			f.expect(t, 0, "", "192.0.2.2 SOA")
			f.Notified("example.test", netip.MustParseAddr("192.0.2.2"), 0, false, true)
			f.Notified("example.test", netip.MustParseAddr("192.0.2.2"), 0, false, true)
			f.expect(t, hintGap-time.Second, "", "")
			f.expect(t, time.Second, "", "192.0.2.2 SOA")
			f.expect(t, hintGap, "", "")
		}
	})
}

// TestAgain: a zone is transferred whole, whatever its serial, once for each new text, even across restarts.
func TestAgain(t *testing.T) {
	state := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := newPrimaries(t, "192.0.2.1:53")
		p.set("192.0.2.1:53", "1000", "www A 192.0.2.1")
		follow := func(again string) []Assignment {
			all := peers(t, "192.0.2.1")
			all[0].Again = again
			return all
		}
		f, stop := newFollower(t, p, state, nil)
		f.Assign(follow(""))
		f.expect(t, 0, "1000", "192.0.2.1 SOA, 192.0.2.1 AXFR")
		p.set("192.0.2.1:53", "7", "www A 192.0.2.2")
		f.expect(t, time.Hour, "", "192.0.2.1 SOA") // the serial goes backwards
		f.Assign(follow("once"))
		f.expect(t, notifyGap, "7", "192.0.2.1 SOA, 192.0.2.1 AXFR")
		f.Assign(follow("once"))
		f.Assign(follow(""))
		f.Assign(follow("once"))
		f.expect(t, time.Minute, "", "192.0.2.1 SOA")
		p.change("192.0.2.1:53", func(p *primary) { p.down = true })
		f.Assign(follow("twice"))
		f.expect(t, time.Minute, "", "")
		p.change("192.0.2.1:53", func(p *primary) { p.down = false })
		f.expect(t, 10*time.Minute, "7", "192.0.2.1 SOA, 192.0.2.1 AXFR") // the version that is already here
		stop()

		f, stop = newFollower(t, p, state, nil)
		f.Assign(follow("twice"))
		f.expect(t, 0, "7", "192.0.2.1 SOA")
		stop()
		f, stop = newFollower(t, p, state, nil)
		f.Assign(follow("while it was away"))
		f.expect(t, 0, "7, 7", "192.0.2.1 SOA, 192.0.2.1 AXFR")
		stop()
	})
}

// TestExpire: a primary that is a secondary itself says how much of the zone's time is left. That counts, even across
// restarts. A primary without EDNS is asked without it.
func TestExpire(t *testing.T) {
	state := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := newPrimaries(t, "192.0.2.1:53", "192.0.2.2:53")
		p.set("192.0.2.1:53", "1000", "www A 192.0.2.1")
		p.set("192.0.2.2:53", "1000", "www A 192.0.2.1")
		p.change("192.0.2.1:53", func(p *primary) { p.left = 7200 })
		f, stop := newFollower(t, p, state, nil)
		f.Assign(peers(t, "192.0.2.1", "192.0.2.2"))
		f.expect(t, 0, "1000", "192.0.2.1 SOA, 192.0.2.1 AXFR")
		good := func(want time.Duration) {
			t.Helper()
			x := f.only(t)
			f.mu.Lock()
			until := time.Unix(f.now["example.test"].Until.Load(), 0)
			f.mu.Unlock()
			if got := time.Until(x.Expires); got != want || time.Until(until) != want {
				t.Errorf("good for %s, want %s: %+v", got, want, x)
			}
		}
		good(2 * time.Hour)
		// Its own primary has been silent since, so less and less is left.
		p.change("192.0.2.1:53", func(p *primary) { p.left = 3000 })
		f.expect(t, time.Hour, "", "192.0.2.1 SOA")
		good(time.Hour) // this was known before, and the most counts
		p.change("192.0.2.1:53", func(p *primary) { p.left = 86400 })
		f.expect(t, 59*time.Minute+59*time.Second, "", "")
		good(time.Second)
		f.expect(t, time.Second, "1000 expired, 1000", "192.0.2.1 SOA, 192.0.2.1 AXFR")
		good(24 * time.Hour)
		p.change("192.0.2.1:53", func(p *primary) { p.left = 5000 })
		p.set("192.0.2.1:53", "1001", "www A 192.0.2.2")
		f.expect(t, time.Hour, "1001", "192.0.2.1 SOA, 192.0.2.1 IXFR")
		good(5000 * time.Second)
		stop()
		p.change("192.0.2.1:53", func(p *primary) { p.down = true })
		p.change("192.0.2.2:53", func(p *primary) { p.noEDNS = true })
		f, stop = newFollower(t, p, state, nil)
		defer stop()
		f.Assign(peers(t, "192.0.2.1", "192.0.2.2"))
		f.expect(t, 0, "1001", "192.0.2.2 SOA, 192.0.2.2 SOA")
		good(5000 * time.Second)
		p.set("192.0.2.2:53", "1002", "www A 192.0.2.3")
		f.expect(t, 10*time.Minute, "1002", "192.0.2.2 SOA, 192.0.2.2 SOA, 192.0.2.2 IXFR")
		good(24 * time.Hour)
	})
}

// TestKeyRoll: of a primary's keys, the first one that both sides have counts.
func TestKeyRoll(t *testing.T) {
	ring := func(names ...string) *tsig.Ring {
		text := ""
		for _, name := range names {
			text += fmt.Sprintf("key %s { algorithm hmac-sha256; secret %q; };\n", name, secret)
		}
		keys, err := tsig.Parse("keys", text)
		if err != nil {
			t.Fatal(err)
		}
		r, err := tsig.NewRing(keys...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct {
		ours, theirs []string
		from         string // the primary that the zone came from, as it is shown
	}{
		{[]string{"new", "old"}, []string{"new", "old"}, "192.0.2.1:53 key new"},
		{[]string{"new", "old"}, []string{"old"}, "192.0.2.1:53 key old"},
		{[]string{"old"}, []string{"new", "old"}, "192.0.2.1:53 key old"},
		{[]string{"new"}, []string{"new"}, "192.0.2.1:53 key new"},
		{[]string{"new"}, []string{"old"}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPrimaries(t, "192.0.2.1:53")
			p.change("192.0.2.1:53", func(p *primary) { p.ring = ring(c.theirs...) })
			p.set("192.0.2.1:53", "1000", "a A 192.0.2.1")
			f, stop := newFollower(t, p, "", ring(c.ours...))
			defer stop()
			f.Assign(peers(t, "192.0.2.1 key new key old"))
			synctest.Wait()
			if x := f.only(t); x.From != c.from || (x.Error == "") != (c.from != "") {
				t.Errorf("we have %v, they %v: %+v", c.ours, c.theirs, x)
			}
		})
	}
}

// TestSigned: with a key, every query is signed, and no unsigned response counts.
func TestSigned(t *testing.T) {
	ring := func(text string) *tsig.Ring {
		keys, err := tsig.Parse("keys", text)
		if err != nil {
			t.Fatal(err)
		}
		r, err := tsig.NewRing(keys...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	good := ring(fmt.Sprintf(`key xfer { algorithm hmac-sha512; secret %q; };`, secret))
	other := ring(`key xfer { algorithm hmac-sha512; secret "b3RoZXI="; };`)
	for _, c := range []struct {
		name         string
		ours, theirs *tsig.Ring
		want         string // error
	}{
		{"the same key", good, good, ""},
		{"another secret", good, other, "192.0.2.1:53 key xfer: SOA: it says REFUSED, without a signature"},
		{"the primary does not sign", good, nil, "192.0.2.1:53 key xfer: SOA: it says REFUSED, without a signature"},
		{
			"we have no such key", nil, good,
			`192.0.2.1:53 key xfer: there is no TSIG key "xfer"; give its file with --tsig-key`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPrimaries(t, "192.0.2.1:53")
				p.change("192.0.2.1:53", func(p *primary) { p.ring = c.theirs })
				p.set("192.0.2.1:53", "1000", "a A 192.0.2.1", "b A 192.0.2.1", "c A 192.0.2.1")
				f, stop := newFollower(t, p, "", c.ours)
				defer stop()
				f.Assign(peers(t, "192.0.2.1 key xfer"))
				synctest.Wait()
				if x := f.only(t); x.Error != c.want || (x.Serial == 1000) != (c.want == "") {
					t.Errorf("%+v, want error %q", x, c.want)
				}
			})
		})
	}
}

// TestUnsigned: a stream is rejected, whatever is in it, if its first or last message is not signed (RFC 8945 section
// 5.3.1), or if one was inserted.
func TestUnsigned(t *testing.T) {
	key, err := tsig.NewKey("xfer", tsig.SHA256, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := tsig.NewRing(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, signed := range [][]bool{{true, true, true}, {true, false, true}, {true, true, false}, {false, true, true}} {
		query, err := axfr("example.test.").Pack()
		if err != nil {
			t.Fatal(err)
		}
		request, check := key.Request(query, time.Now())
		session, _ := ring.Verify(request, time.Now())
		at := &primary{versions: [][]string{{"@ SOA 5", "@ NS ns", "ns A 192.0.2.53"}}}
		messages, _ := at.answer(t, "example.test.", query)
		var rest [][]byte
		for i, m := range messages {
			b, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if signed[i] {
				b = session.Sign(b, time.Now())
			}
			rest = append(rest, b)
		}
		r := &receiver{origin: apex}
		_, err = r.receive(query, func(time.Duration) ([]byte, error) {
			if len(rest) == 0 {
				return nil, io.EOF
			}
			m := rest[0]
			rest = rest[1:]
			return m, nil
		}, check, time.Now)
		if whole := !slices.Contains(signed, false); (err == nil) != whole {
			t.Errorf("signed %v: %v", signed, err)
		}
	}
}

// TestKept: what was transferred survives a restart, with the time at which it was known to be the newest.
func TestKept(t *testing.T) {
	state := t.TempDir()
	file := keptFile(state, "example.test")
	synctest.Test(t, func(t *testing.T) {
		p := newPrimaries(t, "192.0.2.1:53")
		p.set("192.0.2.1:53", "1000", "www A 192.0.2.1", "www NSEC example.test. A NSEC",
			"www RRSIG A 13 3 300 20300101000000 20200101000000 1 example.test. AAAA",
			"www RRSIG NSEC 13 3 300 20300101000000 20200101000000 1 example.test. AAAB")
		f, stop := newFollower(t, p, state, nil)
		f.Assign(peers(t, "192.0.2.1"))
		f.expect(t, time.Hour, "1000", "192.0.2.1 SOA, 192.0.2.1 AXFR, 192.0.2.1 SOA")
		before := lines(f.now["example.test"].Version)
		stop()
		p.change("192.0.2.1:53", func(p *primary) { p.down = true })

		time.Sleep(time.Hour)
		f, stop = newFollower(t, p, state, nil)
		f.Assign(peers(t, "192.0.2.1"))
		f.expect(t, 0, "1000", "")
		if d := cmp.Diff(before, lines(f.now["example.test"].Version)); d != "" {
			t.Error(d)
		}
		if x := f.only(t); x.State != "failing" || time.Since(x.Checked).Round(time.Second) != time.Hour {
			t.Errorf("%+v", x)
		}
		f.expect(t, 23*time.Hour, "1000 expired", "")
		stop()

		f, stop = newFollower(t, p, state, nil) // it was expired already
		f.Assign(peers(t, "192.0.2.1"))
		f.expect(t, 0, "1000 expired", "")
		stop()

		// A broken file costs a new transfer, and nothing else.
		p.change("192.0.2.1:53", func(p *primary) { p.down = false })
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{
			"cut short": good[:len(good)-20], "a bit flipped": flipped(good),
			"empty": nil, "text": []byte("no gzip"),
		} {
			if err := os.WriteFile(file, b, 0o640); err != nil {
				t.Fatal(err)
			}
			f, stop = newFollower(t, p, state, nil)
			f.Assign(peers(t, "192.0.2.1"))
			t.Log(name)
			f.expect(t, 0, "1000", "192.0.2.1 SOA, 192.0.2.1 AXFR")
			stop()
		}

		// An older Leeward left out what signing makes. What it has kept is served, and transferred whole again.
		if err := os.WriteFile(file, inFormat(t, good, keptBare), 0o640); err != nil {
			t.Fatal(err)
		}
		f, stop = newFollower(t, p, state, nil)
		f.Assign(peers(t, "192.0.2.1"))
		f.expect(t, 0, "1000, 1000", "192.0.2.1 SOA, 192.0.2.1 AXFR")
		f.expect(t, time.Hour, "", "192.0.2.1 SOA")
		stop()

		// Its time is from a clock that was ahead.
		ahead := time.Now().Add(1000 * time.Hour)
		if err := os.Chtimes(file, ahead, ahead); err != nil {
			t.Fatal(err)
		}
		f, stop = newFollower(t, p, state, nil)
		f.Assign(peers(t, "192.0.2.1"))
		f.expect(t, 0, "1000", "192.0.2.1 SOA")
		if x := f.only(t); x.Checked.After(time.Now()) {
			t.Errorf("%+v", x)
		}
		stop()

		// A zone that is no longer wanted takes its file with it.
		f, stop = newFollower(t, p, state, nil)
		defer stop()
		f.Assign(peers(t, "192.0.2.1"))
		synctest.Wait()
		f.handed()
		f.Assign(nil)
		f.expect(t, time.Second, "example.test gone", "192.0.2.1 SOA")
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); err != nil || len(left) > 0 {
			t.Errorf("left on disk: %v, %v", left, err)
		}
	})
	if _, _, _, err := loadVersion(state, apex); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// inFormat returns a kept zone as if in another format.
func inFormat(t *testing.T, b []byte, format int) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text[:len(text)-sha256.Size], fmt.Appendf(nil, `"format":%d`, keptFormat),
		fmt.Appendf(nil, `"format":%d`, format), 1)
	sum := sha256.Sum256(text)
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(append(text, sum[:]...)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func flipped(b []byte) []byte {
	b = slices.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

// Once a full disk has room again, it gets the zone, although the primary has nothing new.
func TestKeptOnceThereIsRoom(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(state, nil, 0o600); err != nil { // nothing can be written into this
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPrimaries(t, "192.0.2.1:53")
		p.set("192.0.2.1:53", "1000", "www A 192.0.2.1")
		f, stop := newFollower(t, p, state, nil)
		defer stop()
		f.Assign(peers(t, "192.0.2.1"))
		f.expect(t, time.Minute, "1000", "192.0.2.1 SOA, 192.0.2.1 AXFR")
		if err := os.Remove(state); err != nil {
			t.Fatal(err)
		}
		f.expect(t, saveEvery, "", "")
		if _, err := os.Stat(keptFile(state, "example.test")); err != nil {
			t.Error(err)
		}
	})
}
