package zones

import (
	"bytes"
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

	"leeward/health"
)

func clockAt0() time.Time { return time.Time{} }

func puts(rs []Resource) []Change {
	changes := make([]Change, len(rs))
	for i, r := range rs {
		changes[i] = Change{Key: r.Key(), Resource: r, Revision: int64(i) + 1}
	}
	return changes
}

// aResource draws any good resource of a small world, so that resources meet.
func aResource(t *rapid.T) Resource {
	regions, pools := []string{"eu", "us"}, []string{"a", "b", "c"}
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	some := func(label string, from []string) []string {
		return slices.Clone(rapid.Permutation(from).Draw(t, label)[:rapid.IntRange(1, len(from)).Draw(t, label+"#")])
	}
	spell := func(label string) Duration {
		return Duration(time.Duration(rapid.IntRange(0, 100).Draw(t, label)) * time.Second)
	}
	ttl := func(label string) TTL {
		return rapid.SampledFrom([]TTL{{}, Seconds(0), Seconds(1), Seconds(300)}).Draw(t, label)
	}
	switch rapid.SampledFrom(Kinds[:]).Draw(t, "kind") {
	case KindZone:
		z := &Zone{
			Origin:      pick("origin", "example.test", "sub.example.test", "cat.test"),
			Nameservers: some("ns", []string{"ns1.example.test", "ns.example.net"}), TTL: ttl("ttl"), SOATTL: ttl("soa"), Expire: ttl("expire"),
		}
		if z.Origin == "cat.test" || rapid.IntRange(0, 9).Draw(t, "lists") == 0 {
			members := pick("members", "*", "example.test", "* group a")
			if members == z.Origin {
				members = "*"
			}
			z.Transfer = &Transfer{Members: []string{members}}
		}
		return z
	case KindRecord:
		kind := pick("type", "A", "CNAME", "TXT")
		data := map[string][]string{"A": {"192.0.2.1"}, "CNAME": {"x"}, "TXT": {`"a; b"`, `"<c>"`}}[kind]
		return &Record{Origin: pick("origin", "example.test", "sub.example.test"), Owner: pick("owner", "www", "api", "sub", "a.sub"), Type: kind, TTL: ttl("ttl"), Data: data}
	case KindRegion:
		r := &Region{Region: pick("region", regions...)}
		if rapid.Bool().Draw(t, "placed") {
			lat, lon := rapid.Float64Range(-90, 90).Draw(t, "lat"), rapid.Float64Range(-180, 180).Draw(t, "lon")
			r.Latitude, r.Longitude = &lat, &lon
		}
		return r
	case KindPool:
		return &Pool{
			Pool: pick("pool", pools...), Region: pick("region", regions...), Monitor: pick("monitor", "", "web"),
			MinHealthy: rapid.SampledFrom([]Share{{}, {Percent: 50}, {Count: 2}}).Draw(t, "min"),
		}
	case KindEndpoint:
		weight := rapid.IntRange(0, 3).Draw(t, "weight")
		return &Endpoint{
			Pool: pick("pool", pools...), Endpoint: pick("endpoint", "1", "2"), Weight: &weight,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(rapid.IntRange(1, 3).Draw(t, "address"))})},
		}
	case KindMonitor:
		return &Monitor{Name: "web", Monitor: health.Monitor{
			TCP: &health.TCP{Port: 80}, Fall: rapid.IntRange(0, 50).Draw(t, "fall"), Quorum: health.Quorum(rapid.IntRange(-2, 3).Draw(t, "quorum")),
		}}
	case KindPolicy:
		p := &Policy{Name: pick("name", "www.example.test", "sub.example.test", "a.sub.example.test"), TTL: spell("ttl"), Map: pick("map", "", "m")}
		if rapid.Bool().Draw(t, "conditional") {
			p.Rules = append(p.Rules, Rule{When: &When{Countries: []string{"DE"}}, Failover: []Step{
				{Pools: []WeightedPool{{"a", 5}, {"b", 0}}}, {Pools: []WeightedPool{{"c", 1}}},
			}})
		}
		p.Rules = append(p.Rules, Rule{Nearest: some("nearest", pools), Bias: nil})
		if rapid.Bool().Draw(t, "planned") {
			from := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
			p.Schedule = []Schedule{{From: from, Until: from.Add(time.Hour), Weights: map[string]Percent{p.PoolNames()[0]: 50}}}
		}
		return p
	case KindMap:
		return &Map{Map: "m", Prefixes: map[string][]string{"AS64500": some("regions", regions), "192.0.2.0/24": {"eu"}}}
	default:
		o := &Override{Target: pick("target", "region/eu", "pool/a", "endpoint/a/1"), State: Drain, Reason: pick("reason", "", "<b>&")}
		if rapid.Bool().Draw(t, "expires") {
			until := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
			o.Until = &until
			if rapid.Bool().Draw(t, "drill") {
				from := until.Add(-time.Hour)
				o.From, o.Drill = &from, true
				if o.Target != "endpoint/a/1" {
					o.Ramp = Duration(time.Minute)
				}
			}
		}
		return o
	}
}

func TestDecodeUndoesEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := aResource(t)
		if problems := Validate(r); len(problems) > 0 {
			t.Fatalf("%+v: %v", r, problems)
		}
		value, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(r.Key(), value)
		if err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		if d := cmp.Diff(r, back, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" {
			t.Fatalf("%s: %s", value, d)
		}
		var yaml bytes.Buffer
		if err := WriteYAML(&yaml, []Resource{r}); err != nil {
			t.Fatal(err)
		}
		docs, problems := ReadDocuments("x.yaml", bytes.NewReader(yaml.Bytes()))
		if len(problems) > 0 || len(docs) != 1 || !Same(docs[0].Resource, r) {
			t.Fatalf("%s: %v", yaml.String(), problems)
		}
	})
}

// world resources, each key once.
func someResources(t *rapid.T) []Resource {
	var rs []Resource
	seen := make(map[Key]bool)
	for range rapid.IntRange(1, 30).Draw(t, "n") {
		if r := aResource(t); !seen[r.Key()] {
			seen[r.Key()] = true
			rs = append(rs, r)
		}
	}
	return rs
}

// TestInWhatPartsMakesNoDifference: resources that all are put once come to the same, whether in one list, in several
// batches in order of their revisions, or in a list in any order.
func TestInWhatPartsMakesNoDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := puts(someResources(t))
		parts := NewCatalog(clockAt0)
		for rest := changes; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "part")
			parts.Apply(Batch{Revision: rest[n-1].Revision, Changes: rest[:n]})
			rest = rest[n:]
		}
		whole := NewCatalog(clockAt0)
		whole.Apply(Batch{Revision: int64(len(changes)), Full: true, Changes: rapid.Permutation(changes).Draw(t, "order")})
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

// TestAnyHistory puts, breaks and deletes at random, and holds that the indexes fit what is in service, that problems
// are those that a fresh look finds, and that no policy that had an endpoint is left without one.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		c := NewCatalog(func() time.Time { return now })
		var revision int64
		for range rapid.IntRange(1, 30).Draw(t, "batches") {
			b := Batch{Full: rapid.IntRange(0, 5).Draw(t, "full") == 0}
			for range rapid.IntRange(0, 8).Draw(t, "changes") {
				revision++
				r := aResource(t)
				ch := Change{Key: r.Key(), Revision: revision}
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
				if p, _ := c.Get(KeyOf(KindPolicy, name)).(*Policy); p != nil && !answering(c)[name] {
					t.Fatalf("policy %s has lost its last endpoint\nbatch %+v\nheld %v\nproblems %v", name, b.Changes, c.Held(), c.Problems())
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
	c.Each(KindPolicy, func(r Resource) bool {
		p := r.(*Policy)
		for _, pool := range p.PoolNames() {
			if c.Get(KeyOf(KindPool, pool)) != nil && len(c.EndpointsOf(pool)) > 0 {
				names[p.Name] = true
			}
		}
		return true
	})
	return names
}

// checkDelta holds that a Delta names exactly what changed.
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
	for _, kind := range Kinds {
		c.Each(kind, func(r Resource) bool {
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
			t.Fatalf("%s: %d records at %d owners, want %d at %d", origin, z.records, len(z.owners), f.records, len(f.owners))
		}
	}
	for key, s := range c.slots[KindPolicy] {
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
	// No two in service exclude each other, and the problems are those of a fresh look.
	for _, kind := range Kinds {
		c.Each(kind, func(r Resource) bool {
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
		var want Problems
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

func stamp(problems Problems, key Key, revision int64) Problems {
	for i := range problems {
		problems[i].Key, problems[i].Revision = key, revision
	}
	return problems
}

func TestPackedKeepsSetsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := stateIn("example.test")
		want := make(map[string]*Record)
		for range rapid.IntRange(0, 30).Draw(t, "n") {
			r := &Record{
				Origin: "example.test", Owner: rapid.SampledFrom([]string{"@", "a", "b"}).Draw(t, "owner"),
				Type: rapid.SampledFrom([]string{"A", "TXT", "TYPE65280"}).Draw(t, "type"),
				TTL:  UnpackTTL(rapid.Uint64Range(0, 1<<61).Draw(t, "ttl")),
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

func FuzzDecode(f *testing.F) {
	for _, seed := range []struct{ key, value string }{
		{"zones/example.test", `{"nameservers":["ns1.example.test"],"hostmaster":"a.b@example.test","ttl":"300s"}`},
		{"records/example.test/@/MX", `{"ttl":"1h","data":["10 mail"]}`},
		{"policies/www.example.test", `{"rules":[{"when":{"countries":["DE"]},"failover":[{"a":1,"b":2},"c"]},{"nearest":["a"],"bias":{"a":"5%"}}]}`},
		{"maps/m", `{"prefixes":{"192.0.2.0/24":["eu"],"AS1":["us"]}}`},
		{"monitors/m", `{"https":{"status":200},"quorum":2}`},
		{"endpoints/a/b", `{"addresses":["2001:db8::1"],"weight":0}`},
		{"overrides/region/eu", `{"state":"drain","until":"2026-11-27T00:00:00Z"}`},
		{"pools/a", `{"region":"\u0065u","minHealthy":"50%"}`},
	} {
		f.Add(seed.key, []byte(seed.value))
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		r, err := Decode(Key(key), value)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		if r.Key() != Key(key) {
			t.Errorf("key %q came back as %q", key, r.Key())
		}
		again, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Decode(Key(key), again); err != nil || !Same(r, back) {
			t.Errorf("%s encoded as %s: %v", value, again, err)
		}
	})
}

func FuzzReadDocuments(f *testing.F) {
	f.Add("a.yaml", []byte("kind: Pool\nname: a\nregion: eu\n---\nkind: Region\nname: eu\n"))
	f.Add("a.json", []byte(`[{"kind":"Region","name":"eu"}]`))
	f.Add("a.yaml", []byte("kind: Policy\nname: a.b\nrules: &r [*r]\n"))
	f.Add("a.yaml", []byte("kind: Policy\nname: a.b\nrules:\n  - failover: [{a: 1}, b]\n"))
	f.Fuzz(func(t *testing.T, file string, text []byte) {
		docs, problems := ReadDocuments(file, bytes.NewReader(text))
		for _, p := range problems {
			if p.Message == "" || p.File != file {
				t.Errorf("%+v", p)
			}
		}
		Check(docs, problems...)
		var b bytes.Buffer
		if err := WriteYAML(&b, Resources(docs)); err != nil {
			t.Fatal(err)
		}
		if again, problems := ReadDocuments("again.yaml", bytes.NewReader(b.Bytes())); len(problems) > 0 || len(again) != len(docs) {
			t.Errorf("%d documents written as\n%s\nread as %d: %v", len(docs), b.String(), len(again), problems)
		}
	})
}
