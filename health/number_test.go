package health

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestNumbersAreDecimal compares ParseNumber with math/big in base ten.
func TestNumbersAreDecimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[+-]?[0-9_]{0,3}\.?[0-9_xXpP]{0,3}([eE][+-]?[0-9_]{0,2})?`).Draw(t, "text")
		got, err := ParseNumber(text)
		want, _, bad := big.ParseFloat(text, 10, 53, big.ToNearestEven)
		// big also has an exponent of base two, which is not decimal.
		binary := strings.ContainsAny(text, "pP")
		if (err == nil) != (bad == nil && !binary) {
			t.Fatalf("%q: %v, but big says %v", text, err, bad)
		}
		if err != nil {
			return
		}
		if f, _ := want.Float64(); math.Abs(f-got) > 1e-9*math.Abs(f) {
			t.Fatalf("%q is %v, want %v", text, got, f)
		}
	})
	for _, text := range []string{"1_0.5", "0x1p4", "inf", "-Inf", "NaN", "", "+", ".", "1e", " 1"} {
		if f, err := ParseNumber(text); err == nil {
			t.Errorf("%q is taken as %v", text, f)
		}
	}
}

// TestNumbersThatAreTwo compares Twofold with what Go reads with and without a base.
func TestNumbersThatAreTwo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[+-]?[0-9]{1,4}`).Draw(t, "text")
		ten, _ := strconv.ParseInt(text, 10, 64)
		either, err := strconv.ParseInt(text, 0, 64)
		if (err != nil || either != ten) && Twofold(text) == nil {
			t.Fatalf("%s is %d, or %d (%v)", text, ten, either, err)
		}
	})
}
