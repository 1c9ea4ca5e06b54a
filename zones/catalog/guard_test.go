package catalog

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/sourcetest"
)

// aHolding draws a resource of a world in which policies share pools. So a policy that gets an endpoint back frees what
// is held for others.
func aHolding(t *rapid.T) zones.Resource {
	pools := []string{"a", "b", "c", "d", "e"}
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		return &zones.Zone{
			Origin:      pick("origin", "example.test", "sub.example.test"),
			Nameservers: []string{"ns.example.net"},
		}
	case 1:
		return &zones.Record{
			Origin: "example.test", Owner: pick("owner", "www", "x", "y"), Type: "A",
			Data: []string{"192.0.2.1"},
		}
	case 2:
		return &zones.Region{Region: pick("region", "eu", "us")}
	case 3, 4:
		return &zones.Pool{Pool: pick("pool", pools...), Region: pick("region", "eu", "us")}
	case 5, 6:
		some := rapid.Permutation(pools).Draw(t, "pools")[:rapid.IntRange(1, 3).Draw(t, "#")]
		return &zones.Policy{
			Name:  pick("name", "www.example.test", "p.example.test", "q.sub.example.test"),
			Rules: []zones.Rule{{Nearest: some}},
		}
	default:
		return &zones.Endpoint{
			Pool: pick("pool", pools...), Endpoint: pick("endpoint", "1", "2"),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(rapid.IntRange(1, 9).Draw(t, "address"))})},
		}
	}
}

// TestGuardJudgesAsIfByHand compares two judges. One goes through many removals once, and looks again only at what has
// changed nearby. The other asks every rule about every removal.
func TestGuardJudgesAsIfByHand(t *testing.T) {
	met := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		c := New(func() time.Time { return now })
		twin := New(func() time.Time { return now }) // it judges everything again with every batch
		draw := rapid.SampledFrom([]func(*rapid.T) zones.Resource{aHolding, aHolding, sourcetest.Resource}).Draw(t,
			"world")
		var revision int64
		for range rapid.IntRange(1, 40).Draw(t, "batches") {
			b := zones.Batch{Accepted: c.accepted}
			for range rapid.IntRange(0, 6).Draw(t, "changes") {
				revision++
				r := draw(t)
				ch := zones.Change{Key: r.Key(), Revision: revision}
				if rapid.IntRange(0, 2).Draw(t, "put") > 0 || c.count() < guardLeast {
					ch.Resource = r
				}
				b.Changes = append(b.Changes, ch)
			}
			revision++
			b.Revision = revision
			switch held := c.Held(); rapid.IntRange(0, 9).Draw(t, "word") {
			case 0:
				b.Accepted = revision
			case 1:
				if len(held) > 0 {
					b.AcceptedKeys = map[zones.Key]int64{rapid.SampledFrom(held).Draw(t, "accepted").Key: revision}
				}
			case 2:
				b.Doubted = true
			}
			for key, h := range twin.held.by {
				if h.why.forPolicy {
					twin.held.again[sparedUnder(key)] = struct{}{}
				}
			}
			before := sparedOf(c)
			c.Apply(b)
			twin.Apply(b)
			if d := cmp.Diff(effectiveOf(twin), effectiveOf(c)); d != "" {
				t.Fatalf("in service if all is judged again (-), and what has changed (+): %s", d)
			}
			if d := cmp.Diff(twin.Held(), c.Held()); d != "" {
				t.Fatalf("held if all is judged again (-), and what has changed (+): %s", d)
			}
			for key := range before {
				if b.Accepted != revision && b.AcceptedKeys == nil && c.Get(key) == nil {
					met["let go"]++
				}
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)

			checkHeld(t, c)
			freed(t, c, met)
			judged(t, c, met)
		}
	})
	t.Logf("of what was drawn: %v", met) // rare cases need not be among them
	for _, what := range []string{"judged", "held"} {
		if met[what] == 0 {
			t.Errorf("nothing was ever %s", what)
		}
	}
}

// checkHeld checks the list of what is held against what is held, and that an acceptance has left nothing behind.
func checkHeld(t *rapid.T, c *Catalog) {
	var want []Held
	for _, key := range slices.Sorted(maps.Keys(c.held.by)) {
		b := c.held.by[key]
		want = append(want, Held{key, b.why.text, b.revision})
		if b.revision <= c.accepted || c.isGranted(key) {
			t.Fatalf("%s has been accepted", key)
		}
		if c.Get(key) == nil {
			t.Fatalf("%s is held and not in service", key)
		}
		if _, is := c.held.spared[sparedUnder(key)][key]; is != b.why.forPolicy {
			t.Fatalf("%s is among the spared: %v, want %v", key, is, b.why.forPolicy)
		}
	}
	if d := cmp.Diff(fmt.Sprint(want), fmt.Sprint(c.Held())); d != "" {
		t.Fatalf("held (-) and as listed (+): %s", d)
	}
}

// sparedOf returns what is held for the sake of a policy.
func sparedOf(c *Catalog) map[zones.Key]bool {
	all := map[zones.Key]bool{}
	for _, keys := range c.held.spared {
		for key := range keys {
			all[key] = true
		}
	}
	return all
}

// freed judges everything again that is held for the sake of a policy, and compares the result with what relent would
// let go.
func freed(t *rapid.T, c *Catalog, met map[string]int) {
	var all []removal
	for _, key := range slices.Sorted(maps.Keys(c.held.by)) {
		if b := c.held.by[key]; b.why.forPolicy {
			all = append(all, removal{key, b.revision})
		}
	}
	met["spared"] += len(all)
	plain := newPlainSuspicion(c, all)
	plain.policies()
	plain.closure()
	var want []zones.Key
	for _, r := range all {
		if plain.why[r.key] == nil {
			want = append(want, r.key)
		}
	}
	again := maps.Clone(c.held.again)
	some := c.unsettled()
	c.held.again = again
	met["not looked at"] += len(all) - len(some)
	g := newSuspicion(c, some)
	g.policies()
	g.closure()
	var got []zones.Key
	for _, r := range g.free() {
		got = append(got, r.key)
	}
	if !slices.Equal(want, got) {
		t.Fatalf("all judged again lets go %v, what has changed lets go %v\nspared %v\nchanged %v", want, got,
			c.held.spared, again)
	}
}

// judged lets both judges look at any removals.
func judged(t *rapid.T, c *Catalog, met map[string]int) {
	var gone []removal
	share := rapid.IntRange(1, 9).Draw(t, "gone")
	for _, kind := range zones.Kinds {
		c.Each(kind, func(r zones.Resource) bool {
			if key := r.Key(); rapid.IntRange(0, 9).Draw(t, string(key)) < share {
				gone = append(gone, removal{key, c.revision})
			}
			return true
		})
	}
	slices.SortFunc(gone, func(a, b removal) int { return strings.Compare(string(a.key), string(b.key)) })
	plain, g := newPlainSuspicion(c, gone), newSuspicion(c, gone)
	plain.judge()
	g.judge()
	for i, r := range gone {
		met["judged"]++
		want, got := plain.why[r.key], g.why[i]
		if (want == nil) != (got == nil) || want != nil && *want != *got {
			t.Fatalf("%s of %v: by hand %+v, got %+v", r.key, gone, want, got)
		}
		if got != nil {
			met["held"]++
		}
	}
}

// TestWhatIsHeldMakesRoom: a resource cannot be served beside another one, whose removal comes later. Once the guard
// would hold that removal, the newer resource takes its place instead, as on a server that starts now.
func TestWhatIsHeldMakesRoom(t *testing.T) {
	c := New(clockAt0)
	a := func(owner string) *zones.Record {
		return &zones.Record{Origin: "example.test", Owner: owner, Type: "A", Data: []string{"192.0.2.1"}}
	}
	batch := zones.Batch{
		Revision: 1, Full: true,
		Changes: sourcetest.Puts([]zones.Resource{&zones.Zone{
			Origin:      "example.test",
			Nameservers: []string{"ns.example.net"},
		}}),
	}
	for i := range 20 {
		batch.Changes = append(batch.Changes, zones.Change{
			Key:      a(fmt.Sprint("h", i)).Key(),
			Resource: a(fmt.Sprint("h", i)), Revision: 1,
		})
	}
	c.Apply(batch)
	alias := &zones.Record{Origin: "example.test", Owner: "h3", Type: "CNAME", Data: []string{"x"}}
	c.Apply(zones.Batch{Revision: 2, Changes: []zones.Change{{Key: alias.Key(), Resource: alias, Revision: 2}}})
	if c.Get(alias.Key()) != nil {
		t.Fatal("the alias is in service beside an address")
	}
	var gone []zones.Change
	for i := range 20 {
		gone = append(gone, zones.Change{Key: a(fmt.Sprint("h", i)).Key(), Revision: 3})
	}
	d := c.Apply(zones.Batch{Revision: 3, Changes: gone})
	if d.Held == nil || d.Held.Key != "records/example.test/h0/A" || c.HeldCount() != 19 || c.Get(alias.Key()) == nil {
		t.Errorf("held %d, the first %v, the alias %v", c.HeldCount(), d.Held, c.Get(alias.Key()))
	}
}

// TestHeldAndPutAgain: the removal of a policy is held. The policy is put again without an answer, together with a
// record at its name. It stays in service as it was, and no longer only because of the guard.
func TestHeldAndPutAgain(t *testing.T) {
	c := New(clockAt0)
	c.Apply(batchOf(t, 1, `
{kind: Zone, name: example.test, nameservers: [ns.example.net]}
---
{kind: Region, name: eu}
---
{kind: Pool, name: a, region: eu}
---
{kind: Endpoint, name: a/1, addresses: [192.0.2.1]}
---
{kind: Policy, name: www.example.test, rules: [{nearest: [a]}]}
`))
	c.Apply(zones.Batch{Revision: 2, Full: true})
	key := zones.KeyOf(zones.KindPolicy, "www.example.test")
	if !c.isHeld(key) {
		t.Fatalf("nothing is held: %v", c.Held())
	}
	c.Apply(batchOf(t, 3, `
{kind: Policy, name: www.example.test, rules: [{nearest: [b]}]}
---
{kind: Record, name: example.test/www/CNAME, data: [x.example.net]}
`))
	if p, is := c.Get(key).(*zones.Policy); !is || !slices.Equal(p.PoolNames(), []string{"a"}) || c.isHeld(key) {
		t.Errorf("in service is %+v\nheld %v\nproblems %v", c.Get(key), c.Held(), c.Problems())
	}
}
