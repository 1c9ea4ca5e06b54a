package console

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// However many wait from one address, a client of another address waits for at most one of them. One that goes away
// takes no turn. When all have left, the gate is free and remembers nobody.
func TestGate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		crowd := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 16).Draw(t, "addresses")
		gone := rapid.SliceOfN(rapid.Bool(), len(crowd), len(crowd)).Draw(t, "goes away")
		var g gate
		leave, err := g.enter(context.Background(), "first")
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var served []int
		var all sync.WaitGroup
		want := map[int]int{}
		for i, from := range crowd {
			ctx, cancel := context.WithCancel(context.Background())
			before := waiting(&g)
			all.Go(func() {
				defer cancel()
				leave, err := g.enter(ctx, fmt.Sprint(from))
				if err != nil {
					return
				}
				mu.Lock()
				served = append(served, from)
				mu.Unlock()
				leave()
			})
			for waiting(&g) == before { // it is in the queue before the next one comes
				runtime.Gosched()
			}
			if gone[i] {
				cancel()
				for waiting(&g) > before {
					runtime.Gosched()
				}
			} else {
				want[from]++
			}
		}
		leave()
		all.Wait()
		got := map[int]int{}
		for i, from := range served {
			got[from]++
			// All others that still wait have been served since the last time.
			last := -1
			for k := i - 1; k >= 0 && last < 0; k-- {
				if served[k] == from {
					last = k
				}
			}
			if last < 0 {
				continue
			}
			for other, n := range want {
				waits := n > 0 && slices.Contains(served[i:], other)
				if other != from && waits && !slices.Contains(served[last:i], other) {
					t.Fatalf("%d is served again while %d waits: %v", from, other, served)
				}
			}
		}
		for from, n := range want {
			if got[from] != n {
				t.Fatalf("%d was served %d times, waited %d times", from, got[from], n)
			}
		}
		if g.busy || len(g.of)+len(g.turns) > 0 {
			t.Fatalf("all have left, and the gate is %+v", &g)
		}
	})
}

func waiting(g *gate) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.of {
		n += len(w)
	}
	return n
}

// One address that holds all streams does not keep others out: the newest of its streams ends.
func TestStreamsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := listeners{most: 4, open: map[*listener]struct{}{}, of: map[string]int{}}
		var mine []*listener
		for range 4 {
			mine = append(mine, s.admit("192.0.2.1"))
		}
		if slices.Contains(mine, nil) || s.admit("192.0.2.1") != nil {
			t.Fatal("an address alone has not all, or more than all")
		}
		ended := func() (n int) {
			for _, l := range mine {
				select {
				case <-l.end:
					n++
				default:
				}
			}
			return n
		}
		other := s.admit("192.0.2.2")
		if other == nil || ended() != 1 || len(s.open) != 4 {
			t.Fatalf("another is admitted: %v; %d have ended", other != nil, ended())
		}
		if s.admit("192.0.2.2") == nil || ended() != 2 {
			t.Error("the other has less than half")
		}
		if s.admit("192.0.2.2") != nil || s.admit("192.0.2.3") == nil {
			t.Error("who has as many as anybody gets more, or who has none gets none")
		}
		for l := range s.open {
			s.leave(l)
		}
		if len(s.open)+len(s.of) > 0 {
			t.Errorf("all have left, and %+v", &s)
		}
	})
}
