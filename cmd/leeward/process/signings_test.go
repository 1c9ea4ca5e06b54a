package process

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// expiring is a server with one signed zone. Nobody renews its signatures unless turn is called.
type expiring struct {
	t *testing.T
	*epochs
	metrics *prometheus.Registry
}

func newExpiring(t *testing.T, s *snapshot.Snapshot) *expiring {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	e := &expiring{t, &epochs{
		log: log, now: time.Now, ahead: newAhead(log), kept: newKept("", log), early: epochAhead,
		turned: func(string) {},
	}, prometheus.NewRegistry()}
	e.snapshot.Store(s)
	e.metrics.MustRegister(&signedMetrics{of: e.epochs})
	return e
}

// is compares the zone's state, the headline and the metrics with what they should be.
func (e *expiring) is(state, headline string) {
	e.t.Helper()
	s := &admin.Status{Time: e.now(), Signing: e.signings(nil)}
	z := s.Signing.List[0]
	if z.State != state || s.Signing.States[state] != 1 {
		e.t.Errorf("after %s the zone is %s, want %s", e.now().Format(time.RFC3339), z.State, state)
	}
	if say := s.Say(); !strings.Contains(say, headline) || strings.Contains(say, "Signatures") != (headline != "") {
		e.t.Errorf("%s: %q, want %q", state, s.Say(), headline)
	}
	well := state == admin.SignedCurrent || state == admin.SignedPrepared
	if s.Wrong() == well || (s.Ailing().Signing == nil) != well {
		e.t.Errorf("%s: wrong: %v", state, s.Wrong())
	}
	for name, want := range map[string]float64{
		`leeward_dnssec_zones ` + state:                1,
		`leeward_dnssec_expiry_seconds ` + z.Signer:    z.Expires.Sub(e.now()).Seconds(),
		`leeward_dnssec_zone_expiry_seconds ` + z.Zone: z.Expires.Sub(e.now()).Seconds(),
		`leeward_dnssec_keys ` + dnssec.SignsAll:       1,
		`leeward_dnssec_signatures `:                   float64(z.Signatures),
	} {
		if got := e.metric(name); got != want {
			e.t.Errorf("%s: %s is %v, want %v", state, name, got, want)
		}
	}
}

// metric returns the value of a metric, given by its name and the value of its label.
func (e *expiring) metric(name string) float64 {
	e.t.Helper()
	all, err := e.metrics.Gather()
	if err != nil {
		e.t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.Metric {
			label := ""
			for _, l := range m.Label {
				label = l.GetValue()
			}
			if f.GetName()+" "+label == name {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	e.t.Errorf("there is no %s", name)
	return 0
}

// begin waits until a day of the zone has just begun.
func begin(origin rr.Name) dnssec.Epoch {
	time.Sleep(time.Until(dnssec.EpochAt(origin, time.Now()).Next().Start()))
	return dnssec.EpochAt(origin, time.Now())
}

// TestSigningPrevented: if no new signatures are made, that is reported an hour after the first day without. It becomes
// a headline four days before the end, and stays one after the end. It ends once there are new signatures.
func TestSigningPrevented(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := signedZoneKey(t)
		day := begin(key.Origin())
		state, _ := signedZone(t, key, nil)
		e := newExpiring(t, state.Snapshot)
		until := func(at time.Time) { time.Sleep(time.Until(at)) }
		e.is(admin.SignedCurrent, "")
		until(day.Next().Start().Add(-time.Hour))
		e.turn(t.Context())
		e.is(admin.SignedPrepared, "")
		until(day.Next().Start().Add(time.Minute))
		e.turn(t.Context())
		e.is(admin.SignedCurrent, "")
		made := e.metric("leeward_dnssec_signatures_made_total ")
		if made == 0 {
			t.Error("no signature was counted")
		}

		// From here on, nobody signs.
		day = day.Next()
		until(day.Next().Start().Add(lateSaid - time.Second))
		e.is(admin.SignedCurrent, "")
		until(day.Next().Start().Add(lateSaid))
		e.is(admin.SignedLate, "")
		until(day.Expires().Add(-4 * 24 * time.Hour))
		e.is(admin.SignedLate, "")
		time.Sleep(time.Second)
		e.is(admin.SignedNear, "Signatures expire in 3d: example.test.")
		until(day.Expires().Add(-time.Hour))
		e.is(admin.SignedNear, "Signatures expire in 60m: example.test.")
		until(day.Expires())
		e.is(admin.SignedExpired, "Signatures have expired: example.test. Validating resolvers get no answer.")

		e.turn(t.Context()) // somebody signs again
		e.is(admin.SignedCurrent, "")
		if again := e.metric("leeward_dnssec_signatures_made_total "); again <= made {
			t.Errorf("%v signatures were counted, and now %v", made, again)
		}

		// A failed attempt is reported until the next one.
		e.prepared.note(key.Origin(), 0, errors.New("no entropy"))
		if z := e.signings(nil).List[0]; z.Well() || z.Words(time.Now()) != "expire in 13d. The next cannot be made: "+
			"no entropy." || e.metric("leeward_dnssec_failures_total ") != 1 {
			t.Errorf("%+v: %s", z, z.Words(time.Now()))
		}
		e.turn(t.Context())
		if z := e.signings(nil).List[0]; !z.Well() {
			t.Errorf("%+v after an attempt that did not fail", z)
		}
	})
}

const lateSaid = time.Hour

// TestSigningPreventedAtEdge: the signer of an edge is gone, then it signs half of a day, then all.
func TestSigningPreventedAtEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := dnssec.Alone(signedZoneKey(t))
		own.Note()
		origin := own.Origin()
		day := begin(origin)
		build := func(k *dnssec.Keys) *snapshot.Snapshot {
			c, b := catalog.New(time.Now), snapshot.NewBuilder(time.Now)
			b.Keyed("example.test", k, nil)
			z := &zones.Zone{
				Origin: "example.test", Nameservers: []string{"ns.example.net"}, DNSSEC: &zones.DNSSEC{Enabled: true},
			}
			s, problems := b.Update(c, c.Apply(zones.Batch{Revision: 1, Full: true, Changes: []zones.Change{
				{Key: z.Key(), Resource: z, Revision: 1},
			}}), nil)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			return s
		}
		home := newExpiring(t, build(own))
		signed := func(prepare bool) []dnssec.Signed {
			var all []dnssec.Signed
			home.snapshot.Load().Signed(func(_ rr.Name, s *dnssec.Signer) bool {
				g := s.Now()
				if prepare {
					home.turn(t.Context())
					g = s.Now()
				}
				all = g.Noted()
				return true
			})
			return all
		}
		paper, err := dnssec.HandOut(dnssec.HandedOut{Keys: own, Made: time.Now()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		hand := &dnssec.Hand{Received: dnssec.NewReceived(origin, func(int64, string, error) {})}
		put := func(e dnssec.Epoch, name string, all []dnssec.Signed) {
			hand.Received.Put(e.Number, name, dnssec.AppendChunk(nil, origin, e.Number, all))
		}
		put(day, "1", signed(false))
		public, err := dnssec.ReadHandOut(origin, paper, nil, time.Now(), hand)
		if err != nil {
			t.Fatal(err)
		}
		e := newExpiring(t, build(public.Keys))
		e.is(admin.SignedCurrent, "")
		time.Sleep(time.Until(day.Next().Start().Add(2 * time.Hour)))
		e.turn(t.Context())
		e.is(admin.SignedLate, "")
		z := e.signings(nil).List[0]
		if z.Signer != admin.SignerAway || !strings.Contains(z.Remedy(), "leeward sign") {
			t.Errorf("%+v: %s", z, z.Remedy())
		}
		all := signed(true)
		put(day.Next(), "1", all[:len(all)/2])
		e.turn(t.Context())
		e.is(admin.SignedLate, "")
		if n := e.metric("leeward_dnssec_signatures_missing "); n < 1 || n > float64(len(all)) {
			t.Errorf("%v of %d signatures are missing", n, len(all))
		}
		put(day.Next(), "2", all[len(all)/2:])
		e.turn(t.Context())
		e.is(admin.SignedCurrent, "")
		if n := e.metric("leeward_dnssec_signatures_missing "); n != 0 {
			t.Errorf("%v signatures are missing when all have come", n)
		}
	})
}

// TestSigningDiskFull: signatures that cannot be kept on disk are reported until they can.
func TestSigningDiskFull(t *testing.T) {
	state, _ := signedZone(t, signedZoneKey(t), nil)
	e := newExpiring(t, state.Snapshot)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	e.kept = newKept(file, slog.New(slog.NewTextHandler(&log, nil)))
	e.kept.look(t.Context(), e.epochs)
	s := &admin.Status{Time: time.Now(), Signing: e.signings(nil)}
	if s.Signing.KeptError == "" || !s.Wrong() || e.metric("leeward_dnssec_kept_failing ") != 1 {
		t.Errorf("%+v", s.Signing)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	e.kept.look(t.Context(), e.epochs)
	if s := e.signings(nil); s.KeptError != "" || e.metric("leeward_dnssec_kept_failing ") != 0 {
		t.Errorf("%+v\n%s", s, log.String())
	}
	if problems, err := testutil.GatherAndLint(e.metrics); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
