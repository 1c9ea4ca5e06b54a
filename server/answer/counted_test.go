package answer

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"leeward/geo"
	"leeward/zones"
	"leeward/zones/catalog"
)

// shapes are the forms of policy in TestCountsAreARecount. In each one, the pool that answers does not depend on a
// random draw.
var shapes = []string{
	"rules: [{failover: [www-eu, www-us]}]",
	"rules: [{failover: [www-us, www-eu]}]",
	"rules: [{failover: [www-us]}]",
	"rules: [{when: {prefixes: [203.0.113.0/24]}, failover: [www-us]}, {failover: [www-eu, www-us]}]",
	"rules: [{when: {prefixes: [203.0.113.0/24]}, failover: [www-us]}, " +
		"{when: {prefixes: [192.0.2.0/24]}, answer: refused}]",
	"rules: [{when: {prefixes: [203.0.113.0/24]}, answer: nxdomain}, {failover: [www-us]}]",
	"rules: [{when: {prefixes: [198.51.100.0/24]}, failover: [www-eu]}, {failover: [www-us, www-eu]}]",
	"whenAllDown: servfail, rules: [{failover: [www-us, www-eu]}]",
}

// drop deletes a policy.
func (f *fixture) drop(t testing.TB, policy string) {
	t.Helper()
	f.revision++
	delta := f.catalog.Apply(zones.Batch{Revision: f.revision, Meant: true, Changes: []zones.Change{
		{Key: zones.KeyOf(zones.KindPolicy, policy), Revision: f.revision},
	}})
	var problems zones.Problems
	if f.snapshot, problems = f.builder.Update(f.catalog, delta, nil); len(problems) > 0 {
		t.Fatal(problems)
	}
}

// tallied is the key of a plain recount.
type tallied struct {
	policy string
	rule   int
	when   string
	pool   string
}

// The counts equal a plain recount by explanations, whatever changes meanwhile: policies come, change, go and come
// again, cells get new owners, verdicts change, time passes.
func TestCountsAreARecount(t *testing.T) {
	outer := t
	f := newFixture(t)
	names := []string{"www.example.test", "p1.example.test", "p2.example.test", "p3.example.test"}
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_800_000_000, 0)
		for _, name := range names[1:] {
			if f.catalog.Get(zones.KeyOf(zones.KindPolicy, name)) != nil {
				f.drop(outer, name)
			}
		}
		clear(f.down)
		r, err := New(Options{Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		r.Publish(f.state())
		workers := []*Worker{r.newWorker(udp), r.newWorker(tcp), r.newWorker(udp)}
		rows, types, open := map[tallied]uint64{}, map[string]uint64{}, map[string]uint64{}
		// what was asked at an even moment, for rates
		type asked struct {
			at time.Time
			of tallied
		}
		var all []asked
		there := map[string]bool{"www.example.test": true}
		ops := map[string]func(*rapid.T){
			"ask": func(t *rapid.T) {
				name := rapid.SampledFrom(names).Draw(t, "name")
				qtype := rapid.SampledFrom([]uint16{1, 28, 1, 16, 4242}).Draw(t, "type")
				client := rapid.SampledFrom([]string{"203.0.113.7", "198.51.100.7", "192.0.2.7"}).Draw(t, "client")
				w := workers[rapid.IntRange(0, len(workers)-1).Draw(t, "worker")]
				m := question(name+".", qtype)
				request, _ := m.Pack()
				w.Respond(request, netip.MustParseAddr(client), false, make([]byte, 0, 4096))
				w.Flush()
				word := dns.TypeToString[qtype]
				if word == "" {
					word = "other"
				}
				types[word]++
				e, err := Explain(r.state.Load(), name, fmt.Sprintf("TYPE%d", qtype), client)
				if err != nil {
					t.Fatal(err)
				}
				if e.Explanation == nil {
					return
				}
				when := e.When
				if e.Rule < 0 {
					when = "no rule holds"
				}
				of := tallied{e.Policy, e.Rule, when, e.Pool}
				rows[of]++
				all = append(all, asked{now, of})
				if e.FailOpen {
					open[e.Policy]++
				}
			},
			"put": func(t *rapid.T) {
				name := rapid.SampledFrom(names[1:]).Draw(t, "name")
				shape := rapid.SampledFrom(shapes).Draw(t, "shape")
				f.apply(outer, fmt.Sprintf("{kind: Policy, name: %s, %s}", name, shape))
				there[name] = true
				r.Publish(f.state())
			},
			"drop": func(t *rapid.T) {
				if name := rapid.SampledFrom(names[1:]).Draw(t, "name"); there[name] {
					f.drop(outer, name)
					there[name] = false
					r.Publish(f.state())
				}
			},
			"turn": func(t *rapid.T) {
				f.down["lb-1"] = rapid.Bool().Draw(t, "down")
				f.down["lb-2"] = f.down["lb-1"] && rapid.Bool().Draw(t, "all")
				r.Publish(f.state())
			},
			"wait": func(t *rapid.T) {
				for range rapid.SampledFrom([]int{1, 2, 6, 25}).Draw(t, "samples") {
					now = now.Add(sampleEvery)
					r.sample(now)
				}
				now = now.Add(time.Second)
			},
			"": func(t *rapid.T) {
				c := r.Counts("", 1000)
				got, recent := map[tallied]uint64{}, [2]map[tallied]uint64{{}, {}}
				for _, p := range c.Policies {
					if p.FailOpen.Total != open[p.Policy] {
						t.Fatalf("%s failed open %d times, counted are %d", p.Policy, open[p.Policy], p.FailOpen.Total)
					}
					for _, rule := range p.Rules {
						for _, pool := range rule.Pools {
							of := tallied{p.Policy, rule.Rule, rule.When, pool.Pool}
							if pool.Total > 0 {
								got[of] = pool.Total
							}
							for i, n := range []uint64{pool.LastMinute, pool.LastFiveMinutes} {
								if n > 0 {
									recent[i][of] = n
								}
							}
						}
					}
				}
				if d := cmp.Diff(rows, got, cmp.AllowUnexported(tallied{})); d != "" {
					t.Fatalf("by policy, rule and pool (- asked, + counted):\n%s", d)
				}
				for i, least := range []float64{60, 300} {
					want := map[tallied]uint64{}
					since := now.Add(-time.Duration(c.Windows[i] * float64(time.Second)))
					if now.Sub(r.made).Seconds() > least && c.Windows[i] < least {
						t.Fatalf("window %d goes back %v s", i, c.Windows[i])
					}
					for _, a := range all {
						if a.at.After(since) || since.Equal(r.made) {
							want[a.of]++
						}
					}
					if d := cmp.Diff(want, recent[i], cmp.AllowUnexported(tallied{})); d != "" {
						t.Fatalf("within window %d (- asked, + counted):\n%s", i, d)
					}
				}
				gotTypes := map[string]uint64{}
				for _, n := range c.Types {
					gotTypes[n.Type] = n.Total
				}
				if d := cmp.Diff(types, gotTypes); d != "" {
					t.Fatalf("by type (- asked, + counted):\n%s", d)
				}
				if c.Uncounted.Total != 0 {
					t.Fatalf("%d are in no row", c.Uncounted.Total)
				}
				pools, sum := map[string]uint64{}, uint64(0)
				for of, n := range rows {
					if sum += n; of.pool != "" {
						pools[of.pool] += n
					}
				}
				for _, p := range c.Pools {
					if pools[p.Pool] != p.Total {
						t.Fatalf("pool %s: asked %d, counted %d", p.Pool, pools[p.Pool], p.Total)
					}
				}
				if c.Steered.Total != sum {
					t.Fatalf("steered %d, counted %d", sum, c.Steered.Total)
				}
				// Counts of a part equal that part of all counts.
				part := *c
				part.Policies = []PolicyCount{}
				if d := cmp.Diff(&part, r.PoolCounts(1000)); d != "" {
					t.Fatalf("of pools alone (- in all):\n%s", d)
				}
				for _, of := range []string{"www-us", "www-eu", names[0], names[1], "nothing"} {
					part.Policies = slices.DeleteFunc(slices.Clone(c.Policies), func(p PolicyCount) bool {
						return p.Policy != of && !slices.ContainsFunc(p.Rules, func(r RuleCount) bool {
							return slices.ContainsFunc(r.Pools, func(n PoolCount) bool { return n.Pool == of })
						})
					})
					var whole, alone []string
					for _, p := range part.Policies {
						whole = append(whole, p.Policy)
					}
					for _, p := range r.Counts(of, 1000).Policies {
						alone = append(alone, p.Policy)
					}
					slices.Sort(whole) // their rows count other answers, so their order may differ
					slices.Sort(alone)
					if d := cmp.Diff(whole, alone); d != "" {
						t.Fatalf("policies of %s (- in all):\n%s", of, d)
					}
				}
			},
		}
		t.Repeat(ops)
	})
}

// Without room for a policy, its answers are still counted, but have no row of their own.
func TestCountsWithoutRoom(t *testing.T) {
	f := newFixture(t)
	r := newResponder(t)
	r.ledger = ledger{next: mostCells - 2}
	r.Publish(f.state())
	w := r.newWorker(udp)
	q, err := readInquiry("dig www.example.test. A")
	if err != nil {
		t.Fatal(err)
	}
	ask(t, w, q)
	w.Flush()
	c := r.Counts("", 10)
	if c.Uncounted.Total != 1 || c.Steered.Total != 1 || len(c.Policies) != 0 {
		t.Errorf("counts: %+v", c)
	}
}

// A list has as many rows as was asked for, and can be about one policy or pool alone.
func TestCountsNarrow(t *testing.T) {
	f := newFixture(t)
	for i := range 5 {
		f.apply(t, fmt.Sprintf("{kind: Policy, name: n%d.example.test, rules: [{failover: [www-%s]}]}", i,
			[]string{"eu", "us"}[i%2]))
	}
	r := newResponder(t)
	r.Publish(f.state())
	w := r.newWorker(udp)
	for i := range 5 {
		for range i + 1 {
			q, _ := readInquiry(fmt.Sprintf("dig n%d.example.test. A", i))
			ask(t, w, q)
		}
	}
	w.Flush()
	c := r.Counts("", 2)
	if len(c.Policies) != 2 || c.Policies[0].Policy != "n4.example.test" || c.Left.Policies < 4 {
		t.Errorf("two of all: %+v", c)
	}
	c = r.Counts("www-us", 10)
	var names []string
	for _, p := range c.Policies {
		if p.Total > 0 {
			names = append(names, p.Policy)
		}
	}
	if slices.Sort(names); fmt.Sprint(names) != "[n1.example.test n3.example.test]" || len(c.Pools) != 1 ||
		c.Pools[0].Total != 6 {
		t.Errorf("of www-us: %v, %+v", names, c.Pools)
	}
	if c = r.Counts("n1.example.test", 10); len(c.Policies) != 1 || c.Policies[0].Total != 2 {
		t.Errorf("of n1: %+v", c)
	}
	if _, err := json.Marshal(c); err != nil {
		t.Error(err)
	}
}

// Clients are counted by the country of the address that a policy goes by: the subnet's if there is one, or else the
// resolver's.
func TestCountsByCountry(t *testing.T) {
	table, err := geo.Open(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	f.builder.CountCountries()
	f.snapshot, _ = f.builder.Update(f.catalog, catalog.Delta{}, table)
	r := newResponder(t)
	r.Publish(f.state())
	w := r.newWorker(udp)
	country := func(a netip.Addr) string { return table.Locations()[table.LocationOf(table.Locate(a))].Country }
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string]uint64{}
	for i := range 3000 {
		resolver := netip.AddrFrom4([4]byte{byte(random.Uint32()), byte(random.Uint32()), 3, 4})
		q, err := readInquiry("dig www.example.test. A client=" + resolver.String())
		of := resolver
		switch i % 4 {
		case 1:
			of = netip.AddrFrom4([4]byte{byte(random.Uint32()), byte(random.Uint32()), 5, 0})
			q, err = readInquiry("dig www.example.test. A client=" + resolver.String() + " ecs=" + of.String() + "/24")
		case 2:
			q, err = readInquiry("dig www.example.test. A client=" + resolver.String() + " ecs=10.1.2.0/24")
		case 3:
			q, err = readInquiry("dig mail.example.test. A client=" + resolver.String())
		}
		if err != nil {
			t.Fatal(err)
		}
		ask(t, w, q)
		if of.IsPrivate() {
			of = resolver
		}
		if i%4 != 3 {
			want[country(of)]++
		}
	}
	w.Flush()
	got := map[string]uint64{}
	for _, c := range r.Counts("", 10).Countries {
		got[c.Country] = c.Total
	}
	if d := cmp.Diff(want, got); d != "" || len(got) < 50 {
		t.Errorf("(- asked, + counted)\n%s", d)
	}
	request, _ := question("www.example.test.", dns.TypeA).Pack()
	client, out := netip.MustParseAddr("203.0.113.9"), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { w.Respond(request, client, false, out) }); n != 0 {
		t.Errorf("%v allocations a query", n)
	}
}
