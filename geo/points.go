package geo

import (
	_ "embed" // for the points
	"fmt"
	"strings"
	"sync"
)

// pointsText has a line a country, from tzdata's zone.tab, which is in the public domain: the country's code, the
// latitude and the longitude in degrees, and the time zone whose main city is there.
//
//go:embed points.txt
var pointsText string

// points are the points of pointsText by country.
var points = sync.OnceValue(func() map[string][2]float64 {
	all := map[string][2]float64{}
	for line := range strings.Lines(pointsText) {
		var country, zone string
		var at [2]float64
		if _, err := fmt.Sscan(line, &country, &at[0], &at[1], &zone); err != nil {
			panic(fmt.Sprintf("geo: points.txt: %q: %v", line, err))
		}
		all[country] = at
	}
	return all
})

// pointOf returns the point that stands for a country, in degrees: the main city of its most peopled time zone.
func pointOf(country string) (latitude, longitude float64, ok bool) {
	at, ok := points()[country]
	return at[0], at[1], ok
}
