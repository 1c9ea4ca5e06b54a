package steer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/gaissmai/bart"
	"pgregory.net/rapid"

	"leeward/geo"
	"leeward/health"
	"leeward/zones"
)

// world is a small configuration for tests.
type world struct {
	regions map[string]*zones.Region
	pools   []*zones.Pool
	members map[string][]*zones.Endpoint
	maps    map[string]*zones.Map
	words   map[string]zones.Word
	leaving map[string]*zones.Override
	names   map[string]Resolution // of endpoints by hostname
}

func (w *world) resolve(hostname string) Resolution { return w.names[hostname] }

func (w *world) program() *Program {
	p := &Program{}
	for i, pool := range w.pools {
		var monitor *health.Monitor
		if pool.Monitor != "" {
			monitor = &health.Monitor{}
		}
		p.Pools = append(p.Pools, NewPool(int32(i), pool, w.members[pool.Pool], monitor,
			func(target string) zones.Word { return w.words[target] },
			func(target string) *zones.Override { return w.leaving[target] }, w.resolve, nil))
	}
	return p
}

func (w *world) refer() World {
	names := []string{}
	for n := range w.regions {
		names = append(names, n)
	}
	slices.Sort(names)
	return World{
		Pool: func(name string) (int32, *zones.Pool) {
			i := slices.IndexFunc(w.pools, func(p *zones.Pool) bool { return p.Pool == name })
			if i < 0 {
				return -1, nil
			}
			return int32(i), w.pools[i]
		},
		Region: func(name string) (int32, *zones.Region) { return int32(slices.Index(names, name)), w.regions[name] },
		Map:    func(name string) *zones.Map { return w.maps[name] },
		Aliases: func(pool string) bool {
			return !slices.ContainsFunc(w.members[pool], func(e *zones.Endpoint) bool {
				return e.Hostname == "" || e.Flatten
			})
		},
	}
}

// at is a region with coordinates.
func at(lat, lon float64) *zones.Region { return &zones.Region{Latitude: &lat, Longitude: &lon} }

// threeRegions has a monitored pool of three endpoints with both families in each of eu, us and ap.
func threeRegions() *world {
	w := &world{
		regions: map[string]*zones.Region{"eu": at(53, -6), "us": at(39, -77), "ap": at(1, 103)},
		members: map[string][]*zones.Endpoint{}, maps: map[string]*zones.Map{}, words: map[string]zones.Word{},
	}
	for i, region := range []string{"eu", "us", "ap"} {
		pool := "www-" + region
		w.pools = append(w.pools, &zones.Pool{Pool: pool, Region: region, Monitor: "web"})
		for k := range 3 {
			weight := 100
			w.members[pool] = append(w.members[pool], &zones.Endpoint{
				Pool: pool, Endpoint: fmt.Sprintf("lb-%d", k+1), Weight: &weight,
				Addresses: []netip.Addr{
					netip.AddrFrom4([4]byte{192, 0, 2, byte(10*i + k + 1)}),
					netip.MustParseAddr(fmt.Sprintf("2001:db8::%d:%d", i+1, k+1)),
				},
			})
		}
	}
	return w
}

// places is a geo table of a few networks.
func places(t testing.TB) *geo.Table {
	var networks []geo.Network
	add := func(prefix, continent, country string, lat, lon float64, asn uint32) {
		n := geo.Network{Prefix: netip.MustParsePrefix(prefix), ASN: asn}
		if country != "" {
			n.Location = geo.Location{
				Continent: continent, Country: country, Latitude: lat, Longitude: lon,
				HasPoint: true,
			}
		}
		networks = append(networks, n)
	}
	add("2.0.0.0/9", "EU", "DE", 52.5, 13.4, 64500)
	add("2.128.0.0/9", "EU", "FR", 48.8, 2.3, 64501)
	add("3.0.0.0/8", "EU", "DE", 52.5, 13.4, 64501)
	add("8.0.0.0/8", "NA", "US", 40, -100, 64502)
	add("9.1.0.0/16", "AS", "SG", 1.3, 103.8, 64503)
	add("2001:db8:1::/48", "EU", "DE", 52.5, 13.4, 64500)
	add("2001:db8:2::/48", "NA", "US", 40, -100, 64502)
	table, err := geo.Compile(networks)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func compile(t testing.TB, table *geo.Table, w *world, p *zones.Policy) *Policy {
	out, err := NewCompiler(table).Policy(p, w.refer())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func steps(pools ...string) (ss []zones.Step) {
	for _, p := range pools {
		ss = append(ss, zones.Step{Pools: []zones.WeightedPool{{Pool: p, Weight: 1}}})
	}
	return ss
}

func allUp(health.Target) health.State { return health.Up }

// down returns verdicts by which the named endpoints are down.
func down(endpoints ...string) func(health.Target) health.State {
	return func(t health.Target) health.State {
		if slices.Contains(endpoints, t.Endpoint) {
			return health.Down
		}
		return health.Up
	}
}

func TestRunsAgreeWithCounting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20000).Draw(t, "leaves")
		sparse := rapid.SampledFrom([]int{1, 3, 70, 5000, 1 << 20}).Draw(t, "one change in")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		outcome := make([]uint32, n)
		for i := 1; i < n; i++ {
			outcome[i] = outcome[i-1]
			if rng.IntN(sparse) == 0 {
				outcome[i]++
			}
		}
		r := newRuns(n, func(leaf uint32) uint32 { return outcome[leaf] })
		for range 50 {
			leaf := uint32(rng.IntN(n))
			first, next := leaf, leaf+1
			for first > 0 && outcome[first-1] == outcome[leaf] {
				first--
			}
			for int(next) < n && outcome[next] == outcome[leaf] {
				next++
			}
			if f, x := r.around(leaf); f != first || x != next {
				t.Fatalf("around(%d) of %d = %d, %d; want %d, %d", leaf, n, f, x, first, next)
			}
		}
	})
}

func TestPrefixesAgreeWithLongestMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table bart.Table[int32]
		for range rapid.IntRange(1, 20).Draw(t, "prefixes") {
			a := netip.AddrFrom4([4]byte{
				byte(rapid.IntRange(0, 3).Draw(t, "a")),
				byte(rapid.IntRange(0, 255).Draw(t, "b")), 0, 0,
			})
			table.Insert(netip.PrefixFrom(a, rapid.IntRange(0, 16).Draw(t, "bits")).Masked(),
				int32(rapid.IntRange(0, 3).Draw(t, "value")))
		}
		p := areasOf(&table)
		for range 50 {
			a := netip.AddrFrom4([4]byte{
				byte(rapid.IntRange(0, 4).Draw(t, "x")),
				byte(rapid.IntRange(0, 255).Draw(t, "y")), 7, 7,
			})
			want := uint16(0)
			if v, ok := table.Lookup(a); ok {
				want = uint16(v + 1)
			}
			got, scope := p.At(a)
			if got != want {
				t.Fatalf("%s: %d, want %d", a, got, want)
			}
			for range 5 {
				b := neighbour(t, a, int(scope))
				if v, s := p.At(b); v != got || s > scope {
					t.Fatalf("%s within %s/%d: %d, want %d (scope /%d)", b, a, scope, v, got, s)
				}
			}
			if scope > 0 { // one bit less would be wrong
				shorter, _ := a.Prefix(int(scope) - 1)
				same := true
				for x := range 5 {
					for y := range 256 {
						b := netip.AddrFrom4([4]byte{byte(x), byte(y), 7, 7})
						v, _ := p.At(b)
						same = same && (!shorter.Contains(b) || v == got)
					}
				}
				last := netip.AddrFrom4([4]byte{255, 255, 255, 255})
				if v, _ := p.At(last); same && scope <= 16 && (!shorter.Contains(last) || v == got) &&
					shorter.Bits() >= 5 {
					t.Fatalf("%s: scope /%d, /%d would do", a, scope, shorter.Bits())
				}
			}
		}
	})
}

// randomPolicy draws a policy over threeRegions with any of the features.
func randomPolicy(t *rapid.T, w *world) *zones.Policy {
	p := &zones.Policy{Name: "www.example.test", Answers: rapid.IntRange(1, 3).Draw(t, "answers")}
	p.Pick = rapid.SampledFrom([]zones.Pick{zones.PickWeighted, zones.PickSticky, zones.PickAll}).Draw(t, "pick")
	pools := []string{"www-eu", "www-us", "www-ap"}
	some := func(label string, from []string) (out []string) {
		for _, x := range from {
			if rapid.Bool().Draw(t, label+" "+x) {
				out = append(out, x)
			}
		}
		return out
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "rules") {
		var r zones.Rule
		order := rapid.Permutation(pools).Draw(t, "order")[:rapid.IntRange(1, 3).Draw(t, "pools")]
		if rapid.Bool().Draw(t, "nearest") {
			r.Nearest = order
			r.Bias = map[string]zones.Percent{order[0]: zones.Percent(rapid.IntRange(-90, 90).Draw(t, "bias"))}
		} else {
			r.Failover = randomSteps(t, order)
		}
		if i < 3 && rapid.IntRange(0, 4).Draw(t, "conditional") > 0 {
			r.When = &zones.When{
				Continents: some("continent", []string{"EU", "NA"}),
				Countries:  some("country", []string{"DE", "SG"}),
			}
			if rapid.Bool().Draw(t, "asn") {
				r.When.ASNs = []uint32{64501}
			}
			if rapid.Bool().Draw(t, "prefix") {
				r.When.Prefixes = []netip.Prefix{
					netip.MustParsePrefix("2.64.0.0/11"),
					netip.MustParsePrefix("2001:db8:1:8000::/50"),
				}
			}
		}
		p.Rules = append(p.Rules, r)
	}
	if rapid.Bool().Draw(t, "map") {
		w.maps["m"] = &zones.Map{Map: "m", Prefixes: map[string][]string{
			"2.0.0.0/12": {"ap"}, "2.0.1.0/24": {"us", "eu"}, "AS64502": {"ap"}, "2001:db8:1:ff00::/56": {"us"},
		}}
		p.Map = "m"
	}
	return p
}

// randomSteps draws steps of one or several pools, of any weights including 0.
func randomSteps(t *rapid.T, pools []string) (ss []zones.Step) {
	for len(pools) > 0 {
		n := rapid.IntRange(1, len(pools)).Draw(t, "pools of the step")
		var s zones.Step
		for _, pool := range pools[:n] {
			s.Pools = append(s.Pools, zones.WeightedPool{
				Pool:   pool,
				Weight: rapid.SampledFrom([]int{0, 1, 1, 3}).Draw(t, "weight of "+pool),
			})
		}
		ss, pools = append(ss, s), pools[n:]
	}
	return ss
}

// randomTroubles draws weights including 0, hostnames, overrides of all kinds, and verdicts.
func randomTroubles(t *rapid.T, w *world) (verdict func(health.Target) health.State) {
	calm := rapid.Bool().Draw(t, "calm")
	word := func(target string) {
		if !calm {
			w.words[target] = rapid.SampledFrom([]zones.Word{"", "", "", zones.Drain, zones.Up, zones.Down}).Draw(t,
				target)
		}
	}
	names := rapid.IntRange(0, 2).Draw(t, "by name: none, some, all")
	by := map[*zones.Endpoint]bool{}
	states := map[string]health.State{}
	for _, pool := range w.pools {
		pool.MinHealthy = zones.Share{Percent: zones.Percent(rapid.SampledFrom([]int{0, 0, 50, 100}).Draw(t, "min"))}
		word("region/" + pool.Region)
		word("pool/" + pool.Pool)
		// What chance hardly ever brings: the endpoint with a weight is down and the standbys are not; all are drained
		// one by one.
		plot := rapid.SampledFrom([]string{"", "", "standbys", "drained"}).Draw(t, "plot")
		for i, e := range w.members[pool.Pool] {
			weight := rapid.SampledFrom([]int{0, 1, 100}).Draw(t, "weight of "+e.ID())
			e.Weight = &weight
			word("endpoint/" + e.ID())
			switch plot {
			case "standbys":
				weight = min(1, i) ^ 1
				w.words["endpoint/"+e.ID()] = map[bool]zones.Word{true: zones.Down, false: ""}[i == 0]
			case "drained":
				w.words["endpoint/"+e.ID()] = zones.Drain
			}
			by[e] = names == 2 || names == 1 && rapid.Bool().Draw(t, e.ID()+" by name")
			for _, a := range e.Addresses {
				if !calm {
					states[a.String()] = rapid.SampledFrom([]health.State{
						health.Unknown, health.Up,
						health.Down,
					}).Draw(t, a.String())
				}
			}
		}
	}
	w.byName(func(e *zones.Endpoint) bool { return by[e] })
	return func(target health.Target) health.State { return states[target.Address.String()] }
}

func randomClient(t *rapid.T) netip.Addr {
	if rapid.Bool().Draw(t, "v4") {
		return netip.AddrFrom4([4]byte{
			rapid.SampledFrom([]byte{1, 2, 3, 8, 9}).Draw(t, "a"), rapid.Byte().Draw(t, "b"), rapid.Byte().Draw(t, "c"),
			rapid.Byte().Draw(t, "d"),
		})
	}
	b := netip.MustParseAddr("2001:db8::1").As16()
	b[5], b[6], b[7] = rapid.ByteRange(0, 3).Draw(t, "site"), rapid.Byte().Draw(t, "x"), rapid.Byte().Draw(t, "y")
	return netip.AddrFrom16(b)
}

// neighbour draws an address that shares the first bits of a.
func neighbour(t *rapid.T, a netip.Addr, bits int) netip.Addr {
	raw := a.AsSlice()
	for i := bits; i < len(raw)*8; i++ {
		raw[i/8] &^= 0x80 >> (i % 8)
		if rapid.Bool().Draw(t, "bit") {
			raw[i/8] |= 0x80 >> (i % 8)
		}
	}
	out, _ := netip.AddrFromSlice(raw)
	return out
}

// Within a decision's scope every client gets the same decision for the same random number, whatever the pick, the
// weights, the overrides and the health.
func TestScopeHolds(t *testing.T) {
	table := places(t)
	rapid.Check(t, func(t *rapid.T) {
		w := threeRegions()
		verdict := randomTroubles(t, w)
		source := randomPolicy(t, w)
		four := false // some pools have no IPv6
		for _, pool := range w.pools {
			if four = rapid.IntRange(0, 3).Draw(t, "no IPv6") == 0 || four; four {
				for _, e := range w.members[pool.Pool] {
					e.Addresses = e.Addresses[:min(1, len(e.Addresses))]
				}
			}
		}
		if len(source.Rules) > 1 && rapid.IntRange(0, 3).Draw(t, "says") == 0 {
			source.Rules[0] = zones.Rule{
				When:   &zones.When{Countries: []string{"DE"}, ASNs: []uint32{64502}},
				Answer: zones.AnswerNXDomain,
			}
			source.WhenAllDown = rapid.SampledFrom([]zones.Answer{"", zones.AnswerNoData, zones.AnswerServFail}).Draw(t,
				"when all down")
		}
		c := NewCompiler(table)
		if rapid.Bool().Draw(t, "no areas") {
			c.areas = 0
		}
		if rapid.Bool().Draw(t, "no runs") {
			c.budget = 0
		}
		p, err := c.Policy(source, w.refer())
		if err != nil {
			t.Fatal(err)
		}
		v := NewView(w.program(), Sight{State: verdict}, nil)
		a := randomClient(t)
		req := Request{
			Client: a, Family: Family(rapid.IntRange(0, 1).Draw(t, "family")),
			Random: rapid.Uint64().Draw(t, "dice"), Now: now.Unix(),
		}
		if p.Alias {
			req.Family = Name
		}
		var d, other Decision
		p.Decide(v, &req, &d)
		if d.Count == 0 && d.Says == SaysAddresses && !(four && req.Family == V6) {
			t.Fatal("no answer")
		}
		for range 10 {
			req.Client = neighbour(t, a, int(d.Scope))
			p.Decide(v, &req, &other)
			if d.Count > 0 && other.Rule != d.Rule || other.Pool != d.Pool ||
				string(other.Data) != string(d.Data) || other.Target() != d.Target() ||
				other.Bound != d.Bound || other.FailOpen != d.FailOpen || other.Says != d.Says {
				t.Fatalf("%s and %s within /%d differ: %v %s, %v %s", a, req.Client, d.Scope, d.Data, d.Target(),
					other.Data, other.Target())
			}
			if other.Scope > d.Scope {
				t.Fatalf("%s says scope /%d, %s within it says /%d", a, d.Scope, req.Client, other.Scope)
			}
		}
		if x := p.Explain(v, &req); x.Scope != other.Scope || x.Target == "" && len(x.Addresses) != other.Count {
			t.Fatalf("explained as %+v, decided %+v", x, other)
		}
	})
}

// If a sticky pick has a single choice, the client does not matter. A standby that would come in is not a choice.
func TestStickyScope(t *testing.T) {
	for _, c := range []struct {
		name    string
		weights [3]int
		down    []string
		rules   []zones.Step
		want    uint8
	}{
		{"three", [3]int{100, 100, 100}, nil, steps("www-eu", "www-us"), 24},
		{"one and standbys", [3]int{100, 0, 0}, nil, steps("www-eu", "www-us"), 0},
		{"its standbys answer", [3]int{100, 0, 0}, []string{"www-eu/lb-1"}, steps("www-eu", "www-us"), 24},
		{
			"all fail open, one has weight",
			[3]int{100, 0, 0},
			[]string{"www-eu/lb-1", "www-eu/lb-2", "www-eu/lb-3"},
			steps("www-eu"), 0,
		},
		{"one is left", [3]int{100, 100, 0}, []string{"www-eu/lb-1"}, steps("www-eu"), 0},
		{
			"a step of two pools",
			[3]int{100, 0, 0},
			nil,
			[]zones.Step{{Pools: []zones.WeightedPool{{Pool: "www-eu", Weight: 1}, {Pool: "www-us", Weight: 1}}}},
			24,
		},
		{
			"a step of one and a spare",
			[3]int{100, 0, 0},
			nil,
			[]zones.Step{{Pools: []zones.WeightedPool{{Pool: "www-eu", Weight: 1}, {Pool: "www-us", Weight: 0}}}},
			0,
		},
	} {
		w := threeRegions()
		for i, e := range w.members["www-eu"] {
			e.Weight = &c.weights[i]
		}
		p := compile(t, nil, w, &zones.Policy{
			Name: "www.example.test", Pick: zones.PickSticky,
			Rules: []zones.Rule{{Failover: c.rules}},
		})
		var d Decision
		if p.Decide(NewView(w.program(), Sight{State: down(c.down...)}, nil),
			&Request{Client: netip.MustParseAddr("2.1.2.3")}, &d); d.Scope != c.want {
			t.Errorf("%s: scope /%d, want /%d", c.name, d.Scope, c.want)
		}
	}
}

// Failing open leaves out what is drained as long as anything is not, however the drain was written.
func TestFailOpenLeavesOutWhatIsDrained(t *testing.T) {
	table := places(t)
	rapid.Check(t, func(t *rapid.T) {
		w := threeRegions()
		randomTroubles(t, w)
		p, err := NewCompiler(table).Policy(randomPolicy(t, w), w.refer())
		if err != nil {
			t.Fatal(err)
		}
		allDown := rapid.Bool().Draw(t, "all down")
		verdict := func(target health.Target) health.State {
			if allDown || rapid.Bool().Draw(t, target.Address.String()) {
				return health.Down
			}
			return health.Up
		}
		program := w.program()
		req := Request{
			Client: randomClient(t), Family: Family(rapid.IntRange(0, 1).Draw(t, "family")),
			Random: rapid.Uint64().Draw(t, "dice"), Now: now.Unix(),
		}
		if p.Alias {
			req.Family = Name
		}
		var d Decision
		p.Decide(NewView(program, Sight{State: verdict}, nil), &req, &d)

		rules := p.source.Rules // whose pools the client may get: all rules if none holds
		if d.Rule >= 0 {
			rules = rules[d.Rule : d.Rule+1]
		}
		drained, left := map[string]bool{}, false // by address or hostname
		for _, r := range rules {
			for _, name := range r.PoolNames() {
				for _, e := range w.members[name] {
					out := slices.ContainsFunc([]string{"region/" + name[len("www-"):], "pool/" + name, "endpoint/" +
						e.ID()}, func(target string) bool {
						return w.words[target] == zones.Drain
					})
					left = left || !out
					if out {
						drained[e.Hostname] = true
						for _, a := range append(e.Addresses, w.names[e.Hostname].Addresses...) {
							drained[a.String()] = true
						}
					}
				}
			}
		}
		if !left {
			return
		}
		if d.Target() != "" && drained[d.Target().String()] {
			t.Fatalf("%s is drained, others are not", d.Target())
		}
		for at := 0; at < len(d.Data); at += len(d.Data) / d.Count {
			if a, _ := netip.AddrFromSlice(d.Data[at : at+len(d.Data)/d.Count]); drained[a.String()] {
				t.Fatalf("%s is drained, others are not", a)
			}
		}
	})
}

// If only the location decides, the scope is the shortest possible.
func TestScopeIsTheShortest(t *testing.T) {
	table, w := places(t), threeRegions()
	v := NewView(w.program(), Sight{State: allUp}, nil)
	p := compile(t, table, w, &zones.Policy{Name: "www.example.test", Rules: []zones.Rule{
		{When: &zones.When{Continents: []string{"EU"}}, Failover: steps("www-eu")},
		{Failover: steps("www-us")},
	}})
	for client, want := range map[string]uint8{
		"2.1.2.3":           7, // 2.0.0.0/9, 2.128.0.0/9 and 3.0.0.0/8 are all in Europe
		"3.1.2.3":           7,
		"8.1.2.3":           5, // 8.0.0.0 to 15.255.255.255: elsewhere and unknown have the same outcome
		"4.1.2.3":           6,
		"2001:db8:1::1":     48,
		"2001:db8:2::1":     47,
		"fe80::1":           1,
		"::ffff:2.1.2.3":    7,
		"255.255.255.255":   1,
		"2001:db8:1:ffff::": 48,
	} {
		var d Decision
		p.Decide(v, &Request{Client: netip.MustParseAddr(client)}, &d)
		if d.Scope != want {
			t.Errorf("client %s: scope /%d, want /%d", client, d.Scope, want)
		}
	}
}

func TestClientDoesNotMatter(t *testing.T) {
	w := threeRegions()
	p := compile(t, places(t), w,
		&zones.Policy{Name: "www.example.test", Rules: []zones.Rule{{Failover: steps("www-eu", "www-us")}}})
	var d Decision
	p.Decide(NewView(w.program(), Sight{State: allUp}, nil), &Request{Client: netip.MustParseAddr("2.1.2.3")}, &d)
	if d.Scope != 0 {
		t.Errorf("scope /%d of an answer that no client changes", d.Scope)
	}
}

// Whatever is down or drained, a name that has endpoints of the family has an answer.
func TestNeverEmpty(t *testing.T) {
	table := places(t)
	rapid.Check(t, func(t *rapid.T) {
		w := threeRegions()
		for _, pool := range w.pools {
			pool.MinHealthy = zones.Share{Percent: zones.Percent(rapid.IntRange(0, 100).Draw(t, "min"))}
			for _, target := range []string{"region/" + pool.Region, "pool/" + pool.Pool, "endpoint/" + pool.Pool +
				"/lb-1"} {
				w.words[target] = rapid.SampledFrom([]zones.Word{"", zones.Drain, zones.Up, zones.Down}).Draw(t, target)
			}
		}
		p, err := NewCompiler(table).Policy(randomPolicy(t, w), w.refer())
		if err != nil {
			t.Fatal(err)
		}
		verdict := func(target health.Target) health.State {
			return rapid.SampledFrom([]health.State{health.Unknown, health.Up, health.Down, health.Down}).Draw(t,
				target.Endpoint)
		}
		var d Decision
		p.Decide(NewView(w.program(), Sight{State: verdict}, nil),
			&Request{Client: randomClient(t), Random: rapid.Uint64().Draw(t, "dice")}, &d)
		if d.Count == 0 {
			t.Fatal("an empty answer")
		}
	})
}

// A View made by Next equals one made from nothing.
func TestViewFromPrevious(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := threeRegions()
		program := w.program()
		states := map[health.Target]health.State{}
		verdict := func(x health.Target) health.State { return states[x] }
		v := NewView(program, Sight{State: verdict}, nil)
		for range 5 {
			var changed []health.Target
			for _, a := range program.assignmentsForTest() {
				if rapid.IntRange(0, 3).Draw(t, "flip") == 0 {
					states[a] = rapid.SampledFrom([]health.State{health.Up, health.Down}).Draw(t, "state")
					changed = append(changed, a)
				}
			}
			v = v.Next(program, Sight{State: verdict}, changed, nil)
			if got, want := fmt.Sprint(v.Pools()), fmt.Sprint(NewView(program, Sight{State: verdict},
				nil).Pools()); got != want {
				t.Fatalf("after %v:\n%s\nwant\n%s", changed, got, want)
			}
		}
	})
}

func (p *Program) assignmentsForTest() (ts []health.Target) {
	for _, a := range p.Assignments() {
		ts = append(ts, a.Target)
	}
	return ts
}

func TestWeightsAreKept(t *testing.T) {
	cs := []candidate{}
	weights := []uint64{1, 0, 70, 29, 100}
	for i, w := range weights {
		cs = append(cs, candidate{
			addr: netip.AddrFrom4([4]byte{byte(i)}), weight: w, seed: mix(uint64(i)),
			endpoint: int32(i),
		})
	}
	tb := newTable(cs)
	rng := rand.New(rand.NewPCG(1, 2))
	const draws = 400000
	for name, pick := range map[string]func() byte{
		"weighted":     func() byte { return tb.draw(nil, 1, rng.Uint64())[0] },
		"sticky":       func() byte { return tb.sticky(nil, 1, rng.Uint64(), tb.weights)[0] },
		"first of two": func() byte { return tb.draw(nil, 2, rng.Uint64())[0] },
	} {
		var got [5]float64
		for range draws {
			got[pick()]++
		}
		for i, w := range weights {
			want := float64(w) / 200 * draws
			if math.Abs(got[i]-want) > 5*math.Sqrt(want)+1 { // five standard deviations
				t.Errorf("%s: candidate %d of weight %d was picked %.0f times, want about %.0f", name, i, w, got[i],
					want)
			}
		}
	}
}

func TestDrawsDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var cs []candidate
		n := rapid.IntRange(1, 12).Draw(t, "candidates")
		for i := range n {
			cs = append(cs, candidate{
				addr:   netip.AddrFrom4([4]byte{byte(i)}),
				weight: uint64(rapid.SampledFrom([]int{1, 5, 1e6}).Draw(t, "weight")), seed: uint64(i),
			})
		}
		want := rapid.IntRange(1, n).Draw(t, "answers")
		got := newTable(cs).draw(nil, want, rapid.Uint64().Draw(t, "dice"))
		seen := map[byte]bool{}
		for i := 0; i < len(got); i += 4 {
			seen[got[i]] = true
		}
		if len(seen) != want {
			t.Fatalf("%d different of %d", len(seen), want)
		}
	})
}

// Losing an endpoint moves that endpoint's clients and no others.
func TestStickyMovesOnlyItsShare(t *testing.T) {
	w := threeRegions()
	p := compile(t, nil, w, &zones.Policy{
		Name: "www.example.test", Pick: zones.PickSticky,
		Rules: []zones.Rule{{Failover: steps("www-eu", "www-us")}},
	})
	program := w.program()
	before, after := NewView(program, Sight{State: allUp}, nil), NewView(program, Sight{State: down("www-eu/lb-2")},
		nil)
	moved := 0
	for i := range 5000 {
		client := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 9})
		var a, b, six Decision
		p.Decide(before, &Request{Client: client, Random: uint64(i)}, &a)
		p.Decide(after, &Request{Client: client, Random: ^uint64(i)}, &b)
		p.Decide(before, &Request{Client: client, Family: V6}, &six)
		if a.Data[3] != six.Data[15] {
			t.Fatalf("%s: A and AAAA name different endpoints: %v, %v", client, a.Data, six.Data)
		}
		if a.Scope != 24 {
			t.Fatalf("%s: scope /%d of a sticky answer", client, a.Scope)
		}
		if string(a.Data) == string(b.Data) {
			continue
		}
		moved++
		if a.Data[3] != 2 {
			t.Fatalf("%s moved from %v to %v although its endpoint stayed", client, a.Data, b.Data)
		}
	}
	if moved < 5000/4 || moved > 5000/2 {
		t.Errorf("%d of 5000 clients moved, want about a third", moved)
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	table, w := places(t), threeRegions()
	w.maps["m"] = &zones.Map{Map: "m", Prefixes: map[string][]string{"2.0.0.0/12": {"ap"}, "AS64502": {"ap"}}}
	v := NewView(w.program(), Sight{State: allUp}, nil)
	for _, pick := range []zones.Pick{zones.PickWeighted, zones.PickSticky, zones.PickAll} {
		p := compile(t, table, w, &zones.Policy{
			Name: "www.example.test", Pick: pick, Answers: 2, Map: "m",
			Rules: []zones.Rule{
				{When: &zones.When{Countries: []string{"US"}, ASNs: []uint32{64503}}, Failover: steps("www-us")},
				{Nearest: []string{"www-eu", "www-us", "www-ap"}},
			},
		})
		d, req := new(Decision), &Request{Client: netip.MustParseAddr("2.200.1.1")}
		if n := testing.AllocsPerRun(100, func() { req.Random++; p.Decide(v, req, d) }); n != 0 {
			t.Errorf("pick %s: %v allocations a decision", pick, n)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	table, w := places(b), threeRegions()
	v := NewView(w.program(), Sight{State: allUp}, nil)
	for name, p := range map[string]*zones.Policy{
		"failover": {Rules: []zones.Rule{{Failover: steps("www-eu", "www-us")}}},
		"country": {Rules: []zones.Rule{
			{When: &zones.When{Countries: []string{"US"}}, Failover: steps("www-us")}, {Failover: steps("www-eu")},
		}},
		"nearest": {Rules: []zones.Rule{{Nearest: []string{"www-eu", "www-us", "www-ap"}}}},
		"sticky":  {Pick: zones.PickSticky, Rules: []zones.Rule{{Failover: steps("www-eu")}}},
	} {
		compiled := compile(b, table, w, p)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			d, req := new(Decision), &Request{Client: netip.MustParseAddr("8.8.8.8")}
			for b.Loop() {
				req.Random += 0x9e3779b97f4a7c15
				compiled.Decide(v, req, d)
			}
		})
	}
}
