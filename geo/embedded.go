package geo

import (
	_ "embed" // for the table
	"fmt"
)

// BuiltIn is the name of the compiled-in table in Source.File and Told.
const BuiltIn = "(built in)"

//go:generate go run generate.go geo-whois-asn-country.mmdb /usr/share/zoneinfo/zone.tab

//go:embed country.bin
var countryTable string

// embedded returns the compiled-in table: countries, and one point for each. Each call decodes it anew.
func embedded() (*layer, error) {
	l, err := readCompact(countryTable)
	if err != nil {
		return nil, fmt.Errorf("the built-in table of countries: %w", err)
	}
	l.source.File = BuiltIn
	return l, nil
}
