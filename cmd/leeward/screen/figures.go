package screen

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"leeward/server/admin"
)

// Span spells a duration without parts that are zero: "1h", not "1h0m0s".
func Span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// About spells a duration as people say it: "2 days", "2h10m", "12s".
func About(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= time.Minute:
		return Span(d.Round(time.Minute))
	}
	return Span(d)
}

// AboutBetween spells the time from one time to a later one, as About does, however far apart they are.
func AboutBetween(from, to time.Time) string {
	if days := int64(math.Round(admin.Between(from, to)) / 86400); days > 2 {
		return fmt.Sprintf("%d days", days)
	}
	return About(to.Sub(from))
}

// Took spells how long something took, with the digits that matter: "150µs", "12.3ms", "2.815s", "3m".
func Took(seconds float64) string {
	switch {
	case seconds < .001:
		return strconv.FormatFloat(1e6*seconds, 'f', 0, 64) + "µs"
	case seconds < .1:
		return strconv.FormatFloat(1e3*seconds, 'f', 1, 64) + "ms"
	case seconds < 1:
		return strconv.FormatFloat(1e3*seconds, 'f', 0, 64) + "ms"
	case seconds < 10:
		return strconv.FormatFloat(seconds, 'f', 3, 64) + "s"
	}
	return admin.Age(seconds)
}

// Margin spells how far off a figure may be: two digits, as nobody knows more of it.
func Margin(f float64) string {
	f, _ = strconv.ParseFloat(strconv.FormatFloat(f, 'g', 2, 64), 64)
	return admin.Figure(f)
}
