package dnssec

import (
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// TestPairIsAMap: whatever comes, goes and is swept, every entry that is in use is found with its signature. Every
// other entry is gone once a sweep has ended.
func TestPairIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p pair
		var sweep Sweep
		stands := map[Identity]byte{}
		number := rapid.Uint64Range(0, 300)
		const slack = 20
		came := 0 // since the sweep began
		for range rapid.IntRange(1, 40).Draw(t, "turns") {
			for range rapid.IntRange(0, 30).Draw(t, "come") {
				n := number.Draw(t, "which")
				id := Identity{n * odd1, n}
				if p.keep(id) == nil {
					p.add(id, [SignatureSize]byte{byte(n)})
				}
				stands[id] = byte(n)
				came++
			}
			for id := range stands {
				if rapid.IntRange(0, 2).Draw(t, "goes") == 0 {
					delete(stands, id)
				}
			}
			if sweep == (Sweep{}) {
				came = 0
				sweep = p.sweep(slack, rapid.IntRange(0, 9).Draw(t, "anyway") == 0)
			} else if rapid.Bool().Draw(t, "ends") {
				p.swept(Sweep{&table{}}) // another sweep does not count
				for id := range stands {
					p.keep(id)
				}
				p.swept(sweep)
				if sweep = (Sweep{}); p.len() > came+len(stands) {
					t.Fatalf("%d are there after a sweep", p.len())
				}
			}
			for id, of := range stands {
				if s := p.find(id); s == nil || s[0] != of {
					t.Fatalf("%v is %v, want %d", id, s, of)
				}
			}
			if sweep == (Sweep{}) && p.len() > 2*int(p.stood.Load())+slack {
				t.Fatalf("%d are there of %d that stood, and nothing is swept", p.len(), p.stood.Load())
			}
		}
	})
}

// TestPairIsReadWhileItIsSwept: readers find every entry in use at any moment.
func TestPairIsReadWhileItIsSwept(t *testing.T) {
	var p pair
	const stands = 64
	id := func(n uint64) Identity { return Identity{n * odd1, n} }
	for n := range uint64(stands) {
		p.add(id(n), [SignatureSize]byte{byte(n)})
	}
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for n := uint64(0); !done.Load(); n = (n + 1) % stands {
				if s := p.find(id(n)); s == nil || s[0] != byte(n) {
					t.Errorf("%d is %v", n, s)
					return
				}
			}
		})
	}
	for turn := range uint64(500) {
		for n := range uint64(50) {
			p.add(id(1000+50*turn+n), [SignatureSize]byte{})
		}
		s := p.sweep(0, true)
		for n := range uint64(stands) {
			p.keep(id(n))
		}
		p.swept(s)
	}
	done.Store(true)
	readers.Wait()
	if n := p.len(); n != stands {
		t.Errorf("%d are there, want %d", n, stands)
	}
}

// TestSpare: as many sets are signed on demand as fit, and as many again after a sweep.
func TestSpare(t *testing.T) {
	g := Generation{store: new(store)}
	g.sets.add(Identity{1, 1}, [SignatureSize]byte{})
	for range mostExtra {
		if !g.Spare() {
			t.Fatal("there is no room")
		}
	}
	if g.Spare() {
		t.Fatal("there is room without end")
	}
	s := g.SweepChosen()
	if s == (Sweep{}) {
		t.Fatal("nothing is swept")
	}
	g.SweptChosen(s)
	if !g.Spare() || g.sets.find(Identity{1, 1}) != nil {
		t.Error("a sweep has let go of nothing")
	}
}
