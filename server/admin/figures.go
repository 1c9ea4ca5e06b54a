package admin

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Age formats a number of seconds briefly: "0.4s", "12s", "3m", "2h10m", "5d".
func Age(seconds float64) string {
	switch s := int(seconds); {
	case seconds < 0:
		return "0s"
	case seconds < 10:
		return strconv.FormatFloat(seconds, 'f', 1, 64) + "s"
	case s < 120:
		return strconv.Itoa(s) + "s"
	case s < 2*3600:
		return strconv.Itoa(s/60) + "m"
	case s < 48*3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	default:
		return strconv.Itoa(s/86400) + "d"
	}
}

// Between returns how many seconds a time is after another. Time.Sub ends at 292 years, and operators write 9999 where
// they mean for ever.
func Between(from, to time.Time) float64 {
	return float64(to.Unix()-from.Unix()) + float64(to.Nanosecond()-from.Nanosecond())/1e9
}

// Figure formats a load with at most four significant digits: "0.62", "1,290", "12,300,000".
func Figure(f float64) string {
	if f != 0 && !math.IsInf(f, 0) {
		digits := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(f))))
		f = math.Round(f*digits) / digits
	}
	whole, part, _ := strings.Cut(strconv.FormatFloat(f, 'f', -1, 64), ".")
	for at := len(whole) - 3; at > 0; at -= 3 {
		whole = whole[:at] + "," + whole[at:]
	}
	if part != "" {
		return whole + "." + part
	}
	return whole
}
