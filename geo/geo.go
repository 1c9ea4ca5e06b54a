// Package geo tells where on the map an address is, and in which autonomous system.
//
// Databases are read once, whole, and turned into a Table: disjoint sorted ranges of addresses, the leaves, that cover
// both families without a hole. A leaf has a location number and a location number a Location; neighbours of equal
// location are one leaf. So what a query pays for is one binary search in an array of integers: nothing is decoded,
// nothing allocated, and whoever decides by location (package steer) can decide once for each location number and have
// a prefix's decision by two look-ups. AS numbers are a second sequence of leaves beside the first, because the two cut
// the address space at different places and the product of both would be several times as large.
//
// Any number of databases make one Table. Of each network the first database that knows its country tells that, and
// what it leaves open (subdivision, point) is filled from the others that name the same country, or none; Told says
// which told what. Of a record only what steers is kept: continent, country, subdivisions and the point to a tenth of a
// degree (11 km at most). What no database says of a country (the continent, a point) comes from two small tables in
// this package. The country in which a network is registered counts where no database knows another; the one that it
// represents does not.
//
// Without a file there is a table of countries compiled into the program (Embedded), made by go generate from
// geo-whois-asn-country of the ip-location-db project, which holds data of the Number Resource Organization (nro.net)
// under CC BY 4.0; points of countries are from tzdata's zone.tab, which is in the public domain. docs/credits.md has
// the whole of it.
//
// What is made of a file can be kept in a folder, for the next start (keep.go).
//
// A Watcher follows the files and swaps in a new Table when one is replaced; a file that cannot be used is refused with
// the reason, and its last good version stays in service. Files are read into memory and let go of after that: a mapped
// file that is overwritten in place would fault under a query.
//
// An address is IPv4 or IPv6 by its netip.Addr. An IPv6 address that has an IPv4 address within (6to4, Teredo, NAT64's
// well-known prefix, IPv4-mapped) is where that is: see Inner. The copies of the IPv4 tree that databases keep there
// are not kept: in ranges these are leaves of which nothing is known.
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
	Deeper      string  `json:"deeper,omitempty"`      // its subdivisions of further levels, a space between: "GB-LND"
	Registered  bool    `json:"registered,omitempty"`  // Country is where the network is registered: no other is known
}

// Told is which files told of a location what; "" where none did, and what is known comes from the country alone.
type Told struct {
	Country     string `json:"country,omitempty"`
	Subdivision string `json:"subdivision,omitempty"`
	Point       string `json:"point,omitempty"`
}

// Source is one database as status shows it.
type Source struct {
	File   string    `json:"file"`            // as given; "(built in)" is the embedded table
	Type   string    `json:"type,omitempty"`  // as the database calls itself: "GeoLite2-City"
	Gives  string    `json:"gives,omitempty"` // "city", "country", "asn", "country and asn" or "city and asn"
	Built  time.Time `json:"built,omitzero"`  // when its maker built it
	Loaded time.Time `json:"loaded,omitzero"` // modification time of the file that is in service
	Tells
	Error string `json:"error,omitempty"` // why the newest version of the file is not in service; "" if it is
}

// Tells is what a database contains: of how many networks it says something, and what.
type Tells struct {
	Networks     int `json:"networks"`
	Countries    int `json:"countries,omitempty"`    // networks of which it says the country
	Points       int `json:"points,omitempty"`       // the point
	Subdivisions int `json:"subdivisions,omitempty"` // the subdivision
	ASNs         int `json:"asns,omitempty"`         // the AS number
}

// count adds one network, of which a record tells something.
func (t *Tells) count(tells uint8) {
	t.Networks++
	for tell, number := range [...]*int{&t.Countries, &t.Points, &t.Subdivisions, &t.ASNs} {
		if tells&(1<<tell) != 0 {
			*number++
		}
	}
}

// gives says what was found, as Source.Gives has it.
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

// Few enough networks for somebody to have written them down: with so many as that, half of them gone is an edit.
const written = 1000

// less says what a database lacks that the one before it had: all networks of which it said something, or half of them.
// It is "" where nothing of that kind is lost.
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
