package dnssec

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/zones/rr"
)

func labelsOf(n rr.Name) (above []uint8) {
	for at := 0; n[at] != 0; at += int(n[at]) + 1 {
		above = append(above, uint8(at))
	}
	return above
}

// TestOrderKey: keys compare as their names do, and lead back to those names.
func TestOrderKey(t *testing.T) {
	draw := rapid.Custom(func(r *rapid.T) rr.Name {
		n := ""
		for range rapid.IntRange(0, 4).Draw(r, "labels") {
			octet := rapid.SampledFrom([]byte{0, 1, 2, 3, '*', '.', 'a', 'b', 0xff})
			label := rapid.SliceOfN(octet, 1, 3).Draw(r, "label")
			n = string(rune(len(label))) + string(label) + n
		}
		return rr.Name(n + "\x00")
	})
	rapid.Check(t, func(r *rapid.T) {
		a, b := draw.Draw(r, "a"), draw.Draw(r, "b")
		x, y := AppendOrderKey(nil, []byte(a), labelsOf(a)), AppendOrderKey(nil, []byte(b), labelsOf(b))
		if got, want := bytes.Compare(x, y), a.Compare(b); got != want {
			r.Fatalf("%q and %q compare as %d, their keys %q and %q as %d", a, b, want, x, y, got)
		}
		if got := rr.Name(append(AppendKeyName(nil, x), 0)); got != a {
			r.Fatalf("%q comes back as %q", a, got)
		}
	})
}

// TestChain: edits and look-ups, compared with a sorted list.
func TestChain(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var c *Chain
		model := map[string]bool{}
		draw := rapid.Custom(func(r *rapid.T) string { return fmt.Sprint(rapid.IntRange(0, 2000).Draw(r, "key")) })
		for range rapid.IntRange(1, 8).Draw(r, "edits") {
			most := rapid.SampledFrom([]int{1, 5, 400}).Draw(r, "most")
			put, drop := [][]byte{}, [][]byte{}
			for _, k := range rapid.SliceOfN(draw, 0, most).Draw(r, "put") {
				put, model[k] = append(put, []byte(k)), true
			}
			for _, k := range rapid.SliceOfN(draw, 0, most).Draw(r, "drop") {
				if !slices.ContainsFunc(put, func(p []byte) bool { return string(p) == k }) {
					drop = append(drop, []byte(k))
					delete(model, k)
				}
			}
			before, had := c, c.Len()
			c = c.Edit(put, drop)
			if before.Len() != had {
				r.Fatal("the chain before has changed")
			}
			var want, got []string
			for k := range model {
				want = append(want, k)
			}
			slices.Sort(want)
			c.Each(func(k []byte) { got = append(got, string(k)) })
			if !slices.Equal(got, want) || c.Len() != len(want) {
				r.Fatalf("it holds %q, want %q", got, want)
			}
			if len(want) == 0 {
				continue
			}
			for _, k := range rapid.SliceOfN(draw, 1, 20).Draw(r, "asked") {
				at, next, exact := c.Find([]byte(k))
				i, found := slices.BinarySearch(want, k)
				if !found {
					i = (i - 1 + len(want)) % len(want)
				}
				if string(at) != want[i] || string(next) != want[(i+1)%len(want)] || exact != found {
					r.Fatalf("%q is at %q before %q (%v); want %q, %q, %v", k, at, next, exact, want[i],
						want[(i+1)%len(want)], found)
				}
				if found {
					i = (i - 1 + len(want)) % len(want)
				}
				if before := string(c.Before([]byte(k))); before != want[i] {
					r.Fatalf("before %q is %q, want %q", k, before, want[i])
				}
			}
		}
	})
}

// TestTable: everybody finds what was added, while the table grows.
func TestTable(t *testing.T) {
	var table table
	const each, readers = 3000, 3
	id := func(i int) Identity { return Identity{uint64(i % 97), uint64(i)} } // with collisions
	var wait sync.WaitGroup
	for w := range 2 {
		wait.Go(func() {
			for i := range each {
				n := i*2 + w
				got := table.add(id(n), [SignatureSize]byte{byte(n), byte(n >> 8)})
				if got[0] != byte(n) || table.find(id(n)) != got {
					t.Errorf("%d is not there", n)
				}
			}
		})
	}
	for range readers {
		wait.Go(func() {
			for i := range 2 * each {
				if got := table.find(id(i)); got != nil && (got[0] != byte(i) || got[1] != byte(i>>8)) {
					t.Errorf("%d has another's signature", i)
				}
			}
		})
	}
	wait.Wait()
	if table.len() != 2*each {
		t.Errorf("%d signatures, want %d", table.len(), 2*each)
	}
	for i := range 2 * each {
		if got := table.find(id(i)); got == nil || got[0] != byte(i) {
			t.Fatalf("%d is lost", i)
		}
	}
}

// TestTurn: what is prepared is in use after the turn, and not before.
func TestTurn(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := NewSigner(Alone(key(t, "example.test", ECDSAP256)), true, now)
	before := s.Now()
	s.Turn() // nothing is prepared
	if s.Prepare(now) != nil || s.Now() != before {
		t.Fatal("what is in use is prepared again")
	}
	soon := now.Add(EpochLength)
	next := s.Prepare(soon)
	if s.Now() != before || s.Prepare(soon) != next || next.Epoch != before.Epoch.Next() {
		t.Fatal("preparing has put it in use")
	}
	s.Turn()
	if s.Now() != next {
		t.Error("it is not in use")
	}
	if now, next := s.Generations(); now != s.Now() || next != nil {
		t.Error("what was prepared is prepared still")
	}
}

func BenchmarkSign(b *testing.B) {
	for _, a := range []Algorithm{ECDSAP256, Ed25519} {
		b.Run(fmt.Sprint(a), func(b *testing.B) {
			g := NewSigner(Alone(key(b, "example.test", a)), false, time.Now()).Now()
			set := Set{Owner: name(b, "www.example.test"), Type: rr.TypeA, TTL: 30, Data: [][]byte{{192, 0, 2, 1}}}
			for i := range b.N {
				if err := g.Sign(Identity{uint64(i), 0}, set); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFind(b *testing.B) {
	s := NewSigner(Alone(key(b, "example.test", Ed25519)), false, time.Now())
	g := s.Now()
	id := func(i int) Identity {
		id := s.Begin([]byte("\x03www\x07example\x04test\x00"), rr.TypeA, 30)
		s.Add(&id, []byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		return id
	}
	const n = 120_000
	for i := range n {
		g.fixed.add(g.zone[0].of(id(i)), [SignatureSize]byte{})
	}
	b.ReportAllocs()
	for i := range b.N {
		if !g.Has(id(i*7919%n), rr.TypeA) {
			b.Fatal("lost")
		}
	}
}
