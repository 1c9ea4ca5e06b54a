package console

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"leeward/server/admin"
	"leeward/zones/steer"
)

// words are the functions of the templates.
var words = template.FuncMap{
	"day":   func(t time.Time) string { return t.UTC().Format("2 January 15:04:05 UTC") },
	"query": func(s string) template.URL { return template.URL(s) },   // already encoded
	"words": func(s string) []string { return strings.Split(s, " ") }, // as they are: two spaces stay two
	"age":   admin.Age,
	"took":  took,
	"capital": func(s string) string {
		if s == "" {
			return s
		}
		return strings.ToUpper(s[:1]) + s[1:]
	},
	"more":   func(n int) int { return n + 1 },
	"km":     func(f *float64) string { return fmt.Sprintf("%.0f km", *f) },
	"figure": admin.Figure,
	"clock":  func(t time.Time) string { return t.UTC().Format("15:04:05 UTC") },
	"stamp":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"counted": func(n int, thing string) string {
		if n == 1 {
			return "1 " + thing
		}
		return fmt.Sprintf("%d %ss", n, thing)
	},
}

// since says since when, and for how long.
func since(t, now time.Time) string {
	return steer.OnClock(t, now.UTC()) + " (" + admin.Age(now.Sub(t).Seconds()) + ")"
}

// command joins the words of a command line. It quotes those that a shell would read differently.
func command(words ...string) string {
	for i, w := range words {
		plain := func(r rune) bool {
			return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
				strings.ContainsRune("-_./:=@%+,", r)
		}
		if w == "" || strings.ContainsFunc(w, func(r rune) bool { return !plain(r) }) {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// listed formats names as a sentence has them, at most so many: "a, b and 3 more".
func listed(names []string, most int) string {
	switch n := len(names); {
	case n == 0:
		return ""
	case n == 1:
		return names[0]
	case n > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

// took formats a duration in seconds with the digits that matter: "150 µs", "12.3 ms", "2.8 s".
func took(seconds float64) string {
	switch {
	case seconds < .001:
		return fmt.Sprintf("%.0f µs", 1e6*seconds)
	case seconds < .1:
		return fmt.Sprintf("%.1f ms", 1e3*seconds)
	case seconds < 1:
		return fmt.Sprintf("%.0f ms", 1e3*seconds)
	}
	return fmt.Sprintf("%.1f s", seconds)
}
