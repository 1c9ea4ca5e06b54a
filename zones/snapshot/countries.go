package snapshot

import (
	"net/netip"

	"leeward/geo"
)

// mostCountries bounds the memory for the areas of countries, in octets.
const mostCountries = 64 << 20

// CountCountries makes snapshots know, from now on, the country of an address, so that clients can be counted by it.
func (b *Builder) CountCountries() { b.countries.wanted = true }

// countries are the areas, and the geo table that they were made from.
type countries struct {
	wanted bool
	table  *geo.Table
	areas  *geo.Areas // nil: they are not wanted, or there is no table
}

// of returns the areas of a table. It makes them if the table is not the one it knows.
func (c *countries) of(t *geo.Table) *geo.Areas {
	if c.wanted && t != c.table {
		if c.table, c.areas = t, nil; t != nil {
			c.areas = t.Countries(mostCountries)
		}
	}
	return c.areas
}

// CountsCountries reports whether Country can know any country.
func (s *Snapshot) CountsCountries() bool { return s.countries != nil }

// CountryNumbers bounds the numbers of countries.
const CountryNumbers = geo.CountryNumbers

// CountryCode returns the code of a country, such as "ES", given its number. It returns "" for 0.
func CountryCode(number uint16) string { return geo.CountryCode(number) }

// Country returns the number of the country that an address is in (see CountryCode), or 0 if that is not known. It does
// not allocate.
func (s *Snapshot) Country(a netip.Addr) uint16 {
	number, _ := s.countries.At(a)
	return number
}
