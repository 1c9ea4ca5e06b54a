package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/document"
	"leeward/zones/sourcetest"
)

// history is the etcd of the model: its keys, the serials that servers keep, and every revision as a batch.
type history struct {
	revision int64
	keys     map[zones.Key]zones.Change
	kept     zones.Serials
	accepted int64
	log      []zones.Batch
}

func newHistory() *history {
	return &history{keys: map[zones.Key]zones.Change{}, kept: zones.Serials{Last: map[string]int64{}}}
}

// write makes one revision.
func (h *history) write(b zones.Batch, changes ...zones.Change) {
	h.revision++
	b.Revision, b.Accepted = h.revision, max(h.accepted, b.Accepted)
	h.accepted = b.Accepted
	for _, ch := range changes {
		if ch.Revision = h.revision; ch.Resource == nil {
			delete(h.keys, ch.Key)
		} else {
			h.keys[ch.Key] = ch
		}
		b.Changes = append(b.Changes, ch)
	}
	if b.Serials != nil {
		h.kept = *h.kept.With(clone(b.Serials))
	}
	h.log = append(h.log, b)
}

func clone(s *zones.Serials) zones.Serials {
	return zones.Serials{Base: s.Base, Last: maps.Clone(s.Last)}
}

// list is a complete list.
func (h *history) list(anew bool) zones.Batch {
	kept := clone(&h.kept)
	b := zones.Batch{Revision: h.revision, Full: true, Accepted: h.accepted, Serials: &kept, Anew: anew}
	if anew {
		b.Accepted = h.revision
	}
	for _, key := range slices.Sorted(maps.Keys(h.keys)) {
		b.Changes = append(b.Changes, h.keys[key])
	}
	return b
}

// follower is a server of the model.
type follower struct {
	c    *Catalog
	of   *history
	next int // in its log
}

// contents is what a transfer of each zone would hold, and more: everything that it is made from.
func contents(c *Catalog) map[string]string {
	all := map[string]string{}
	c.Each(zones.KindZone, func(r zones.Resource) bool {
		origin := r.(*zones.Zone).Origin
		var lines []string
		say := func(r zones.Resource) {
			if r != nil {
				value, err := zones.Encode(r)
				if err != nil {
					panic(err)
				}
				lines = append(lines, string(r.Key())+" "+string(value))
			}
		}
		if say(r); r.(*zones.Zone).Lists() {
			for _, l := range c.Members(r.(*zones.Zone)) {
				lines = append(lines, fmt.Sprint("member ", l.Origin, l.Group))
			}
		}
		c.Each(zones.KindZone, func(r zones.Resource) bool {
			for _, domain := range r.(*zones.Zone).Signals() {
				var nearest *zones.Zone
				c.Each(zones.KindZone, func(r zones.Resource) bool {
					z := r.(*zones.Zone)
					if zones.Under(domain, z.Origin) && (nearest == nil || zones.Under(z.Origin, nearest.Origin)) {
						nearest = z
					}
					return true
				})
				if nearest != nil && nearest.Origin == origin && nearest.Vouches() {
					say(r)
				}
			}
			return true
		})
		c.EachRecord(origin, func(r *zones.Record) bool { say(r); return true })
		for _, p := range c.PoliciesIn(origin) {
			say(p)
			for _, pool := range p.PoolNames() {
				if p, ok := c.Get(zones.KeyOf(zones.KindPool, pool)).(*zones.Pool); ok {
					say(p)
				}
				for _, e := range c.EndpointsOf(pool) {
					say(e)
				}
			}
		}
		slices.Sort(lines)
		all[origin] = strings.Join(slices.Compact(lines), "\n")
		return true
	})
	return all
}

// versions returns every effective resource with its revision.
func versions(c *Catalog) (all []string) {
	for _, kind := range zones.Kinds {
		c.Each(kind, func(r zones.Resource) bool {
			all = append(all, fmt.Sprint(r.Key(), "@", c.VersionOf(r.Key())))
			return true
		})
	}
	slices.Sort(all)
	return all
}

// apply applies a batch and checks the serials: they never go back, they move with the content, and the delta names
// those that have moved.
func (f *follower) apply(t *rapid.T, b zones.Batch) {
	before, was := contents(f.c), map[string]uint32{}
	for origin := range before {
		was[origin] = f.c.ZoneSerial(origin)
	}
	b.Changes = slices.Clone(b.Changes)
	d := f.c.Apply(b)
	for origin, now := range contents(f.c) {
		old, known := before[origin]
		serial := f.c.ZoneSerial(origin)
		switch {
		case !known:
		case serial < was[origin]:
			t.Fatalf("serial of %s went back from %d to %d at revision %d", origin, was[origin], serial, b.Revision)
		case old != now && serial == was[origin]:
			t.Fatalf("serial %d of %s did not move at revision %d, with\n%s\nbefore, and now\n%s", serial, origin,
				b.Revision, old, now)
		case serial != was[origin] && !d.Full && !slices.Contains(d.Serials, origin):
			t.Fatalf("serial of %s moved from %d to %d, and the delta names %v", origin, was[origin], serial, d.Serials)
		}
	}
}

// step applies the next revision, and writes to etcd what is due.
func (f *follower) step(t *rapid.T) bool {
	if f.next == len(f.of.log) {
		return false
	}
	f.apply(t, f.of.log[f.next])
	f.next++
	f.pay()
	return true
}

func (f *follower) pay() {
	owed, any := f.c.Owed()
	if !any {
		return
	}
	higher := zones.Serials{Last: map[string]int64{}}
	if owed.Base > f.of.kept.Base {
		higher.Base = owed.Base
	}
	for origin, n := range owed.Last {
		if n > f.of.kept.Last[origin] {
			higher.Last[origin] = n
		}
	}
	if higher.Base > 0 || len(higher.Last) > 0 {
		f.of.write(zones.Batch{Serials: &higher})
	}
}

func (f *follower) lists(t *rapid.T, anew bool) {
	f.apply(t, f.of.list(anew))
	f.next = len(f.of.log)
	f.pay()
}

// copied returns a server that starts from the copy of another.
func (f *follower) copied(t *rapid.T) *follower {
	kept := f.c.Serials()
	b := zones.Batch{Revision: f.c.Revision(), Full: true, Copy: true, Serials: &kept}
	for r := range f.c.Freeze().All() {
		b.Changes = append(b.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: b.Revision})
	}
	g := &follower{c: New(clockAt0), of: f.of}
	g.c.Apply(b)
	for origin := range contents(g.c) {
		if got, want := g.c.ZoneSerial(origin), f.c.ZoneSerial(origin); got != want {
			t.Fatalf("from the copy the serial of %s is %d, not %d", origin, got, want)
		}
	}
	return g
}

// Servers follow one etcd, each at its own pace. They list it again, start from nothing or from a copy, and survive a
// wipe of etcd. All come to the same serials. None ever goes back, or stays when the content changes.
func TestSerialsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := newHistory()
		var servers []*follower
		join := func() {
			f := &follower{c: New(clockAt0), of: now}
			f.lists(t, false)
			servers = append(servers, f)
		}
		join()
		join()
		anyOf := func() *follower { return rapid.SampledFrom(servers).Draw(t, "server") }
		settle := func() {
			for again := true; again; {
				again = false
				for _, f := range servers {
					for f.step(t) {
						again = true
					}
				}
			}
			for _, f := range servers[1:] {
				if !slices.Equal(versions(f.c), versions(servers[0].c)) {
					continue // one of them has kept the last good version of something
				}
				for origin := range contents(f.c) {
					if a, b := servers[0].c.ZoneSerial(origin), f.c.ZoneSerial(origin); a != b {
						t.Fatalf("serials of %s are %d and %d", origin, a, b)
					}
				}
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{
				"put", "put", "put", "put", "delete", "delete", "delete", "follow",
				"follow", "settle", "join", "restart", "list", "accept", "wipe",
			}).Draw(t, "what") {
			case "put":
				r := sourcetest.Resource(t)
				now.write(zones.Batch{}, zones.Change{Key: r.Key(), Resource: r})
			case "delete":
				if len(now.keys) > 0 {
					key := rapid.SampledFrom(slices.Sorted(maps.Keys(now.keys))).Draw(t, "key")
					now.write(zones.Batch{Meant: rapid.Bool().Draw(t, "meant")}, zones.Change{Key: key})
				}
			case "follow":
				f := anyOf()
				for range rapid.IntRange(1, 5).Draw(t, "revisions") {
					f.step(t)
				}
			case "settle":
				settle()
			case "join":
				join()
			case "restart":
				i := rapid.IntRange(0, len(servers)-1).Draw(t, "server")
				servers[i] = servers[i].copied(t)
				servers[i].lists(t, false)
			case "list":
				anyOf().lists(t, false)
			case "accept":
				now.write(zones.Batch{Accepted: now.revision + 1})
			case "wipe":
				next := newHistory()
				next.revision = rapid.Int64Range(0, 2*now.revision).Draw(t, "revision")
				for _, key := range slices.Sorted(maps.Keys(now.keys)) {
					ch := now.keys[key]
					if next.revision > 0 && rapid.Bool().Draw(t, "restored") {
						ch.Revision = rapid.Int64Range(1, next.revision).Draw(t, "of")
						next.keys[ch.Key] = ch
					}
				}
				next.write(zones.Batch{Accepted: next.revision + 1})
				now = next
				for _, f := range servers {
					f.of = now
					f.lists(t, true)
				}
			}
		}
		now.write(zones.Batch{Accepted: now.revision + 1})
		settle()
	})
}

// A policy may be out of service because a record stands at its name. It counts in its zone for servers that knew it in
// a zone below, which is gone, just as for servers that start now.
func TestSerialOfAPolicyThatWaits(t *testing.T) {
	zone := &zones.Zone{Origin: "ex.test", Nameservers: []string{"ns.example.net"}}
	below := &zones.Zone{Origin: "sub.ex.test", Nameservers: []string{"ns.example.net"}}
	record := &zones.Record{Origin: "ex.test", Owner: "sub", Type: "A", Data: []string{"192.0.2.1"}}
	policy := &zones.Policy{Name: "sub.ex.test", Rules: []zones.Rule{{Nearest: []string{"a"}}}}
	list := func(c *Catalog, anew bool, revision int64, rs ...zones.Resource) {
		b := zones.Batch{
			Revision: revision, Full: true, Anew: anew, Accepted: revision,
			Serials: &zones.Serials{Base: 3},
		}
		for i, r := range rs {
			b.Changes = append(b.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: int64(1 + i)})
		}
		c.Apply(b)
	}
	longer, fresh := New(clockAt0), New(clockAt0)
	list(longer, false, 2, zone, below)
	list(fresh, false, 0)
	for _, c := range []*Catalog{longer, fresh} {
		list(c, true, 3, zone, record, policy)
	}
	if a, b := longer.ZoneSerial("ex.test")-uint32(longer.serials.base),
		fresh.ZoneSerial("ex.test")-uint32(fresh.serials.base); a != b || a != 3 {
		t.Errorf("above the base the serials are %d and %d, not 3: %v", a, b, longer.Problems())
	}
}

// A zone that comes from elsewhere goes on from its former serial, and moves with each change like others.
func TestSerialOffset(t *testing.T) {
	w := newWorld(t)
	w.each(site()...)
	w.one(`put Zone example.test {"nameservers":["ns1.example.net"],"serialOffset":2026112601}`)
	before := w.c.ZoneSerial("example.test")
	if want := uint32(2026112601 + w.revision); before != want {
		t.Errorf("serial %d, want %d", before, want)
	}
	w.one(`put Record example.test/neu/A {"data":["192.0.2.1"]}`)
	if got := w.c.ZoneSerial("example.test"); got != before+1 {
		t.Errorf("serial %d after a change, want %d", got, before+1)
	}
}

// 0 is a serial like any other, and not the same as no serial.
func TestSerialOfZero(t *testing.T) {
	docs, problems := document.ReadMaster("example.test.zone", "example.test",
		strings.NewReader("@ 1h SOA ns h 0 2h 15m 2w 5m\n NS ns\n"), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	w := newWorld(t)
	w.c.Apply(zones.Batch{
		Revision: 7, Full: true,
		Changes: []zones.Change{{Key: docs[0].Resource.Key(), Resource: docs[0].Resource, Revision: 7}},
	})
	if serial := w.c.ZoneSerial("example.test"); serial != 0 {
		t.Errorf("0 is served as %d", serial)
	}
	without := *docs[0].Resource.(*zones.Zone)
	without.Serial = nil
	if zones.Same(docs[0].Resource, &without) {
		t.Error("a serial of 0 is taken for none")
	}
}
