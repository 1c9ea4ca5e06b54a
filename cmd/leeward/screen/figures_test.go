package screen_test

import (
	"testing"
	"time"

	"leeward/cmd/leeward/screen"
)

func TestTimes(t *testing.T) {
	for d, want := range map[time.Duration][2]string{
		0:                            {"0s", "0s"},
		1500 * time.Millisecond:      {"1.5s", "2s"},
		time.Minute:                  {"1m", "1m"},
		time.Hour:                    {"1h", "1h"},
		time.Hour + 10*time.Second:   {"1h0m10s", "1h"},
		130*time.Minute + 4e9:        {"2h10m4s", "2h10m"},
		50*time.Hour + 3*time.Minute: {"50h3m", "2 days"},
	} {
		if got := [2]string{screen.Span(d), screen.About(d)}; got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	for s, want := range map[float64]string{
		.00015: "150µs", .0009996: "1000µs", .001: "1.0ms", .0123: "12.3ms", .25: "250ms",
		2.8153: "2.815s", 12.2: "12s", 190: "3m",
	} {
		if got := screen.Took(s); got != want {
			t.Errorf("%g s: %q, want %q", s, got, want)
		}
	}
	for f, want := range map[float64]string{0: "0", 92.95: "93", 1234: "1,200", .0626: "0.063"} {
		if got := screen.Margin(f); got != want {
			t.Errorf("± %g: %q, want %q", f, got, want)
		}
	}
}
