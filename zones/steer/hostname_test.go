package steer

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/health"
	"leeward/zones"
)

var now = time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)

// byName gives endpoints of the world hostnames instead of addresses.
func (w *world) byName(there func(e *zones.Endpoint) bool) {
	w.names = map[string]Resolution{}
	for _, es := range w.members {
		for _, e := range es {
			if !there(e) {
				continue
			}
			e.Hostname = fmt.Sprintf("%s.%s.cloud.example", e.Endpoint, e.Pool)
			w.names[e.Hostname] = Resolution{
				Addresses: e.Addresses, Known: [2]bool{true, true},
				Expires: now.Add(time.Minute),
			}
			e.Addresses = nil
		}
	}
}

func everyone(*zones.Endpoint) bool { return true }

func TestAlias(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(w *world, p *zones.Policy)
		want   bool
	}{
		{"all by name", func(*world, *zones.Policy) {}, true},
		{"the policy flattens", func(_ *world, p *zones.Policy) { p.Flatten = true }, false},
		{"one endpoint flattens", func(w *world, _ *zones.Policy) { w.members["www-us"][1].Flatten = true }, false},
		{"one endpoint by address", func(w *world, _ *zones.Policy) {
			w.members["www-ap"][0].Hostname, w.members["www-ap"][0].Addresses = "", []netip.Addr{
				netip.MustParseAddr("192.0.2.1"),
			}
		}, false},
		{"a pool without endpoints", func(w *world, _ *zones.Policy) { w.members["www-ap"] = nil }, true},
	} {
		w := threeRegions()
		w.byName(everyone)
		source := &zones.Policy{Name: "www.example.test", Rules: []zones.Rule{
			{When: &zones.When{Countries: []string{"US"}}, Failover: steps("www-us")},
			{Nearest: []string{"www-eu", "www-ap"}},
		}}
		c.change(w, source)
		if p := compile(t, places(t), w, source); p.Alias != c.want {
			t.Errorf("%s: Alias is %v", c.name, p.Alias)
		}
	}
}

// Whatever is down, drained or has never been resolved, a policy with hostnames always answers: with addresses, a name,
// or that it does not know yet. And the answer holds for all clients within the scope.
func TestNamesAreNeverEmpty(t *testing.T) {
	table := places(t)
	rapid.Check(t, func(t *rapid.T) {
		w := threeRegions()
		by := map[*zones.Endpoint]bool{}
		for _, pool := range w.pools {
			for _, e := range w.members[pool.Pool] {
				by[e] = rapid.Bool().Draw(t, "by name")
			}
			pool.MinHealthy = zones.Share{Percent: zones.Percent(rapid.IntRange(0, 100).Draw(t, "min"))}
			for _, target := range []string{"region/" + pool.Region, "pool/" + pool.Pool, "endpoint/" + pool.Pool +
				"/lb-1"} {
				w.words[target] = rapid.SampledFrom([]zones.Word{"", zones.Drain, zones.Up, zones.Down}).Draw(t, target)
			}
		}
		w.byName(func(e *zones.Endpoint) bool { return by[e] })
		for _, pool := range w.pools {
			for _, e := range w.members[pool.Pool] {
				if by[e] && rapid.Bool().Draw(t, "never resolved") {
					w.names[e.Hostname] = Resolution{Failing: true}
				} else if by[e] && rapid.Bool().Draw(t, "failing") {
					r := w.names[e.Hostname]
					r.Failing = true
					w.names[e.Hostname] = r
				}
			}
		}
		p, err := NewCompiler(table).Policy(randomPolicy(t, w), w.refer())
		if err != nil {
			t.Fatal(err)
		}
		verdict := func(target health.Target) health.State {
			return health.State(target.Address.As16()[15] % 3)
		}
		v := NewView(w.program(), Sight{State: verdict}, nil)
		client := randomClient(t)
		req := Request{Client: client, Random: rapid.Uint64().Draw(t, "dice"), Now: now.Unix() +
			int64(rapid.IntRange(-1000, 1000).Draw(t, "after"))}
		families := []Family{V4, V6}
		if p.Alias {
			families = append(families, Name)
		}
		for _, req.Family = range families {
			var d, other Decision
			req.Client = client
			p.Decide(v, &req, &d)
			switch {
			case d.Unresolved:
				if d.Count != 0 || req.Family == Name {
					t.Fatalf("unresolved, with %d answers of family %d", d.Count, req.Family)
				}
				lost := d
				req.Family = Name
				if p.Decide(v, &req, &lost); lost.Count != 1 || lost.Target() == "" {
					t.Fatalf("nothing resolved, and no name either: %+v", lost)
				}
				continue
			case d.Count == 0:
				t.Fatalf("family %d: no answer", req.Family)
			case req.Family == Name:
				if d.Count != 1 || d.Target() == "" || d.Bound != p.TTL {
					t.Fatalf("%+v", d)
				}
			case d.Bound < 1 || d.Bound > p.TTL:
				t.Fatalf("TTL %d where the policy's is %d", d.Bound, p.TTL)
			}
			if d.TTL != p.TTL || d.Type != types[req.Family] { // what names the RRset does not move with the clock
				t.Fatalf("family %d: an RRset of type %s and TTL %d, where the policy's is %d", req.Family, d.Type,
					d.TTL, p.TTL)
			}
			for range 5 {
				req.Client = neighbour(t, client, int(d.Scope))
				p.Decide(v, &req, &other)
				if other.Rule != d.Rule || other.Pool != d.Pool || string(other.Data) != string(d.Data) ||
					other.Target() != d.Target() || other.Bound != d.Bound {
					t.Fatalf("%s and %s within /%d differ: %v %v", client, req.Client, d.Scope, d, other)
				}
			}
			if x := p.Explain(v, &req); len(x.Addresses) != d.Count && x.Target == "" || x.TTL != d.Bound {
				t.Fatalf("explained as %+v, decided %+v", x, d)
			}
		}
	})
}

func TestTTLIsBoundByBothSides(t *testing.T) {
	w := threeRegions()
	w.byName(everyone)
	p := compile(t, nil, w, &zones.Policy{
		Name: "example.test", TTL: zones.Duration(40 * time.Second),
		Pick: zones.PickAll, Rules: []zones.Rule{{Failover: steps("www-eu")}},
	})
	for _, c := range []struct {
		left    time.Duration // TTL left of the first endpoint's name; the others have a minute
		failing bool
		want    uint32
	}{
		{time.Minute, false, 40},
		{41 * time.Second, false, 40},
		{39 * time.Second, false, 39},
		{time.Second, false, 1},
		{0, false, 1},
		{-time.Hour, false, 1},
		{10 * time.Second, true, 10},
		{-time.Hour, true, StaleTTL},
		{math.MaxInt64 / 2, false, 40},
	} {
		name := "lb-1.www-eu.cloud.example"
		r := w.names[name]
		r.Expires, r.Failing = now.Add(c.left), c.failing
		w.names[name] = r
		var d Decision
		p.Decide(NewView(w.program(), Sight{State: allUp}, nil),
			&Request{Client: netip.MustParseAddr("2.1.2.3"), Now: now.Unix()}, &d)
		if d.Bound != c.want || d.Count != 3 {
			t.Errorf("%v left, failing %v: TTL %d of %d addresses, want %d", c.left, c.failing, d.Bound, d.Count,
				c.want)
		}
	}
}

// TestNamesShareClients: weights and stickiness hold for hostnames as for addresses.
func TestNamesShareClients(t *testing.T) {
	w := threeRegions()
	w.byName(everyone)
	heavy := 300
	w.members["www-eu"][0].Weight = &heavy
	v := NewView(w.program(), Sight{State: allUp}, nil)
	for _, pick := range []zones.Pick{zones.PickWeighted, zones.PickSticky, zones.PickAll} {
		p := compile(t, nil, w, &zones.Policy{
			Name: "www.example.test", Pick: pick, Answers: 3,
			Rules: []zones.Rule{{Failover: steps("www-eu")}},
		})
		counts := map[string]int{}
		var d Decision
		const clients = 20000
		for i := range clients {
			client := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
			p.Decide(v, &Request{Client: client, Family: Name, Random: mix(uint64(i))}, &d)
			counts[d.Target().String()]++
			if pick == zones.PickSticky && d.Scope != 24 {
				t.Fatalf("scope /%d", d.Scope)
			}
		}
		for name, want := range map[string]float64{"lb-1": .6, "lb-2": .2, "lb-3": .2} {
			if got := float64(counts[name+".www-eu.cloud.example"]) / clients; math.Abs(got-want) > .02 {
				t.Errorf("pick %s: %s has %.3f of the clients, want %.3f", pick, name, got, want)
			}
		}
	}
}

// A hostname is up as long as one of its addresses is. It leaves the answers of both families address by address.
func TestHealthOfAName(t *testing.T) {
	w := threeRegions()
	w.byName(everyone)
	p := compile(t, nil, w, &zones.Policy{
		Name: "www.example.test", Pick: zones.PickAll,
		Rules: []zones.Rule{{Failover: steps("www-eu")}},
	})
	program := w.program()
	targets := program.assignmentsForTest()
	if !slices.Contains(targets, health.Target{Endpoint: "www-eu/lb-1", Address: netip.MustParseAddr("192.0.2.1")}) {
		t.Fatalf("its addresses are not probed: %v", targets)
	}
	six := func(target health.Target) health.State {
		if target.Endpoint == "www-eu/lb-1" && target.Address.Is4() {
			return health.Down
		}
		return health.Up
	}
	for _, c := range []struct {
		verdict       func(health.Target) health.State
		a, aaaa, name int
	}{
		{allUp, 3, 3, 3},
		{six, 2, 3, 3},
		{down("www-eu/lb-1"), 2, 2, 2},
	} {
		v := NewView(program, Sight{State: c.verdict}, nil)
		s := v.Pools()[0]
		var four, aaaa Decision
		p.Decide(v, &Request{Client: netip.MustParseAddr("2.1.2.3"), Family: V4}, &four)
		p.Decide(v, &Request{Client: netip.MustParseAddr("2.1.2.3"), Family: V6}, &aaaa)
		if four.Count != c.a || aaaa.Count != c.aaaa || s.IPv4.Healthy != c.a || s.IPv6.Healthy != c.aaaa ||
			s.Names.Healthy != c.name {
			t.Errorf("%d A, %d AAAA, %+v; want %+v", four.Count, aaaa.Count, s, c)
		}
	}
}

// A hostname that is gone counts as down, whatever probes of its last addresses say, and is answered only if nothing
// else is left.
func TestNameThatIsGone(t *testing.T) {
	w := threeRegions()
	w.byName(everyone)
	gone := func(pool string) {
		for _, e := range w.members[pool] {
			r := w.names[e.Hostname]
			r.Gone = true
			w.names[e.Hostname] = r
		}
	}
	first := w.members["www-eu"][0].Hostname
	r := w.names[first]
	r.Gone = true
	w.names[first] = r
	p := compile(t, nil, w, &zones.Policy{
		Name: "www.example.test", Pick: zones.PickAll,
		Rules: []zones.Rule{{Failover: steps("www-eu", "www-us")}},
	})
	decide := func() (d Decision, s PoolStatus) {
		v := NewView(w.program(), Sight{State: allUp}, nil)
		p.Decide(v, &Request{Client: netip.MustParseAddr("2.1.2.3"), Family: V4}, &d)
		return d, v.Pools()[0]
	}
	if d, s := decide(); d.Count != 2 || s.IPv4.Healthy != 2 || s.Names.Healthy != 2 {
		t.Errorf("with one of three gone: %d addresses, %+v", d.Count, s)
	}
	gone("www-eu")
	if _, s := decide(); s.IPv4.Available || s.Names.Available {
		t.Errorf("with all gone the pool is available: %+v", s)
	}
	gone("www-us")
	if d, _ := decide(); d.Count == 0 {
		t.Error("with everything gone there is no answer")
	}
	w.words["endpoint/www-eu/lb-1"] = zones.Up
	if _, s := decide(); s.IPv4.Healthy != 1 || s.Names.Healthy != 1 {
		t.Errorf("an operator's word does not count: %+v", s)
	}
}

func TestNamesAllocateNothing(t *testing.T) {
	w := threeRegions()
	w.byName(everyone)
	v := NewView(w.program(), Sight{State: allUp}, nil)
	for _, pick := range []zones.Pick{zones.PickWeighted, zones.PickSticky, zones.PickAll} {
		for family := V4; family <= Name; family++ {
			p := compile(t, places(t), w,
				&zones.Policy{
					Name: "www.example.test", Pick: pick, Answers: 2,
					Rules: []zones.Rule{{Nearest: []string{"www-eu", "www-us"}}},
				})
			d, req := new(Decision), &Request{Client: netip.MustParseAddr("2.200.1.1"), Family: family, Now: now.Unix()}
			if n := testing.AllocsPerRun(100, func() { req.Random++; p.Decide(v, req, d) }); n != 0 || d.Count == 0 {
				t.Errorf("pick %s, family %d: %v allocations a decision, %d answers", pick, family, n, d.Count)
			}
		}
	}
}
