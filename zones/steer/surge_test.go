package steer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"leeward/health"
	"leeward/zones"
)

// loop is a small closed loop in simulated time. Clients behind caches ask a policy and load the endpoints in its
// answers. Three vantages measure these, each at its own time, and report a little later. The View is made from the
// reports. All but time and requests is the code that serves.
type loop struct {
	t         *testing.T
	ttl       time.Duration
	lag       time.Duration // of a vantage's report
	world     *world
	program   *Program
	policy    *Policy
	board     *health.Board
	view      *View
	now       time.Time
	caches    []*cache
	endpoints map[netip.Addr]*server
	vantages  []*observer
	waiting   []said
	random    *rand.PCG

	broken, moves  int
	over, requests float64
	lost           float64
	words          int
	dead           map[string]bool // regions
}

type cache struct {
	client  netip.Addr
	subnet  bool
	region  string
	demand  float64
	until   time.Time
	answer  []netip.Addr
	regions string
}

type server struct {
	name, region string
	load         float64
	hot          time.Duration // how long it has been overloaded
	down         time.Time     // when it will be up again
}

type observer struct {
	name       string
	estimators map[string]*health.Estimator
	samples    map[string]health.Load
	next       time.Time
}

type said struct {
	at time.Time
	m  health.Measure
}

const (
	tick    = 50 * time.Millisecond
	target  = 80.
	breaks  = 120.
	hotness = time.Second
)

func newLoop(t *testing.T, seed uint64, spill bool, ramp time.Duration) *loop {
	l := &loop{
		t: t, ttl: 2 * time.Second, lag: 150 * time.Millisecond, world: threeRegions(), board: health.NewBoard(),
		now:       time.Unix(1e9, 0),
		endpoints: map[netip.Addr]*server{}, random: rand.NewPCG(seed, 7), dead: map[string]bool{},
	}
	for _, p := range l.world.pools {
		p.Capacity = &zones.Capacity{Target: target, Max: 100}
		p.Ramp = zones.Duration(ramp)
		for k := range 7 {
			e := &zones.Endpoint{
				Pool: p.Pool, Endpoint: fmt.Sprintf("more-%d", k),
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 3 + byte(len(l.endpoints)), byte(k)})},
			}
			l.world.members[p.Pool] = append(l.world.members[p.Pool], e)
		}
		for _, e := range l.world.members[p.Pool] {
			e.Addresses = e.Addresses[:1]
			l.endpoints[e.Addresses[0]] = &server{name: e.Endpoint, region: p.Region}
		}
	}
	l.program = l.world.program()
	l.policy = compile(t, places(t), l.world, &zones.Policy{
		Name: "www.example.test", TTL: zones.Duration(l.ttl), Answers: 4, Spill: spill,
		Rules: []zones.Rule{{Nearest: []string{"www-eu", "www-us", "www-ap"}}},
	})
	for i := range 3 {
		o := &observer{
			name: fmt.Sprint("v", i), estimators: map[string]*health.Estimator{},
			samples: map[string]health.Load{}, next: l.now.Add(time.Duration(i) * 40 * time.Millisecond),
		}
		l.board.Heartbeat(l.now, o.name, 1, time.Minute)
		l.vantages = append(l.vantages, o)
	}
	for r, region := range []string{"eu", "us", "ap"} {
		for i := range 300 {
			var client netip.Addr
			switch region {
			case "eu":
				client = netip.AddrFrom4([4]byte{2, byte(i), byte(r), 9})
			case "us":
				client = netip.AddrFrom4([4]byte{8, byte(i), byte(r), 9})
			default:
				client = netip.AddrFrom4([4]byte{9, 1, byte(i), 9})
			}
			l.caches = append(l.caches, &cache{
				client: client, region: region, subnet: i%2 == 0,
				until: l.now.Add(time.Duration(i) * l.ttl / 300),
			})
		}
	}
	l.view = NewView(l.program, l.sight(), nil)
	for s := 0.; s < 2*l.ttl.Seconds(); s += tick.Seconds() { // all caches are filled
		l.step(map[string]float64{"eu": 1, "us": 1, "ap": 1})
	}
	l.broken, l.moves, l.over, l.requests, l.lost, l.words = 0, 0, 0, 0, 0, 0
	return l
}

func (l *loop) sight() Sight {
	return Sight{Pressure: l.board.Pressure, State: func(t health.Target) health.State {
		s := l.endpoints[t.Address]
		if l.now.Before(s.down) || l.dead[s.region] {
			return health.Down
		}
		return health.Up
	}}
}

// step plays one tick, with a demand for each region.
func (l *loop) step(demand map[string]float64) {
	l.now = l.now.Add(tick)
	for _, s := range l.endpoints {
		s.load = 0
	}
	for _, c := range l.caches {
		c.demand = demand[c.region] / 300
		if !l.now.Before(c.until) {
			req := &Request{Client: c.client, Random: l.random.Uint64(), Clock: l.now.Unix()}
			if c.subnet {
				req.Resolver = netip.MustParseAddr("192.0.2.53")
			}
			var d Decision
			l.policy.Decide(l.view, req, &d)
			c.answer, c.until = c.answer[:0], l.now.Add(l.ttl)
			for i := range d.Count {
				a, _ := netip.AddrFromSlice(d.Data[i*4 : i*4+4])
				c.answer = append(c.answer, a)
			}
			if region := l.endpoints[c.answer[0]].region; region != c.regions {
				if c.regions != "" {
					l.moves++
				}
				c.regions = region
			}
		}
		var alive []*server
		for _, a := range c.answer {
			if s := l.endpoints[a]; !l.now.Before(s.down) && !l.dead[s.region] {
				alive = append(alive, s)
			}
		}
		l.requests += c.demand
		if len(alive) == 0 {
			l.lost += c.demand
		}
		for _, s := range alive {
			s.load += c.demand / float64(len(alive))
		}
	}
	for _, s := range l.endpoints {
		if l.dead[s.region] {
			s.hot = 0
			continue
		}
		l.over += max(0, s.load-100)
		if s.hot += tick; s.load <= breaks {
			s.hot = 0
		}
		if s.hot > hotness {
			s.down, s.hot = l.now.Add(5*time.Second), 0
			l.broken++
		}
	}
	for _, o := range l.vantages {
		if l.now.Before(o.next) {
			continue
		}
		o.next = o.next.Add(100 * time.Millisecond)
		l.look(o)
	}
	l.waiting = slices.DeleteFunc(l.waiting, func(s said) bool {
		if l.now.Before(s.at) {
			return false
		}
		l.board.Measure(s.m)
		return true
	})
	l.board.Judge(l.now)
	l.board.Weigh(l.now)
	l.view = NewView(l.program, l.sight(), l.view)
}

func (l *loop) look(o *observer) {
	for _, p := range l.program.Pools {
		e := o.estimators[p.Name]
		if e == nil {
			e = health.NewEstimator(nil, false)
			o.estimators[p.Name] = e
		}
		keep, _ := l.policy.Stays(l.view, p.Number, l.now.Unix())
		m, due := e.Observe(l.now, health.Setting{
			TTL: l.ttl, Ramp: p.ramp, Keep: keep,
			Available: l.view.Available(p.Number), Most: l.policy.Most(l.view, p.Number, 0),
		},
			l.view.Readings(p.Number, func(t health.Target) health.Load {
				return health.LoadOf(l.endpoints[t.Address].load)
			}))
		if due {
			l.words++
			m.Vantage, m.Pool = o.name, p.Name
			l.waiting = append(l.waiting, said{l.now.Add(l.lag), m})
		}
	}
}

// TestClosedLoop plays the situations that the law is for. docs/capacity.md has the same figures from real sockets.
// Here time is simulated, and each seed plays the same.
func TestClosedLoop(t *testing.T) {
	flat := func(eu, us, ap float64) map[string]float64 { return map[string]float64{"eu": eu, "us": us, "ap": ap} }
	const half = 400. // of a region's target of 800
	for _, c := range []struct {
		name   string
		demand func(s float64) map[string]float64 // by seconds; the surge begins at 10
		events func(l *loop, s float64)
		over   float64 // largest part of the requests beyond capacity, in percent
		lost   float64
	}{
		{"steady", func(float64) map[string]float64 { return flat(half, half, half) }, nil, 0, 0},
		{"surge of 3 in two TTLs", func(s float64) map[string]float64 {
			return flat(half*(1+2*min(max((s-10)/4, 0), 1)), half, half)
		}, nil, 0.6, 0.1},
		{"surge of 3 in one TTL", func(s float64) map[string]float64 {
			return flat(half*(1+2*min(max((s-10)/2, 0), 1)), half, half)
		}, nil, 1.5, 0.1},
		{"everything over", func(s float64) map[string]float64 {
			k := 1 + 1.2*min(max((s-10)/4, 0), 1)
			return flat(half*k, half*k, half*k)
		}, nil, 1, 0.1},
		{"slow leak", func(s float64) map[string]float64 {
			return flat(half*(1+2*min(max((s-10)/40, 0), 1)), half, half)
		}, nil, 0.2, 0.1},
		{"region dies at peak", func(float64) map[string]float64 {
			return flat(700, 450, 450)
		}, func(l *loop, s float64) {
			l.dead["eu"] = s >= 10
		}, 1, 4},
		{"region returns", func(float64) map[string]float64 { return flat(600, 500, 500) }, func(l *loop, s float64) {
			l.dead["eu"] = s >= 10 && s < 25
		}, 0.6, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, spill := range []bool{true, false} {
				l := newLoop(t, 1, spill, 0)
				for s := 0.; s < 50; s += tick.Seconds() {
					if c.events != nil {
						c.events(l, s)
					}
					l.step(c.demand(s))
					if spill && math.Mod(s, 0.5) < tick.Seconds() && s > 9 && s < 22 && os.Getenv("T") != "" {
						line := ""
						for _, p := range l.program.Pools {
							keep, _ := l.policy.Keep(l.view, p.Number, 0)
							b := l.view.pools[p.Number].burden
							var real float64
							for _, s := range l.endpoints {
								if s.region == p.Region {
									real += s.load
								}
							}
							line += fmt.Sprintf(" | %s real %4.0f L %4.0f O %4.0f T %4.0f keep %.2f", p.Region, real,
								b.load, b.offered, b.target, keep)
						}
						t.Logf("%.1f broken %d%s", s, l.broken, line)
					}
				}
				over, lost := 100*l.over/l.requests, 100*l.lost/l.requests
				t.Logf("spill %v: broken %d, over %.2f %%, lost %.2f %%, moves a client %.2f, words %d", spill,
					l.broken, over, lost, float64(l.moves)/900, l.words)
				if spill && (l.broken > 0 || over > c.over || lost > c.lost || math.IsNaN(over)) {
					t.Errorf("%d endpoints broke, %.2f %% over (%.2f at most), %.2f %% lost (%.2f at most)", l.broken,
						over, c.over, lost, c.lost)
				}
			}
		})
	}
}
