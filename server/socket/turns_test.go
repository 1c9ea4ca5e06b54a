package socket

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// TestTurns: whatever comes and goes, there are never more turns than the limit, and no client has more than its share.
// Nobody waits for a free turn. A turn that becomes free goes to the client with the fewest, in the order of arrival.
func TestTurns(t *testing.T) {
	client := func(n int) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), 32) }
	rapid.Check(t, func(t *rapid.T) {
		n, share := rapid.IntRange(1, 6).Draw(t, "turns"), rapid.IntRange(1, 4).Draw(t, "share")
		all := newTurns(n, share)
		held := map[netip.Prefix]int{}
		var waiting, having []*turn
		settle := func() { // the plain model: one turn after the other
			for len(having) < n {
				best := -1
				for i, w := range waiting {
					if held[w.of] < share && (best < 0 || held[w.of] < held[waiting[best].of]) {
						best = i
					}
				}
				if best < 0 {
					return
				}
				held[waiting[best].of]++
				having = append(having, waiting[best])
				waiting = append(waiting[:best:best], waiting[best+1:]...)
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				waiting = append(waiting, all.ask(client(rapid.IntRange(1, 5).Draw(t, "client"))))
			case 2:
				if len(having) > 0 {
					i := rapid.IntRange(0, len(having)-1).Draw(t, "ends")
					x := having[i]
					having = append(having[:i:i], having[i+1:]...)
					held[x.of]--
					all.leave(x)
				}
			case 3:
				if len(waiting) > 0 {
					i := rapid.IntRange(0, len(waiting)-1).Draw(t, "gives up")
					x := waiting[i]
					waiting = append(waiting[:i:i], waiting[i+1:]...)
					all.leave(x)
				}
			}
			settle()
			for _, x := range having {
				select {
				case <-x.ready:
				default:
					t.Fatalf("%v has no turn, and should", x.of)
				}
			}
			for _, x := range waiting {
				select {
				case <-x.ready:
					t.Fatalf("%v has a turn, and should not", x.of)
				default:
				}
			}
		}
		for len(having)+len(waiting) > 0 {
			for _, x := range having {
				held[x.of]--
				all.leave(x)
			}
			having = nil
			settle()
		}
		if all.free != n || len(all.held) > 0 || len(all.queue) > 0 {
			t.Fatalf("left: %d free of %d, %v, %v", all.free, n, all.held, all.queue)
		}
	})
}
