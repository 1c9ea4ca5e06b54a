package process

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"leeward/health"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// thirteen is a server without keys, with a clock of the test's, and the signer of its signatures.
type thirteen struct {
	t        *testing.T
	now      time.Time
	off      time.Duration // by how much the server's clock is wrong
	keys     *dnssec.Keys
	hand     *dnssec.Hand
	snapshot *snapshot.Snapshot
	epochs   epochs
	turns    int
}

const thirteenZone = rr.Name("\x07example\x04test\x00")

// newThirteen makes a signed zone with a policy that answers with two of three addresses.
func newThirteen(t *testing.T) *thirteen {
	x := &thirteen{t: t, now: time.Date(2026, 11, 3, 12, 34, 56, 0, time.UTC)}
	x.keys = dnssec.Alone(signedZoneKey(t))
	x.keys.Note()
	x.hand = &dnssec.Hand{Received: dnssec.NewReceived(thirteenZone, func(_ int64, _ string, err error) {
		t.Error(err)
	})}
	x.sign()
	x.start("")
	return x
}

// start starts the server, with its kept files in a folder.
func (x *thirteen) start(folder string) {
	t := x.t
	t.Helper()
	clock := func() time.Time { return x.now.Add(x.off) }
	paper, err := dnssec.HandOut(dnssec.HandedOut{Keys: x.keys, Made: x.now}, nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := dnssec.ReadHandOut(thirteenZone, paper, nil, clock(), x.hand)
	if err != nil {
		t.Fatal(err)
	}
	kept := newKept(folder, slog.New(slog.DiscardHandler))
	kept.days = edgeDays
	x.hand.Kept = kept.find(public.Keys, dnssec.EpochAt(thirteenZone, clock()))
	b := snapshot.NewBuilder(clock)
	b.Edge()
	b.Keyed("example.test", public.Keys, nil)
	c, batch := thirteenResources(clock)
	var problems zones.Problems
	if x.snapshot, problems = b.Update(c, c.Apply(batch), nil); len(problems) > 0 {
		t.Fatal(problems)
	}
	x.epochs = epochs{
		log: slog.New(slog.DiscardHandler), now: clock, early: epochAhead,
		ahead: newAhead(slog.New(slog.DiscardHandler)),
		kept:  kept, turned: func(string) { x.turns++ },
	}
	x.epochs.snapshot.Store(x.snapshot)
}

func thirteenResources(clock func() time.Time) (*catalog.Catalog, zones.Batch) {
	batch := zones.Batch{Revision: 1, Full: true}
	put := func(r zones.Resource) {
		batch.Changes = append(batch.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: 1})
	}
	put(&zones.Zone{
		Origin: "example.test", Nameservers: []string{"ns.example.net"}, DNSSEC: &zones.DNSSEC{Enabled: true},
	})
	put(&zones.Region{Region: "eu"})
	put(&zones.Monitor{Name: "m", Monitor: health.Monitor{TCP: &health.TCP{Port: 80}}})
	put(&zones.Pool{Pool: "p", Region: "eu", Monitor: "m"})
	for i := range 3 {
		put(&zones.Endpoint{
			Pool: "p", Endpoint: fmt.Sprint("e", i),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})},
		})
	}
	put(&zones.Policy{Name: "www.example.test", Answers: 2, Rules: []zones.Rule{{
		Failover: []zones.Step{{Pools: []zones.WeightedPool{{Pool: "p", Weight: 1}}}},
	}}})
	return catalog.New(clock), batch
}

// sign does a signer's work: it signs the present day and the next, for every state of health.
func (x *thirteen) sign() {
	x.t.Helper()
	clock := func() time.Time { return x.now }
	b := snapshot.NewBuilder(clock)
	b.Keyed("example.test", x.keys, nil)
	c, batch := thirteenResources(clock)
	s, _ := b.Update(c, c.Apply(batch), nil)
	s.Signed(func(_ rr.Name, signer *dnssec.Signer) bool {
		signer.Prepare(x.now.Add(dnssec.EpochLength))
		if _, err := s.Prepare(thirteenZone); err != nil {
			x.t.Fatal(err)
		}
		chosen := snapshot.Chosen{Every: true}
		chosen.See(s, steer.NewView(s.Program(), steer.Sight{State: allUp}, nil))
		for more := true; more; {
			var err error
			if more, err = chosen.Next(); err != nil {
				x.t.Fatal(err)
			}
		}
		now, next := signer.Generations()
		for _, g := range []*dnssec.Generation{now, next} {
			n := g.Epoch.Number
			x.hand.Received.Put(n, "1", dnssec.AppendChunk(nil, thirteenZone, n, g.Noted()))
			x.hand.Received.Put(n, dnssec.WholeChunk, dnssec.AppendChunk(nil, thirteenZone, n, nil))
		}
		return true
	})
}

func allUp(health.Target) health.State { return health.Up }

// answers returns the sets that the server can answer with valid signatures while these endpoints are down.
func (x *thirteen) answers(down ...string) (sets []string) {
	x.t.Helper()
	view := steer.NewView(x.snapshot.Program(), steer.Sight{State: func(t health.Target) health.State {
		if slices.Contains(down, t.Endpoint) {
			return health.Down
		}
		return health.Up
	}}, nil)
	chosen := snapshot.Chosen{}
	chosen.See(x.snapshot, view)
	for more := true; more; {
		var err error
		if more, err = chosen.Next(); err != nil {
			x.t.Fatal(err)
		}
	}
	dnskey := x.keys.All()[0].DNSKEY()
	x.snapshot.Signed(func(_ rr.Name, signer *dnssec.Signer) bool {
		g := signer.Now()
		inception, expiration := g.Epoch.Times()
		if at := uint32(x.now.Unix()); at < inception || at >= expiration {
			x.t.Fatalf("%v: signatures are of %v", x.now, g.Epoch.Start())
		}
		put := func(typ rr.Type, data []byte, count int) bool {
			if typ != rr.TypeA {
				return true
			}
			set := dnssec.Set{Owner: "\x03www" + thirteenZone, Type: typ, TTL: x.ttl()}
			id, text := signer.Begin([]byte(set.Owner), typ, set.TTL), ""
			for at := 0; at < len(data); at += 4 {
				set.Data = append(set.Data, data[at:at+4])
				signer.Add(&id, data[at:at+4])
				text += fmt.Sprint(data[at+3])
			}
			read := g.AppendChosen
			if count == 1 {
				read = g.AppendRRSIGs
			}
			rrsig, made := read(nil, id, []byte(set.Owner), typ, set.TTL)
			if !made {
				return true
			}
			if err := dnssec.Verify(set, rrsig, dnskey); err != nil {
				x.t.Fatal(err)
			}
			sets = append(sets, text)
			return true
		}
		p := x.snapshot.Policy("www.example.test")
		p.Sets(view, put)
		p.Singles(x.snapshot.Program(), func(typ rr.Type, data []byte) { put(typ, data, 1) })
		return true
	})
	slices.Sort(sets)
	return slices.Compact(sets)
}

func (x *thirteen) ttl() uint32 { return x.snapshot.Policy("www.example.test").TTL }

// TestEdgeThirteenDays: without a signer, a server goes on for 13 days with all possible sets, in every state of
// health. It reports early that signatures are missing, and when the last ones end. A signer that comes back ends that.
func TestEdgeThirteenDays(t *testing.T) {
	x := newThirteen(t)
	gone, said, last := x.now, time.Time{}, time.Time{}
	for ; x.now.Sub(gone) < 13*24*time.Hour; x.now = x.now.Add(time.Hour) {
		x.epochs.turn(t.Context())
		if got := strings.Join(x.answers(), " "); got != "0 01 02 1 12 2" {
			t.Fatalf("%v after the signer is gone: all up: %s", x.now.Sub(gone), got)
		}
		if got := strings.Join(x.answers("p/e1"), " "); got != "0 02 1 2" {
			t.Fatalf("%v after the signer is gone: one down: %s", x.now.Sub(gone), got)
		}
		text := behind(x.snapshot, x.now)["example.test"]
		if said.IsZero() && text != "" {
			said = x.now
		}
		if last.IsZero() && strings.Contains(text, "about to expire") {
			last = x.now
		}
	}
	if x.turns != 1 {
		t.Errorf("there were %d turns, and signatures of one more day", x.turns)
	}
	var expires time.Time
	x.snapshot.Signed(func(_ rr.Name, s *dnssec.Signer) bool { expires = s.Now().Epoch.Expires(); return true })
	if after := said.Sub(gone); said.IsZero() || after > 50*time.Hour {
		t.Errorf("it is said after %v that newer signatures are missed", after)
	}
	if left := expires.Sub(last); last.IsZero() || left > nearEnd || left < nearEnd-time.Hour {
		t.Errorf("it is said %v before the end", left)
	}
	x.sign()
	x.epochs.turn(t.Context()) // this prepares, since the next day is some hours away
	x.epochs.turn(t.Context())
	if text := behind(x.snapshot, x.now)["example.test"]; text != "" {
		t.Errorf("with a signer again: %s", text)
	}
	if got := strings.Join(x.answers(), " "); got != "0 01 02 1 12 2" {
		t.Errorf("with a signer again: %s", got)
	}
}

// TestEdgeByAWrongClock: a server without keys starts with a wrong clock, with the signatures in etcd or only with
// those that it has kept. If the clock is behind, it answers with valid signatures, and says so. If it is ahead, it
// uses what is there. It discards nothing: once the clock is right, so are the answers.
func TestEdgeByAWrongClock(t *testing.T) {
	const day = 24 * time.Hour
	for _, kept := range []bool{false, true} {
		for _, off := range []time.Duration{-26 * time.Hour, -3 * day, -20000 * day, 26 * time.Hour, 3 * day} {
			if kept && off < -2*day {
				continue // on disk it looks only for days close to the present one
			}
			t.Run(fmt.Sprint(off, " kept ", kept), func(t *testing.T) {
				x := newThirteen(t)
				folder := t.TempDir()
				fresh := func() {
					refuse := func(_ int64, _ string, err error) { t.Error(err) }
					x.hand = &dnssec.Hand{Received: dnssec.NewReceived(thirteenZone, refuse)}
					if kept {
						x.hand.Vouch(make([]byte, 32))
					}
				}
				right := func() string {
					x.epochs.turn(t.Context())
					x.epochs.turn(t.Context())
					return strings.Join(x.answers(), " ")
				}
				const all = "0 01 02 1 12 2"
				if kept {
					x.hand.Vouch(make([]byte, 32))
					x.start(folder)
					if got := right(); got != all {
						t.Fatalf("before: %s", got)
					}
					x.epochs.kept.look(t.Context(), &x.epochs)
				}
				if fresh(); !kept {
					x.sign()
				}
				x.off = off
				x.start(folder)
				x.epochs.turn(t.Context())
				x.epochs.kept.clean(x.now.Add(off))
				text := behind(x.snapshot, x.now.Add(off))["example.test"]
				if off < 0 {
					if got := strings.Join(x.answers(), " "); got != all {
						t.Errorf("by the wrong clock: %s", got)
					}
					if !strings.Contains(text, "set the clock right") {
						t.Errorf("it is said: %q", text)
					}
				}
				x.off = 0
				if got := right(); got != all {
					t.Errorf("by the right clock: %s", got)
				}
				if text := behind(x.snapshot, x.now)["example.test"]; text != "" {
					t.Errorf("by the right clock it is said: %q", text)
				}
				if kept {
					fresh()
					x.start(folder)
					if got := right(); got != all {
						t.Errorf("after another start: %s", got)
					}
				}
			})
		}
	}
}
