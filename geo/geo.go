// Package geo tells where an address is, and in which autonomous system.
//
//	.mmdb files ─▶ layer, one a file ─▶ join ─▶ Table ─┬─ leaves (ranges of addresses) ─▶ location number ─▶ Location
//	embedded ────────▲                                 └─ leaves ─▶ AS number
//	                                              │
//	                          outcome by location ┴─▶ Areas: ranges of equal outcome, and so ECS scopes
//
// Databases are read once, whole, into a Table: disjoint sorted ranges of addresses, the leaves, which cover both
// families without gaps. A leaf has a location number, and a location number has a Location. Neighbours of equal
// location are one leaf. So a query costs one binary search in an array of integers, and decodes and allocates nothing.
// Package steer decides once for each location number, and a prefix's decision is then two look-ups. AS numbers have
// leaves of their own, because the two cut the address space at different places, and their product would be several
// times as large.
//
// Any number of databases make one Table. For each network the first database that knows its country decides the
// country. What it leaves open (subdivision, point) comes from the other databases that name the same country, or none;
// Told says which database told what. Only what steers is kept: continent, country, subdivisions, and the point to a
// tenth of a degree (at most 11 km). What no database says about a country (its continent, a point) comes from two
// small tables in this package. The country in which a network is registered counts if no database knows another. The
// country that it represents does not count.
//
// A table of countries is compiled in (Embedded), for use without files. go generate makes it from
// geo-whois-asn-country of the ip-location-db project, which has data of the Number Resource Organization (nro.net)
// under CC BY 4.0. Points of countries are from tzdata's zone.tab, which is in the public domain. docs/credits.md has
// the details.
//
// What is made of a file can be kept in a folder for the next start (keep.go).
//
// A Watcher follows the files and makes a new Table when one is replaced. A file that cannot be used is refused with a
// reason, and its last good version stays in service. Files are read into memory and not mapped: a mapped file that is
// overwritten in place would fault under a query.
//
// An IPv6 address with an embedded IPv4 address (6to4, Teredo, NAT64's well-known prefix, IPv4-mapped) is where the
// IPv4 address is: see Inner. Databases have copies of the IPv4 tree there, which are left out: those leaves are
// unknown.
package geo

import (
	"fmt"
	"strings"
	"time"
)

// Location is where a network's clients are, as far as that is known.
type Location struct {
	Continent   string  `json:"continent,omitempty"`   // two letters: AF, AN, AS, EU, NA, OC or SA; "" unknown
	Country     string  `json:"country,omitempty"`     // ISO 3166-1 alpha-2, "DE"; "" unknown
	Subdivision string  `json:"subdivision,omitempty"` // ISO 3166-2, "DE-BE": the country's first level; "" unknown
	Latitude    float64 `json:"latitude,omitempty"`    // degrees, -90 to 90, to a tenth
	Longitude   float64 `json:"longitude,omitempty"`   // degrees, -180 to 180, to a tenth
	HasPoint    bool    `json:"hasPoint,omitempty"`    // Latitude and Longitude are known
	Deeper      string  `json:"deeper,omitempty"`      // subdivisions of further levels, separated by spaces: "GB-LND"
	Registered  bool    `json:"registered,omitempty"`  // Country is where the network is registered; no other is known
}

// Told says which files told what about a location. "" means that none did, and that it follows from the country.
type Told struct {
	Country     string `json:"country,omitempty"`
	Subdivision string `json:"subdivision,omitempty"`
	Point       string `json:"point,omitempty"`
}

// Source is one database as the status shows it.
type Source struct {
	File   string    `json:"file"`            // as given; "(built in)" is the embedded table
	Type   string    `json:"type,omitempty"`  // as the database calls itself: "GeoLite2-City"
	Gives  string    `json:"gives,omitempty"` // "city", "country", "asn", "country and asn" or "city and asn"
	Built  time.Time `json:"built,omitzero"`  // when its publisher built it
	Loaded time.Time `json:"loaded,omitzero"` // modification time of the file in service
	Tells
	Error string `json:"error,omitempty"` // why the file's newest version is not in service; "": it is
}

// Tells counts what a database has.
type Tells struct {
	Networks     int `json:"networks"`               // with any record
	Countries    int `json:"countries,omitempty"`    // networks with a country
	Points       int `json:"points,omitempty"`       // networks with a point
	Subdivisions int `json:"subdivisions,omitempty"` // networks with a subdivision
	ASNs         int `json:"asns,omitempty"`         // networks with an AS number
}

// count adds one network, and what its record tells.
func (t *Tells) count(tells uint8) {
	t.Networks++
	for tell, number := range [...]*int{&t.Countries, &t.Points, &t.Subdivisions, &t.ASNs} {
		if tells&(1<<tell) != 0 {
			*number++
		}
	}
}

// gives returns Source.Gives.
func (t *Tells) gives() string {
	var what []string
	switch {
	case t.Points > 0:
		what = append(what, "city")
	case t.Countries > 0:
		what = append(what, "country")
	}
	if t.ASNs > 0 {
		what = append(what, "asn")
	}
	return strings.Join(what, " and ")
}

// written is how many networks somebody may have written by hand: half of so few may go with an edit.
const written = 1000

// less says what a database lacks that the version before it had: all of a kind of network, or more than half of it. It
// returns "" if nothing is lost.
func (t *Tells) less(before Tells) string {
	for _, c := range []struct {
		what     string
		was, has int
	}{
		{"tell the country", before.Countries, t.Countries},
		{"tell coordinates", before.Points, t.Points},
		{"tell the subdivision", before.Subdivisions, t.Subdivisions},
		{"tell the AS number", before.ASNs, t.ASNs},
		{"are in it", before.Networks, t.Networks},
	} {
		switch {
		case c.was > 0 && c.has == 0:
			return fmt.Sprintf("has no networks that %s, of which there were %d", c.what, c.was)
		case c.was > written && c.has < c.was/2:
			return fmt.Sprintf("has %d networks that %s, where there were %d", c.has, c.what, c.was)
		}
	}
	return ""
}
