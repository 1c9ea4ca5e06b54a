package dnssec

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/zones/rr"
)

// world is what a roll is carried on in: etcd, servers with clocks of their own that hear of etcd late or not at all,
// and a parent whose servers follow CDS when they like. A resolver in it may have any answer of any server from within
// a TTL, and any DS of any server of the parent.
type world struct {
	t     *rapid.T
	keys  *Keys // in etcd
	roll  *Roll
	puts  int
	now   time.Duration // true time
	ttl   time.Duration
	dsTTL time.Duration

	servers []*server
	parents [][][]byte
	asked   [][]byte // what the parent has decided, on its way to its servers
	back    int      // a server of the parent that has an older DS again, until a look has noticed; -1: none
	older   [][]byte // what the parent had before
	seen    []sample
	ds      []dsSample
}

type server struct {
	name    string
	offset  time.Duration // of its clock
	keys    *Keys
	roll    *Roll
	witness *Witness
	started time.Duration
	cut     time.Duration // until when it hears nothing
	word    *Word         // as others see it
	heard   time.Duration // when its word was written
}

type sample struct {
	at   time.Duration
	duty *Duty
}

type dsSample struct {
	at  time.Duration
	all [][]byte
}

func (w *world) clock(s *server) time.Time { return day0.Add(w.now + s.offset) }

// serve lets each server hear of etcd, write its word, and answer.
func (w *world) serve() {
	for _, s := range w.servers {
		if w.now >= s.cut {
			s.keys, s.roll = s.witness.Passed(w.keys, w.roll), w.roll
			s.word, s.heard = nil, w.now
			if !s.roll.Over() {
				s.word = s.witness.Word(s.keys.origin, s.roll, true, w.clock(s), w.now-s.started, w.ttl)
				s.keys = s.witness.Passed(w.keys, w.roll)
			}
		}
		w.seen = append(w.seen, sample{w.now, s.keys.At(w.clock(s))})
	}
	for _, p := range w.parents {
		w.ds = append(w.ds, dsSample{w.now, p})
	}
}

// check checks everything that resolvers may have against everything else.
func (w *world) check() {
	w.seen = slices.DeleteFunc(w.seen, func(s sample) bool { return w.now-s.at >= w.ttl })
	w.ds = slices.DeleteFunc(w.ds, func(s dsSample) bool { return w.now-s.at >= w.dsTTL })
	for _, a := range w.seen {
		for _, b := range w.seen {
			if a.at != w.now && b.at != w.now {
				continue // they were compared before
			}
			if wrong := clash(a.duty, b.duty); len(wrong) > 0 {
				w.t.Fatalf("%v: keys of %v, data of %v: %q; %v", w.now, a.at, b.at, wrong, w.roll)
			}
		}
		for _, d := range w.ds {
			if a.at != w.now && d.at != w.now {
				continue
			}
			for _, ds := range d.all { // at least one of each algorithm (RFC 4035 section 2.2)
				by := Algorithm(ds[2])
				if !slices.ContainsFunc(a.duty.Entry, func(k *Key) bool { return k.algorithm == by && k.In(d.all) }) {
					w.t.Fatalf("%v: no key of algorithm %d in the DS of %v signs the DNSKEY of %v; %v", w.now, by,
						d.at, a.at, w.roll)
				}
				if !slices.ContainsFunc(a.duty.Zone, func(k *Key) bool { return k.algorithm == by }) {
					w.t.Fatalf("%v: the DS of %v has algorithm %d, and data of %v no signature by it; %v", w.now, d.at,
						by, a.at, w.roll)
				}
			}
		}
	}
}

// look lets one server look whether the roll can go on. That may take a while, and what it writes counts only if nobody
// else has written since it read.
func (w *world) look(s *server) {
	if s.roll.Over() || w.now < s.cut {
		return
	}
	var fleet []Said
	for _, o := range w.servers {
		said := Said{Server: o.name, Word: o.word}
		if w.now < o.cut {
			said.Silent = w.now - o.heard + time.Second
		}
		fleet = append(fleet, said)
	}
	read := w.puts
	c, err := s.roll.Carry(s.keys, w.clock(s), w.ttl, fleet, func() (all []ParentDS, _ error) {
		w.back = -1
		for i, p := range w.parents {
			all = append(all, ParentDS{fmt.Sprint(i), p, int(w.dsTTL / time.Second)})
		}
		return all, nil
	})
	if err != nil {
		w.t.Fatalf("%v: %v", w.now, err)
	}
	if !c.Write || read != w.puts {
		return
	}
	w.puts++
	if w.roll = c.Roll; len(c.Changed) > 0 {
		if w.keys, err = w.keys.Merge(c.Changed); err != nil {
			w.t.Fatal(err)
		}
	}
}

// parent reads CDS from one server, and its own servers follow one by one.
func (w *world) parent() {
	s := rapid.SampledFrom(w.servers).Draw(w.t, "asked")
	d := s.keys.At(w.clock(s))
	var all [][]byte
	for _, k := range d.Synced {
		ds, _ := DS(s.keys.origin, k, DigestSHA256)
		all = append(all, ds)
	}
	// CDS must be signed by a key of the parent's DS, and must not break the chain that exists (RFC 7344).
	in := func(all [][]byte) bool {
		return slices.ContainsFunc(d.Entry, func(k *Key) bool { return k.In(all) })
	}
	if len(all) > 0 && in(w.asked) && in(all) {
		if !slices.EqualFunc(w.asked, all, bytes.Equal) {
			w.older = w.asked
		}
		w.asked = all
	}
	// While a step asks for the DS, a server of the parent may return to the former one, for example from an old copy
	// of the zone. Nobody can help it if that happens after all have waited for it.
	if w.roll.Asks() && w.older != nil && w.back < 0 && rapid.IntRange(0, 9).Draw(w.t, "goes back") == 0 {
		w.back = rapid.IntRange(0, len(w.parents)-1).Draw(w.t, "which")
		w.parents[w.back] = w.older
	}
	if w.back >= 0 {
		return
	}
	w.parents[rapid.IntRange(0, len(w.parents)-1).Draw(w.t, "follows")] = w.asked
}

// TestCarry: whatever the TTLs, and whoever looks when, no resolver ever has anything that does not verify, and once
// all is well again the roll comes to its end. Servers are cut off, and restart. One has a clock that is wrong by up to
// two days, or that is set meanwhile. The parent goes back to an older DS. An algorithm may be rolled back afterwards.
func TestCarry(t *testing.T) {
	const tick = 20 * time.Minute
	rapid.Check(t, func(r *rapid.T) {
		ticks := func(name string, least, most int) time.Duration {
			return time.Duration(rapid.IntRange(least, most).Draw(r, name)) * tick
		}
		split := rapid.Bool().Draw(r, "split")
		algorithms := []Algorithm{ECDSAP256, Ed25519}
		if rapid.Bool().Draw(r, "from Ed25519") {
			slices.Reverse(algorithms)
		}
		first, err := First(name(t, "example.test"), algorithms[0], split, day0.Add(-1000*time.Hour))
		if err != nil {
			r.Fatal(err)
		}
		w := &world{t: r, back: -1, ttl: ticks("ttl", 1, 12), dsTTL: ticks("ds ttl", 1, 18)}
		if w.keys, err = NewKeys(first[0].origin, first...); err != nil {
			r.Fatal(err)
		}
		for i := range rapid.IntRange(1, 3).Draw(r, "servers") {
			s := &server{name: fmt.Sprint(i), witness: &Witness{}, keys: w.keys}
			w.servers = append(w.servers, s)
		}
		w.asked = dsOf(t, w.keys, day0)
		for range rapid.IntRange(1, 2).Draw(r, "parents") {
			w.parents = append(w.parents, w.asked)
		}
		wrong := w.servers[rapid.IntRange(0, len(w.servers)-1).Draw(r, "wrong clock")]
		several := len(w.servers) > 1
		if several {
			wrong.offset = ticks("offset", -144, 144)
		}
		kind := rapid.SampledFrom([]string{RollsZSK, RollsEntry, RollsAlgorithm}).Draw(r, "kind")
		rolls := 1
		if kind == RollsAlgorithm {
			rolls = rapid.IntRange(1, 2).Draw(r, "rolls")
		}
		for i := range rolls {
			if i > 0 && several {
				wrong.offset = ticks("offset again", -144, 144)
			}
			w.carry(kind, algorithms[(i+1)%2], wrong, tick)
		}
	})
}

// carry plays one roll from beginning to end. One server has a clock that may be wrong.
func (w *world) carry(kind string, a Algorithm, wrong *server, tick time.Duration) {
	r, began, several := w.t, w.now, len(w.servers) > 1
	ticks := func(name string, least, most int) time.Duration {
		return time.Duration(rapid.IntRange(least, most).Draw(r, name)) * tick
	}
	var old []TimedKey
	for d, i := w.keys.At(day0.Add(w.now)), 0; i < len(w.keys.all); i++ {
		if k := w.keys.all[i]; slices.Contains(d.Entry, k.Key) || slices.Contains(d.Zone, k.Key) {
			old = append(old, k)
		}
	}
	roll, changed, err := w.keys.Begin(kind, a, w.clock(w.servers[0]))
	if err == nil {
		w.keys, err = w.keys.Merge(changed)
	}
	if err != nil {
		r.Fatal(err)
	}
	if w.roll != nil {
		roll.Passed = w.roll.Passed
	}
	w.roll, w.older = roll, nil
	for ; !w.roll.Over(); w.now += tick {
		if w.now-began > 90*24*time.Hour {
			r.Fatalf("it does not end: %v", w.roll)
		}
		if w.now-began < 20*24*time.Hour { // afterwards all is well
			s := rapid.SampledFrom(w.servers).Draw(r, "hit")
			switch rapid.IntRange(0, 40).Draw(r, "fault") {
			case 0:
				if n := ticks("cut", 1, 60); w.now-s.heard <= tick { // it is never silent for a day
					s.cut = w.now + n
				}
			case 1:
				s.witness, s.started = &Witness{}, w.now
			case 2:
				if several {
					wrong.offset = ticks("set", -144, 144)
				}
			}
		} else {
			wrong.offset = 0
		}
		w.serve()
		w.check()
		w.look(rapid.SampledFrom(w.servers).Draw(r, "looks"))
		if rapid.Bool().Draw(r, "parent looks") {
			w.parent()
		}
	}
	w.now += 4 * EpochLength
	d := w.keys.At(day0.Add(w.now))
	if len(d.Entry) != 1 || len(d.Zone) != 1 || w.keys.Moves(day0.Add(w.now)) || d.Stays != nil {
		r.Fatalf("in the end %d sign keys, %d all else", len(d.Entry), len(d.Zone))
	}
	for _, k := range old {
		gone := kind == RollsAlgorithm || k.Entry() == (kind == RollsEntry)
		if gone == slices.ContainsFunc(d.DNSKEY, func(b []byte) bool { return bytes.Equal(b, k.DNSKEY()) }) &&
			!(kind == RollsZSK && k.Entry()) {
			r.Fatalf("%s: key %s: gone %v", kind, k.Place(), !gone)
		}
		if gone && !slices.ContainsFunc(w.keys.Stale(nil, day0.Add(w.now)), k.Key.same) {
			r.Fatalf("%s: key %s is not cleared away", kind, k.Place())
		}
	}
}

// TestCarryWithBINDsParent: a clock carries rolls on, from the first step to the last, with a parent that only follows
// CDS by BIND's dnssec-cds.
func TestCarryWithBINDsParent(t *testing.T) {
	if _, err := exec.LookPath("dnssec-cds"); err != nil {
		t.Skip("there is no dnssec-cds")
	}
	for _, kind := range []string{RollsZSK, RollsEntry, RollsAlgorithm, RollsAlgorithm + " back"} {
		for _, split := range []bool{false, true} {
			t.Run(fmt.Sprint(kind, split), func(t *testing.T) {
				from, to := ECDSAP256, Ed25519
				kind, back := strings.CutSuffix(kind, " back")
				if back {
					from, to = to, from
				}
				first, err := First(name(t, "example.test"), from, split, day0)
				if err != nil {
					t.Fatal(err)
				}
				keys, err := NewKeys(name(t, "example.test"), first...)
				if err != nil {
					t.Fatal(err)
				}
				p := &parent{t: t, folder: t.TempDir(), ds: dsOf(t, keys, day0)}
				roll, changed, err := keys.Begin(kind, to, day0)
				if err == nil {
					keys, err = keys.Merge(changed)
				}
				var witness Witness
				var passed []string
				for now := day0; !roll.Over() && err == nil; now = now.Add(30 * time.Minute) {
					if now.Sub(day0) > 1000*time.Hour {
						t.Fatalf("it does not end: %v", roll)
					}
					if len(passed) == 0 || passed[len(passed)-1] != roll.Step {
						passed = append(passed, roll.Step)
						p.follow(keys, now)
					}
					word := witness.Word(keys.origin, roll, true, now, now.Sub(day0), time.Hour)
					var c Carried
					c, err = roll.Carry(keys, now, time.Hour, []Said{{"a", word, 0}}, func() ([]ParentDS, error) {
						return []ParentDS{{"p", p.ds, 7200}}, nil
					})
					if err != nil || !c.Write {
						continue
					}
					if roll = c.Roll; len(c.Changed) > 0 {
						keys, err = keys.Merge(c.Changed)
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				var want []string
				for _, s := range steps[kind] {
					want = append(want, s.name)
				}
				if strings.Join(passed, " ") != strings.Join(want, " ") {
					t.Errorf("it went by %q, want %q", passed, want)
				}
				if len(p.ds) != 1 || kind != RollsZSK == first[0].In(p.ds) {
					t.Errorf("in the end the parent has %x", p.ds)
				}
			})
		}
	}
}

// TestWaits: whoever holds a roll up is named. A step whose time has not come is not reported as a fault.
func TestWaits(t *testing.T) {
	first, err := First(name(t, "example.test"), ECDSAP256, false, day0)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := NewKeys(first[0].origin, first...)
	if err != nil {
		t.Fatal(err)
	}
	roll, changed, err := keys.Begin(RollsEntry, 0, day0)
	if err == nil {
		keys, err = keys.Merge(changed)
	}
	if err != nil {
		t.Fatal(err)
	}
	word := func(due string) *Word { return &Word{Step: roll.stamp(), Since: day0, Due: due} }
	ds := dsOf(t, keys, day0)
	look := func(now time.Duration, want string, wrote bool, fleet ...Said) {
		t.Helper()
		c, err := roll.Carry(keys, day0.Add(now), time.Hour, fleet, func() ([]ParentDS, error) {
			return []ParentDS{{"192.0.2.1", ds, 60}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if want == "" != (c.Waits == "") || !strings.Contains(c.Waits, want) || c.Write != wrote {
			t.Errorf("%v: waits for %q, want %q; it writes: %v", now, c.Waits, want, c.Write)
		}
		if c.Write {
			if roll = c.Roll; len(c.Changed) > 0 {
				if keys, err = keys.Merge(c.Changed); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	look(0, "server b does not have the keys", false, Said{"a", word(""), 0}, Said{"b", nil, 0})
	old := &Word{Step: "old", Since: day0}
	look(0, "server b does not have the keys", false, Said{"a", word(""), 0}, Said{"b", old, 0})
	look(0, "server b has not been heard of for 2m0s", false, Said{"a", word(""), 0},
		Said{"b", word(""), 2 * time.Minute})
	look(0, "", true, Said{"a", word(""), 0}, Said{"b", nil, 25 * time.Hour})
	look(time.Minute, "", false, Said{"a", word(""), 0})
	look(2*time.Hour, "", false, Said{"a", word(roll.wait()), 0}, Said{"b", word(""), 0})
	look(2*time.Hour, "", true, Said{"a", word(roll.wait()), 0}, Said{"b", word(roll.wait()), 0})
	look(2*time.Hour, "", true, Said{"a", word(""), 0})
	look(2*time.Hour, "the parent does not have the new DS yet (192.0.2.1)", false, Said{"a", word(""), 0})
	if roll.Step != "sign" {
		t.Errorf("it is at %v", roll)
	}
}

// TestWitness: a server that answered differently when the others began to wait waits as long itself. One that starts
// and takes the step at once does not.
func TestWitness(t *testing.T) {
	roll := &Roll{Kind: RollsZSK, Step: "publish", Began: day0, Held: day0.Add(time.Minute)}
	origin := name(t, "example.test")
	look := func(w *Witness, at time.Duration, want bool) {
		t.Helper()
		word := w.Word(origin, roll, true, day0.Add(at), at, time.Hour)
		if word == nil || (word.Due != "") != want {
			t.Errorf("at %v: %+v, due should be %v", at, word, want)
		}
	}
	var old, late, slow, fresh Witness
	look(&old, 2*time.Minute, false)
	look(&old, 60*time.Minute, false)
	look(&old, 61*time.Minute, true)
	late.Lacks(origin)
	look(&late, 30*time.Minute, false)
	look(&late, 62*time.Minute, false)
	look(&late, 90*time.Minute, true)
	if word := slow.Word(origin, roll, true, day0.Add(-time.Minute), 30*time.Minute, time.Hour); word != nil {
		t.Errorf("by its clock it does not do it yet: %+v", word)
	}
	look(&slow, 61*time.Minute, false)
	look(&slow, 121*time.Minute, true)
	look(&fresh, 61*time.Minute, true)

	// A jump of the clock does not end a wait whose beginning was seen.
	var jumps Witness
	unheld := *roll
	unheld.Held = time.Time{}
	jumps.Word(origin, &unheld, true, day0, 0, time.Hour)
	for elapsed, want := range map[time.Duration]bool{30 * time.Minute: false, 2 * time.Hour: true} {
		w := jumps
		w.zones = map[rr.Name]*sight{origin: new(sight)}
		*w.zones[origin] = *jumps.zones[origin]
		w.Word(origin, roll, true, day0.Add(time.Minute), time.Minute, time.Hour)
		word := w.Word(origin, roll, true, day0.Add(1000*time.Hour), elapsed, time.Hour)
		if (word.Due != "") != want {
			t.Errorf("a clock that is set 1000 h ahead, after %v: %+v", elapsed, word)
		}
	}
}
