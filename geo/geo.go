// Package geo tells where on the map an address is, and in which autonomous system.
//
// Databases are read once, whole, and turned into a Table: disjoint sorted ranges of addresses, the leaves, that cover
// both families without a hole. A leaf has a location number and a location number a Location; neighbours of equal
// location are one leaf. So what a query pays for is one binary search in an array of integers: nothing is decoded,
// nothing allocated, and whoever decides by location (package steer) can decide once for each location number and have a
// prefix's decision by two look-ups. AS numbers are a second sequence of leaves beside the first, because the two cut the
// address space at different places and the product of both would be several times as large.
//
// Any number of databases make one Table. Of each network the first database that knows its country or its point tells
// where it is, so a Country database behind a City database fills what that leaves open. Of a record only what steers is
// kept: continent, country, first subdivision and the point to a tenth of a degree (11 km at most). What a database does
// not say of a country (the continent, a point) comes from two small tables in this package. The country in which a network
// is registered and the country that it represents are not where its clients are, and are not used.
//
// Without a file there is a table of countries compiled into the program (Embedded), made by go generate from
// geo-whois-asn-country of the ip-location-db project, which holds data of the Number Resource Organization (nro.net)
// under CC BY 4.0; points of countries are from tzdata's zone.tab, which is in the public domain. docs/credits.md has
// the whole of it.
//
// A Watcher follows the files and swaps in a new Table when one is replaced; a file that cannot be used is refused with
// the reason, and its last good version stays in service. Files are read into memory and let go of after that: a mapped
// file that is overwritten in place would fault under a query.
//
// An address is IPv4 or IPv6 by its netip.Addr; an IPv4 address inside an IPv6 one is the caller's to unmap. The copies
// of the IPv4 tree that databases keep below 2002::/16, ::ffff:0:0/96 and Teredo's prefix are not kept: these are leaves of
// which nothing is known.
package geo

import "time"

// Location is where a network's clients are, as far as that is known.
type Location struct {
	Continent   string  `json:"continent,omitempty"`   // two letters: AF, AN, AS, EU, NA, OC or SA; "" unknown
	Country     string  `json:"country,omitempty"`     // ISO 3166-1 alpha-2, "DE"; "" unknown
	Subdivision string  `json:"subdivision,omitempty"` // ISO 3166-2, "DE-BE": the country's first level; "" unknown
	Latitude    float64 `json:"latitude,omitempty"`    // degrees, -90 to 90, to a tenth
	Longitude   float64 `json:"longitude,omitempty"`   // degrees, -180 to 180, to a tenth
	HasPoint    bool    `json:"hasPoint,omitempty"`    // Latitude and Longitude are known
}

// known reports whether the location is enough for the database that gave it to be the one that knows the network.
func (l *Location) known() bool { return l.Country != "" || l.HasPoint }

// Source is one database as status shows it.
type Source struct {
	File     string    `json:"file"`            // as given; "(built in)" is the embedded table
	Type     string    `json:"type,omitempty"`  // as the database calls itself: "GeoLite2-City"
	Gives    string    `json:"gives,omitempty"` // "city", "country", "asn", "country and asn" or "city and asn"
	Built    time.Time `json:"built,omitzero"`  // when its maker built it
	Loaded   time.Time `json:"loaded,omitzero"` // modification time of the file that is in service
	Networks int       `json:"networks"`        // of which it says something
	Error    string    `json:"error,omitempty"` // why the newest version of the file is not in service; "" if it is
}
