package console

import "testing"

// A share is never rounded to nothing or to everything.
func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{
		0: "0 %", 1e-9: "<1 %", .0049: "<1 %", .0051: "1 %", .5: "50 %", .9949: "99 %", .9951: ">99 %", 1: "100 %",
	} {
		if got := percent(share, true); got != want {
			t.Errorf("%v is %q, want %q", share, got, want)
		}
	}
}
