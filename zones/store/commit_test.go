package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/etcd"
	"leeward/zones/sourcetest"
)

func ptr[T any](v T) *T { return &v }

func region(name string) *zones.Region {
	return &zones.Region{Region: name, Latitude: ptr(1.0), Longitude: ptr(2.0)}
}

func pool(name string) *zones.Pool { return &zones.Pool{Pool: name, Region: "eu-west"} }

func endpoint(pool, name string, n int) *zones.Endpoint {
	return &zones.Endpoint{
		Pool: pool, Endpoint: name, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})},
	}
}

func policy(name string, pools ...string) *zones.Policy {
	var steps []zones.Step
	for _, p := range pools {
		steps = append(steps, zones.Step{Pools: []zones.WeightedPool{{Pool: p, Weight: 1}}})
	}
	return &zones.Policy{Name: name, Rules: []zones.Rule{{Failover: steps}}}
}

func puts(rs ...zones.Resource) []zones.Edit {
	var es []zones.Edit
	for _, r := range rs {
		es = append(es, zones.Edit{Key: r.Key(), New: r})
	}
	return es
}

func deletes(rs ...zones.Resource) []zones.Edit {
	var es []zones.Edit
	for _, r := range rs {
		es = append(es, zones.Edit{Key: r.Key(), Old: r})
	}
	return es
}

func list(t *testing.T, e *Store) *Listing {
	t.Helper()
	l, err := e.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func commit(t *testing.T, e *Store, base *Listing, p Plan) (Committed, error) {
	t.Helper()
	done, err := e.commit(t.Context(), base, p)
	if err != nil {
		err = e.sofar(done, len(p.Edits), e.Explain(t.Context(), err))
	}
	return done, err
}

// addWord adds one prefix to a map that all writers share.
func addWord(ctx context.Context, e *Store, region zones.Key, writer, i int) error {
	prefix := fmt.Sprintf("10.%d.%d.0/24", writer, i)
	_, err := e.Change(ctx, func(l *Listing) (Plan, error) {
		m := &zones.Map{Map: "words", Prefixes: map[string][]string{}}
		edit := zones.Edit{Key: m.Key(), New: m}
		for _, r := range l.Resources() {
			if was, ok := r.(*zones.Map); ok {
				edit.Old = was
				m.Prefixes = maps.Clone(was.Prefixes)
			}
		}
		m.Prefixes[prefix] = []string{region.Name()}
		return Plan{Edits: []zones.Edit{edit}}, nil
	})
	return err
}

func total(t *testing.T, l *Listing) int {
	t.Helper()
	for _, r := range l.Resources() {
		if m, ok := r.(*zones.Map); ok {
			return len(m.Prefixes)
		}
	}
	return 0
}

// In each case, the first change comes between the listing and the commit of the second. Neither may harm the other.
func TestConflicts(t *testing.T) {
	m := startMember(t)
	eu, us, e1, e2 := pool("eu"), pool("us"), endpoint("eu", "lb-1", 1), endpoint("eu", "lb-2", 2)
	zone := &zones.Zone{Origin: "example.test", Nameservers: []string{"ns1.example.test"}}
	record := func(owner, kind string) *zones.Record {
		return &zones.Record{Origin: "example.test", Owner: owner, Type: kind, Data: []string{"x.example.test."}}
	}
	drain := func(target string) *zones.Override { return &zones.Override{Target: target, State: zones.Drain} }
	for _, c := range []struct {
		name          string
		first, second []zones.Edit
		conflict      bool
	}{
		{"same key", puts(e1), puts(endpoint("eu", "lb-1", 9)), true},
		{"same new key", puts(pool("ap")), puts(pool("ap")), true},
		{"changed key deleted", puts(endpoint("eu", "lb-1", 9)), deletes(e1), true},
		{"deleted key changed", deletes(e1), puts(endpoint("eu", "lb-1", 9)), true},
		{"referred key deleted", deletes(us), puts(policy("x.example.test", "us")), true},
		{"deleted key referred to", puts(policy("x.example.test", "us")), deletes(us), true},
		{"zone deleted under a policy", deletes(zone), puts(policy("x.example.test", "us")), true},
		{"policy put into a deleted zone", puts(policy("x.example.test", "us")), deletes(zone), true},
		{"region deleted under a pool", deletes(region("eu-west")), puts(pool("ap")), true},
		{"endpoint put into a deleted pool", puts(endpoint("us", "lb-1", 3)), deletes(us), true},
		{"last two endpoints of a pool", deletes(e1), deletes(e2), true},
		{"two endpoints of one pool", puts(endpoint("eu", "lb-3", 3)), puts(endpoint("eu", "lb-4", 3)), true},
		{"CNAME beside another type", puts(record("www", "CNAME")), puts(record("www", "TXT")), true},
		{"record beside a policy", puts(policy("www.example.test", "us")), puts(record("www", "A")), true},
		{"policy beside a record", puts(record("www", "A")), puts(policy("www.example.test", "us")), true},
		{"two drains", puts(drain("pool/eu")), puts(drain("pool/us")), true},
		{"drain and deletion", puts(drain("pool/eu")), deletes(us), true},
		{"deletion and drain", deletes(us), puts(drain("pool/eu")), true},
		{"different pools", puts(endpoint("eu", "lb-1", 9)), puts(endpoint("us", "lb-1", 3)), false},
		{"different records", puts(record("a", "A")), puts(record("b", "A")), false},
		{
			"policy and pool that others use", puts(policy("x.example.test", "us")),
			puts(policy("y.example.test", "us")),
			false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := dial(t, func(o *etcd.Options) { o.Prefix = "/" + strings.ReplaceAll(c.name, " ", "-") }, m.url())
			if _, err := commit(t, e, list(t, e),
				Plan{Edits: puts(zone, region("eu-west"), eu, us, e1, e2,
					policy("www2.example.test", "eu"))}); err != nil {
				t.Fatal(err)
			}
			base := list(t, e)
			if _, err := commit(t, e, base, Plan{Edits: c.first, OnPurpose: "delete"}); err != nil {
				t.Fatal(err)
			}
			between := list(t, e)
			done, err := commit(t, e, base, Plan{Edits: c.second, OnPurpose: "delete"})
			if c.conflict != errors.Is(err, etcd.ErrConflict) || !c.conflict && err != nil {
				t.Fatalf("the second one's error is %v, want a conflict: %v", err, c.conflict)
			}
			after := list(t, e)
			if c.conflict && (after.Revision != between.Revision || len(done.Keys) != 0) {
				t.Error("a refused change has changed something")
			}
			if !c.conflict && after.Revision == between.Revision {
				t.Error("nothing was written")
			}
		})
	}
}

// Two writers that change the same resource again and again lose nothing.
func TestChangeLosesNothing(t *testing.T) {
	m := startMember(t)
	const writers, rounds = 4, 15
	var wg sync.WaitGroup
	setup := dial(t, nil, m.url())
	put(t, setup, "regions/eu-west", regionEU)
	for w := range writers {
		e := dial(t, func(o *etcd.Options) { o.Dice = nil }, m.url())
		wg.Go(func() {
			for i := range rounds {
				for {
					err := addWord(t.Context(), e, "regions/eu-west", w, i)
					if err == nil {
						break
					}
					if !errors.Is(err, etcd.ErrConflict) { // its attempts were merely used up
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if got := total(t, list(t, setup)); got != writers*rounds {
		t.Errorf("%d changes are there, want %d", got, writers*rounds)
	}
}

// A commit that etcd takes in one go is one transaction, whatever it relies upon. A larger one is several, in an order
// that leaves no dangling references, and deletes on purpose.
func TestCommitSizes(t *testing.T) {
	if slower > 1 {
		t.Skip("one goroutine, and the largest transactions there are: -race has nothing to find, and takes minutes")
	}
	m := startMember(t)
	const pools = etcd.MostWrites/2 + 100
	var rs, es []zones.Resource
	for i := range pools {
		rs = append(rs, pool(fmt.Sprintf("p%04d", i)))
		es = append(es, endpoint(fmt.Sprintf("p%04d", i), "lb-1", i))
	}
	e := dial(t, nil, m.url())
	put(t, e, "regions/eu-west", regionEU)
	for _, some := range [][]zones.Resource{rs[:128], es[:128], es[:64], rs, es[:129]} {
		done, err := commit(t, e, list(t, e), Plan{Edits: puts(some...)})
		if err != nil || done.Transactions != 1 || len(done.Keys) != len(some) {
			t.Fatalf("%d puts: %d keys in %d transactions, %v", len(some), len(done.Keys), done.Transactions, err)
		}
	}

	// All at once, in the wrong order.
	e = dial(t, func(o *etcd.Options) { o.Prefix = "/all" }, m.url())
	var all []zones.Resource
	for i := range 22 {
		all = append(all, policy(fmt.Sprintf("x%d.example.test", i), fmt.Sprintf("p%04d", i)))
	}
	all = append(append(append(all, es...), rs...), region("eu-west"),
		&zones.Zone{Origin: "example.test", Nameservers: []string{"ns1.example.test"}})
	r := sourcetest.Follow(t, e.Follow)
	r.State(zones.Following, 0)
	seen := 0
	done, err := commit(t, e, list(t, e), Plan{Edits: puts(all...), Progress: func(n, all int) {
		seen = n * 1000 / all
	}})
	if err != nil || done.Transactions < 2 || len(done.Keys) != len(all) || seen != 1000 {
		t.Fatalf("%d keys in %d transactions, progress %d, %v", len(done.Keys), done.Transactions, seen, err)
	}
	r.Revision(done.Revision)
	followedInOrder(t, r)

	before := list(t, e)
	done, err = commit(t, e, before, Plan{Edits: deletes(before.Resources()...), OnPurpose: "delete", By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	r.Revision(done.Revision)
	followedInOrder(t, r)
	for _, b := range r.Batches {
		for _, c := range b.Changes {
			if c.Resource == nil && b.Accepted != b.Revision {
				t.Fatalf("deletion of %s at %d is not accepted (%d)", c.Key, b.Revision, b.Accepted)
			}
		}
	}
	if l := list(t, e); len(l.Changes) != 0 || l.Accepted != done.Revision {
		t.Errorf("%d are left, accepted %d", len(l.Changes), l.Accepted)
	}
}

// followedInOrder checks after every batch that no reference dangles.
func followedInOrder(t *testing.T, r *sourcetest.Reader) {
	t.Helper()
	r.Mu.Lock()
	defer r.Mu.Unlock()
	have := map[zones.Key]zones.Resource{}
	for _, b := range r.Batches {
		for _, c := range b.Changes {
			if have[c.Key] = c.Resource; c.Resource == nil {
				delete(have, c.Key)
			}
		}
		for k, res := range have {
			p := newPremises()
			p.put(res, &Listing{})
			for ref := range p.keys {
				if ref.Kind() != zones.KindPolicy && ref.Kind() != zones.KindDefaults &&
					ref != etcd.Accepted && have[ref] == nil {
					t.Fatalf("at revision %d, %s refers to %s, which is not there", b.Revision, k, ref)
				}
			}
		}
	}
}

// Records with too many octets for one transaction are split.
func TestCommitRecords(t *testing.T) {
	m := startMember(t)
	e := dial(t, nil, m.url())
	var rs []zones.Resource
	long := strings.Repeat("x", 250)
	for i := range 300 {
		rs = append(rs, &zones.Record{
			Origin: "example.test", Owner: fmt.Sprintf("h%d", i%100),
			Type: []string{"TXT", "A", "MX"}[i/100], Data: []string{long},
		})
	}
	rs = append(rs, &zones.Zone{Origin: "example.test", Nameservers: []string{"ns1.example.test"}})
	done, err := commit(t, e, list(t, e), Plan{Edits: puts(rs...)})
	if err != nil || len(done.Keys) != len(rs) {
		t.Fatalf("%d keys, %v", len(done.Keys), err)
	}
	var big []zones.Resource
	for i := range 20 {
		big = append(big, &zones.Record{
			Origin: "example.test", Owner: fmt.Sprintf("big%d", i), Type: "TXT",
			Data: []string{strings.Repeat(long, 800)},
		})
	}
	done, err = commit(t, e, list(t, e), Plan{Edits: puts(big...)})
	if err != nil || done.Transactions < 3 || len(done.Keys) != 20 {
		t.Fatalf("%d keys in %d transactions, %v", len(done.Keys), done.Transactions, err)
	}
}

// A commit of several transactions that is disturbed midway says what it has done, and Change does the rest.
func TestCommitMidway(t *testing.T) {
	if slower > 1 {
		t.Skip("one goroutine, and the largest transactions there are: -race has nothing to find, and takes minutes")
	}
	m := startMember(t)
	e := dial(t, nil, m.url())
	other := dial(t, nil, m.url())
	put(t, e, "regions/eu-west", regionEU)
	var rs []zones.Resource
	const pools = etcd.MostWrites + 300
	for i := range pools {
		rs = append(rs, pool(fmt.Sprintf("p%04d", i)))
	}
	disturbed := false
	disturb := func(done, all int) {
		if !disturbed && done < all {
			disturbed = true
			put(t, other, "regions/eu-west", `{"latitude":9,"longitude":9}`)
		}
	}
	done, err := commit(t, e, list(t, e), Plan{Edits: puts(rs...), Progress: disturb})
	if !errors.Is(err, etcd.ErrConflict) || len(done.Keys) == 0 || len(done.Keys) == len(rs) ||
		!strings.Contains(err.Error(), fmt.Sprintf("%d of %d changes are made", len(done.Keys), pools)) {
		t.Fatalf("%d keys: %v", len(done.Keys), err)
	}
	disturbed = false
	const more = pools + etcd.MostWrites
	for i := range etcd.MostWrites {
		rs = append(rs, pool(fmt.Sprintf("q%04d", i)))
	}
	done, err = e.Change(t.Context(), func(l *Listing) (Plan, error) {
		edits, _ := zones.Diff(l.Resources(), append([]zones.Resource{region("eu-west")}, rs...))
		return Plan{Edits: edits, Progress: disturb}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if l := list(t, e); len(l.Changes) != more+1 || !disturbed {
		t.Errorf("%d resources, want %d; disturbed %v", len(l.Changes), more+1, disturbed)
	}
}

// An override with a lease ends by itself. One that is put again without a lease stays.
func TestLease(t *testing.T) {
	m := startMember(t)
	e := dial(t, nil, m.url())
	r := sourcetest.Follow(t, e.Follow)
	r.State(zones.Following, 0)
	o := &zones.Override{Target: "pool/eu", State: zones.Drain}
	done, err := commit(t, e, list(t, e),
		Plan{Edits: puts(o), Leases: map[zones.Key]time.Duration{o.Key(): time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	if l := list(t, e); l.Leases[o.Key()] == 0 {
		t.Error("no lease")
	}
	r.Revision(done.Revision)
	r.Until("the override's end", func() bool { return len(r.Have) == 0 })

	// A conflict gives the lease back.
	base := list(t, e)
	put(t, e, "overrides/pool/us", `{"state":"drain"}`)
	if _, err := commit(t, e, base,
		Plan{Edits: puts(o), Leases: map[zones.Key]time.Duration{o.Key(): time.Hour}}); !errors.Is(err,
		etcd.ErrConflict) {
		t.Fatal(err)
	}
	leases, err := e.Client.Leases(t.Context())
	if err != nil || len(leases.Leases) != 0 {
		t.Errorf("leases %v, %v", leases.Leases, err)
	}
}
