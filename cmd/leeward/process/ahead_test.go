package process

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"leeward/health"
	"leeward/server/answer"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// signedZone builds a signed zone that has a policy with two addresses of six in an answer.
func signedZone(t *testing.T, k *dnssec.Key, kept *dnssec.Kept) (answer.State, *dnssec.Signer) {
	t.Helper()
	c, b := catalog.New(time.Now), snapshot.NewBuilder(time.Now)
	b.Kept("example.test", kept)
	b.Keyed("example.test", dnssec.Alone(k), nil)
	batch := zones.Batch{Revision: 1, Full: true}
	put := func(r zones.Resource) {
		batch.Changes = append(batch.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: 1})
	}
	put(&zones.Zone{
		Origin: "example.test", Nameservers: []string{"ns.example.net"}, DNSSEC: &zones.DNSSEC{Enabled: true},
	})
	put(&zones.Region{Region: "eu"})
	put(&zones.Pool{Pool: "p", Region: "eu"})
	for i := range 6 {
		put(&zones.Endpoint{
			Pool: "p", Endpoint: fmt.Sprint("e", i),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})},
		})
	}
	put(&zones.Policy{Name: "www.example.test", Answers: 2, Rules: []zones.Rule{{
		Failover: []zones.Step{{Pools: []zones.WeightedPool{{Pool: "p", Weight: 1}}}},
	}}})
	s, problems := b.Update(c, c.Apply(batch), nil)
	var signer *dnssec.Signer
	s.Signed(func(_ rr.Name, x *dnssec.Signer) bool { signer = x; return true })
	if signer == nil {
		t.Fatalf("it is not signed: %v", problems)
	}
	up := func(health.Target) health.State { return health.Up }
	return answer.State{Snapshot: s, View: steer.NewView(s.Program(), steer.Sight{State: up}, nil)}, signer
}

func signedZoneKey(t *testing.T) *dnssec.Key {
	t.Helper()
	k, err := dnssec.Generate("\x07example\x04test\x00", dnssec.FlagsCSK, dnssec.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestAheadFollowsWhatIsServed: sets are signed after what is served has changed, and for the next epoch.
func TestAheadFollowsWhatIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state, signer := signedZone(t, signedZoneKey(t), nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		a := newAhead(slog.New(slog.DiscardHandler))
		go a.run(ctx)
		chosen := func(g *dnssec.Generation) int {
			time.Sleep(time.Minute) // of the bubble's clock
			_, n := g.Held()
			return n
		}
		a.publish(state)
		if n := chosen(signer.Now()); n != 15 {
			t.Errorf("%d sets are signed, want 2 of 6", n)
		}
		next := signer.Prepare(time.Now().Add(dnssec.EpochLength))
		a.again()
		if n := chosen(next); n != 15 {
			t.Errorf("%d sets are signed for the next epoch, want 2 of 6", n)
		}
	})
}
