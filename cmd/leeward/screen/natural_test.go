package screen_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"leeward/cmd/leeward/screen"
)

func TestNatural(t *testing.T) {
	want := strings.Fields("a a1 a01b a1b a2 a10 a10/lb-2 a10/lb-10 a10b b svc2 svc2.5 svc10 svc10.1")
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, screen.Natural)
	if !slices.Equal(got, want) {
		t.Errorf("the order is %q, want %q", got, want)
	}
}

// It is an order: of any three names, and numbers go by their value.
func TestNaturalIsAnOrder(t *testing.T) {
	name := rapid.StringMatching(`[ab]{0,2}[0-9]{0,3}[a.]?[0-9]{0,2}`)
	sign := func(c int) int { return max(-1, min(1, c)) }
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := name.Draw(t, "a"), name.Draw(t, "b"), name.Draw(t, "c")
		if sign(screen.Natural(a, b)) != -sign(screen.Natural(b, a)) || (screen.Natural(a, b) == 0) != (a == b) {
			t.Fatalf("%q and %q have no order", a, b)
		}
		if screen.Natural(a, b) <= 0 && screen.Natural(b, c) <= 0 && screen.Natural(a, c) > 0 {
			t.Fatalf("%q, %q, %q go round", a, b, c)
		}
		m, n := rapid.IntRange(0, 2000).Draw(t, "m"), rapid.IntRange(0, 2000).Draw(t, "n")
		if x := screen.Natural(fmt.Sprint("svc", m, "/lb"), fmt.Sprint("svc", n, "/lb")); sign(x) != sign(m-n) {
			t.Fatalf("svc%d and svc%d: %d", m, n, x)
		}
	})
}
