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
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/sourcetest"
)

func clockAt0() time.Time { return time.Time{} }

// someResources draws resources of the world, each key once.
func someResources(t *rapid.T) []zones.Resource {
	var rs []zones.Resource
	seen := make(map[zones.Key]bool)
	for range rapid.IntRange(1, 30).Draw(t, "n") {
		if r := sourcetest.Resource(t); !seen[r.Key()] {
			seen[r.Key()] = true
			rs = append(rs, r)
		}
	}
	return rs
}

// TestInWhatPartsMakesNoDifference: resources that are all put once give the same result in one list, in several
// batches in order of their revisions, or in a list in any order.
func TestInWhatPartsMakesNoDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := sourcetest.Puts(someResources(t))
		parts := New(clockAt0)
		for rest := changes; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "part")
			parts.Apply(zones.Batch{Revision: rest[n-1].Revision, Changes: rest[:n]})
			rest = rest[n:]
		}
		whole := New(clockAt0)
		whole.Apply(zones.Batch{
			Revision: int64(len(changes)), Full: true,
			Changes: rapid.Permutation(changes).Draw(t, "order"),
		})
		if d := cmp.Diff(effectiveOf(parts), effectiveOf(whole)); d != "" {
			t.Fatalf("in parts (-) and as a whole (+): %s\n%v\n%v", d, parts.Problems(), whole.Problems())
		}
		if d := cmp.Diff(parts.Problems().Error(), whole.Problems().Error()); d != "" {
			t.Fatalf("problems in parts (-) and as a whole (+): %s", d)
		}
		checkIndexes(t, parts)
		checkIndexes(t, whole)
	})
}

// TestAnyHistory puts, breaks and deletes at random. The indexes fit what is in service, the problems are those that a
// fresh look finds, and no policy that had an endpoint is left without one.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		c := New(func() time.Time { return now })
		var revision int64
		for range rapid.IntRange(1, 30).Draw(t, "batches") {
			b := zones.Batch{Full: rapid.IntRange(0, 5).Draw(t, "full") == 0}
			for range rapid.IntRange(0, 8).Draw(t, "changes") {
				revision++
				r := sourcetest.Resource(t)
				ch := zones.Change{Key: r.Key(), Revision: revision}
				switch rapid.IntRange(0, 5).Draw(t, "what") {
				case 0:
					ch.Err = fmt.Errorf("broken")
				case 1, 2:
					if b.Full {
						continue
					}
				default:
					ch.Resource = r
				}
				b.Changes = append(b.Changes, ch)
			}
			if b.Full {
				b.Changes = lastOfEach(b.Changes)
			}
			revision++
			b.Revision = revision
			answered := answering(c)
			before := effectiveOf(c)
			d := c.Apply(b)
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
			for name := range answered {
				if p, _ := c.Get(zones.KeyOf(zones.KindPolicy, name)).(*zones.Policy); p != nil && !answering(c)[name] {
					t.Fatalf("policy %s has lost its last endpoint\nbatch %+v\nheld %v\nproblems %v", name, b.Changes,
						c.Held(), c.Problems())
				}
			}
			checkIndexes(t, c)
			if !d.Full {
				checkDelta(t, before, effectiveOf(c), d)
			}
		}
	})
}

func answering(c *Catalog) map[string]bool {
	names := make(map[string]bool)
	c.Each(zones.KindPolicy, func(r zones.Resource) bool {
		p := r.(*zones.Policy)
		for _, pool := range p.PoolNames() {
			if c.Get(zones.KeyOf(zones.KindPool, pool)) != nil && len(c.EndpointsOf(pool)) > 0 {
				names[p.Name] = true
			}
		}
		return true
	})
	return names
}

// checkDelta checks that a Delta names exactly what changed.
func checkDelta(t *rapid.T, before, after []string, d Delta) {
	changed := make(map[string]bool)
	for _, pair := range [][2][]string{{before, after}, {after, before}} {
		for _, line := range pair[0] {
			if !slices.Contains(pair[1], line) {
				kind, rest, _ := strings.Cut(line, " ")
				name, _, _ := strings.Cut(rest, " ")
				changed[kind+" "+name] = true
			}
		}
	}
	named := make(map[string]bool)
	for _, key := range d.Keys {
		named[key.String()] = true
	}
	for line := range changed {
		if !named[line] {
			t.Fatalf("%s has changed and is not in the delta %v", line, d.Keys)
		}
	}
}

// checkIndexes compares a catalog with one that is made anew from what it serves.
func checkIndexes(t *rapid.T, c *Catalog) {
	fresh := newIndex()
	for _, kind := range zones.Kinds {
		c.Each(kind, func(r zones.Resource) bool {
			fresh.put(r.Key(), r, c.VersionOf(r.Key()))
			return true
		})
	}
	for key, v := range c.waiting {
		fresh.wait(key, v)
	}
	if d := cmp.Diff(slices.Sorted(maps.Keys(fresh.strays)), slices.Sorted(maps.Keys(c.strays))); d != "" {
		t.Fatalf("origins with records and without a Zone: %s", d)
	}
	for origin, z := range c.states {
		f := fresh.states[origin]
		if f == nil {
			t.Fatalf("%s: a state that nothing is in", origin)
		}
		if d := cmp.Diff(f.policies, z.policies); d != "" {
			t.Fatalf("policies of %s: %s", origin, d)
		}
		if f.records != z.records || len(f.owners) != len(z.owners) {
			t.Fatalf("%s: %d records at %d owners, want %d at %d", origin, z.records, len(z.owners), f.records,
				len(f.owners))
		}
	}
	for key, s := range c.slots[zones.KindPolicy] {
		if s.home != c.zoneOf(key.Name()) {
			t.Fatalf("the home of %s is %v, want %v", key, s.home, c.zoneOf(key.Name()))
		}
	}
	for origin, z := range c.states {
		if z.stir != (stir{}) {
			t.Fatalf("%s is stirred between batches", origin)
		}
	}
	if d := cmp.Diff(slices.Sorted(maps.Keys(fresh.planned)), slices.Sorted(maps.Keys(c.planned))); d != "" {
		t.Fatalf("policies with a schedule: %s", d)
	}
	if d := cmp.Diff(fresh.homeless, c.homeless); d != "" {
		t.Fatalf("homeless: %s", d)
	}
	if d := cmp.Diff(fresh.referrers, c.referrers); d != "" {
		t.Fatalf("referrers: %s", d)
	}
	if d := cmp.Diff(fresh.shared, c.shared, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Fatalf("shared: %s", d)
	}
	if len(fresh.holders) != len(c.holders) {
		t.Fatalf("%d addresses held, want %d", len(c.holders), len(fresh.holders))
	}
	// No two resources in service exclude each other, and the problems are those of a fresh look.
	for _, kind := range zones.Kinds {
		c.Each(kind, func(r zones.Resource) bool {
			key := r.Key()
			x := c.cross(key, r)
			for _, rival := range x.conflicts {
				if !c.isHeld(rival) && !c.isHeld(key) {
					t.Fatalf("%s and %s are both in service", key, rival)
				}
			}
			return true
		})
	}
	for key, found := range c.problems {
		v := c.waiting[key]
		var want zones.Problems
		switch effective, revision := c.effective(key); {
		case v != nil && v.resource == nil:
			continue
		case v != nil:
			want = stamp(c.cross(key, v.resource).problems, key, v.revision)
		case effective != nil:
			want = stamp(c.cross(key, effective).problems, key, revision)
		}
		if d := cmp.Diff(want.Error(), found.Error()); d != "" {
			t.Fatalf("problems of %s, a fresh look (-) and as kept (+): %s", key, d)
		}
	}
}

func stamp(problems zones.Problems, key zones.Key, revision int64) zones.Problems {
	for i := range problems {
		problems[i].Key, problems[i].Revision = key, revision
	}
	return problems
}

func TestPackedKeepsSetsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := stateIn("example.test")
		want := make(map[string]*zones.Record)
		for range rapid.IntRange(0, 30).Draw(t, "n") {
			r := &zones.Record{
				Origin: "example.test", Owner: rapid.SampledFrom([]string{"@", "a", "b"}).Draw(t, "owner"),
				Type: rapid.SampledFrom([]string{"A", "TXT", "TYPE65280"}).Draw(t, "type"),
				TTL:  zones.UnpackTTL(rapid.Uint64Range(0, 1<<61).Draw(t, "ttl")),
				Data: rapid.SliceOfN(rapid.StringN(0, 300, -1), 1, 4).Draw(t, "data"),
			}
			if rapid.Bool().Draw(t, "remove") {
				if there := want[r.Owner+"/"+r.Type] != nil; z.remove(r.Owner, r.Type) != there {
					t.Fatal("remove says otherwise")
				}
				delete(want, r.Owner+"/"+r.Type)
				continue
			}
			z.set(r, rapid.Int64Range(0, 1<<61).Draw(t, "revision"))
			want[r.Owner+"/"+r.Type] = r
		}
		if z.records != len(want) {
			t.Fatalf("%d records, want %d", z.records, len(want))
		}
		for _, r := range want {
			set, ok := z.owners[r.Owner].find(r.Type)
			if got := set.record("example.test", r.Owner); !ok || !cmp.Equal(got, r) || !set.same(r) {
				t.Fatalf("%+v, want %+v", got, r)
			}
		}
	})
}

func stateIn(origin string) *zoneState {
	x := newIndex()
	return x.state(origin)
}
