package demo

import "testing"

// What does not fit is cut where one sees it, colours or not; what fits is as it was.
func TestFit(t *testing.T) {
	for _, c := range []struct {
		text    string
		columns int
		want    string
	}{
		{"192.0.2.10 192.0.2.11\nup\n", 0, "192.0.2.10 192.0.2.11\nup\n"},
		{"192.0.2.10 192.0.2.11\nup\n", 21, "192.0.2.10 192.0.2.11\nup\n"},
		{"192.0.2.10 192.0.2.11\nup\n", 20, "192.0.2.10 192.0.2.…\nup\n"},
		{"\x1b[32meu-west: 192.0.2.10\x1b[0m", 19, "\x1b[32meu-west: 192.0.2.10\x1b[0m"},
		{"\x1b[32meu-west: 192.0.2.10\x1b[0m  x", 19, "\x1b[32meu-west: 192.0.2.1…\x1b[0m"},
		{"\x1b[32meu-west: 192.0.2.10\x1b[0m", 12, "\x1b[32meu-west: 19…\x1b[0m"},
		{"ünï", 2, "ü…"},
		{"ab", 1, "…"},
	} {
		if got := fit(c.text, c.columns); got != c.want {
			t.Errorf("%q in %d columns: %q, want %q", c.text, c.columns, got, c.want)
		}
	}
}
