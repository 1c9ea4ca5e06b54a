package geo

import (
	_ "embed" // for the table
	"fmt"
)

// BuiltIn is what Source.File and Told have for the table that is compiled in.
const BuiltIn = "(built in)"

//go:generate go run generate.go geo-whois-asn-country.mmdb /usr/share/zoneinfo/zone.tab

//go:embed country.bin
var countryTable string

// Embedded returns the table that is compiled in: countries, and of each country one point. It is decoded anew by each
// call.
func Embedded() (*Table, error) { return complement(nil) }

func embedded() (*layer, error) {
	l, err := readCompact(countryTable)
	if err != nil {
		return nil, fmt.Errorf("the built-in table of countries: %w", err)
	}
	l.source.File = BuiltIn
	return l, nil
}
