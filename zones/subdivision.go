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
