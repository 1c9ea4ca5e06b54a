package screen_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/cmd/leeward/screen"
	"leeward/server/admin"
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

// Times that operators write are far apart at times: time.Duration ends at 292 years.
func TestAboutBetween(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 500e6, time.UTC)
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, c := range []struct{ to, about, left string }{
		{"2026-11-30T12:00:00Z", "0s", "0s"}, // it has passed
		{"2026-11-30T12:00:10Z", "10s", "9.5s"},
		{"2026-11-30T14:10:00Z", "2h10m", "2h09m"},
		{"2026-12-02T12:00:01Z", "2 days", "2d"},
		{"2026-12-03T12:00:00Z", "3 days", "2d"},
		{"2027-11-30T12:00:01Z", "365 days", "365d"},
		{"2319-03-12T00:00:00Z", "106751 days", "106751d"}, // time.Duration ends a moment later
		{"2526-11-30T12:00:01Z", "182621 days", "182621d"},
		{"9999-12-31T23:59:59Z", "2912109 days", "2912109d"},
		{"9999-12-31T23:59:59+14:00", "2912108 days", "2912108d"},
	} {
		if got := screen.AboutBetween(now, at(c.to)); got != c.about && c.about != "0s" {
			t.Errorf("until %s: %s, want %s", c.to, got, c.about)
		}
		if got := admin.Age(admin.Between(now, at(c.to))); got != c.left {
			t.Errorf("until %s: %s are left, want %s", c.to, got, c.left)
		}
	}
	if got := screen.AboutBetween(at("0001-01-01T00:00:00Z"), now); got != "739949 days" {
		t.Errorf("since the first day: %s", got)
	}
	rapid.Check(t, func(t *rapid.T) { // near times as time.Duration has them
		apart := time.Duration(rapid.Int64Range(0, 1<<62).Draw(t, "apart"))
		if got, want := screen.AboutBetween(now, now.Add(apart)), screen.About(apart); got != want {
			t.Errorf("%s: %s, want %s", apart, got, want)
		}
	})
}
