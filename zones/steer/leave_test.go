package steer

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"leeward/health"
	"leeward/zones"
)

// A drain with a ramp takes a pool's clients away evenly and gives them back in the opposite order. No client moves
// more than once each way, and the rest of the policy's order gets them. If there is no other pool, all stay.
func TestDrainInRamp(t *testing.T) {
	begin := time.Unix(1_800_000_000, 0)
	end := begin.Add(400 * time.Second)
	for _, tt := range []struct {
		name, target string
		rules        []zones.Rule
		spill        bool
		of, to       int32 // pools
		share        float64
	}{
		{"failover", "pool/www-eu", []zones.Rule{{Failover: steps("www-eu", "www-us")}}, false, 0, 1, 1},
		{"with spill", "pool/www-eu", []zones.Rule{{Failover: steps("www-eu", "www-us")}}, true, 0, 1, 1},
		{"a region", "region/us", []zones.Rule{{Failover: steps("www-us", "www-ap", "www-eu")}}, false, 1, 2, 1},
		{
			"by weight", "pool/www-eu",
			[]zones.Rule{{Failover: []zones.Step{{Pools: []zones.WeightedPool{
				{Pool: "www-eu", Weight: 50},
				{Pool: "www-us", Weight: 50},
			}}}}},
			false, 0, 1, 0.5,
		},
		{"alone", "pool/www-eu", []zones.Rule{{Failover: steps("www-eu")}}, false, 0, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := threeRegions()
			drain := &zones.Override{
				Target: tt.target, State: zones.Drain, From: &begin, Until: &end,
				Ramp: health.Duration(100 * time.Second),
			}
			p := compile(t, nil, w, &zones.Policy{
				Name: "www.example.test", Answers: 1, Spill: tt.spill,
				Rules: tt.rules,
			})
			const clients = 4000
			were := make([]bool, clients) // at the pool
			for i := range were {
				were[i] = true
			}
			for s := -10; s <= 410; s += 5 {
				at := begin.Add(time.Duration(s) * time.Second)
				w.words, w.leaving = map[string]zones.Word{}, map[string]*zones.Override{}
				level := drain.Level(at)
				switch {
				case level == 0:
					w.words[tt.target] = zones.Drain
				case !at.Before(begin) && at.Before(end):
					w.leaving[tt.target] = drain
				}
				v := NewView(w.program(), Sight{State: allUp}, nil)
				stay := 0.
				for i := range clients {
					c := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0})
					req := Request{
						Client: c, Resolver: netip.MustParseAddr("192.0.2.53"), Random: mix(uint64(i)),
						Clock: at.Unix(),
					}
					var d Decision
					p.Decide(v, &req, &d)
					if d.Pool != tt.of && d.Pool != tt.to {
						t.Fatalf("at %d s a client is led to pool %d", s, d.Pool)
					}
					here := d.Pool == tt.of
					if here {
						stay++
					}
					if level > 0 && level < 1 && tt.of != tt.to && d.Scope < 24 {
						t.Fatalf("at %d s the answer's scope is /%d, and its neighbour may be led elsewhere", s,
							d.Scope)
					}
					if tt.share == 1 && here != were[i] {
						if back := s > 200; here != back {
							t.Fatalf("at %d s client %d moves the wrong way", s, i)
						}
						were[i] = here
					}
				}
				want := tt.share * level
				if tt.of == tt.to {
					want = 1
				}
				if got := stay / clients; math.Abs(got-want) > 0.03 {
					t.Fatalf("at %d s %.3f of all clients are with the pool, want %.3f", s, got, want)
				}
			}
		})
	}
}

// If a pool and its region are both drained with a ramp, what is left is the product.
func TestDrainsMultiply(t *testing.T) {
	begin := time.Unix(1_800_000_000, 0)
	later := begin.Add(20 * time.Second)
	p := planOf(
		&zones.Override{State: zones.Drain, From: &begin, Ramp: health.Duration(100 * time.Second)}, nil,
		&zones.Override{State: zones.Drain, From: &later, Ramp: health.Duration(40 * time.Second)},
	)
	for s, want := range map[int64]float64{-1: 1, 0: 1, 20: 0.8, 40: 0.6 * 0.5, 60: 0, 100: 0, 1000: 0} {
		if got := p.level(begin.Unix() + s); math.Abs(got-want) > 1e-9 {
			t.Errorf("at %d s: %g, want %g", s, got, want)
		}
	}
}
