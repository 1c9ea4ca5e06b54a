package zones

import (
	_ "embed"
	"strings"
)

// subdivisions are the codes of ISO 3166-2, a line a country: "AD 02 03 …".
//
//go:generate go run generate.go /usr/share/iso-codes/json/iso_3166-2.json
//go:embed subdivisions.txt
var subdivisions string

// knownSubdivision reports whether ISO 3166-2 has a subdivision of a country.
func knownSubdivision(country, part string) bool {
	for line := range strings.Lines(subdivisions) {
		if line[:2] != country {
			continue
		}
		for code := range strings.FieldsSeq(line[3:]) {
			if code == part {
				return true
			}
		}
	}
	return false
}

// crossPlaces says which places of a policy are nowhere. They are taken all the same, as a location database of one's
// own can have any code.
func crossPlaces(x *crossed, p *Policy) {
	for i, rule := range p.Rules {
		if rule.When == nil {
			continue
		}
		at := item("rules", i) + ".when."
		for k, code := range rule.When.Countries {
			if !codeIn(countries, code) {
				x.warn(item(at+"countries", k), "no country has the code %s: ISO 3166-1 leaves it to its users, "+
					"so nobody is there unless a location database of your own says so", code)
			}
		}
		for k, code := range rule.When.Subdivisions {
			if country, part, ok := strings.Cut(code, "-"); ok && !knownSubdivision(country, part) {
				x.warn(item(at+"subdivisions", k), "ISO 3166-2 has no %s, "+
					"so nobody is there unless the location database says so; has it another code?", code)
			}
		}
	}
}
