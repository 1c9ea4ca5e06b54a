package geo

import (
	"slices"
	"strconv"
	"strings"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"
)

// standard is space for decoding records in MaxMind's own forms, with MaxMind's names. A database has one form, which
// its type gives.
type standard struct {
	city geoip2.City
	asn  geoip2.ASN
}

// form is the form of a database's records, according to its type.
type form uint8

const (
	formOther form = iota // anything else: see said
	formCity
	formASN
)

func formOf(databaseType string) form {
	for _, maker := range []string{"GeoIP2-", "GeoLite2-", "DBIP-"} {
		switch kind, ok := strings.CutPrefix(databaseType, maker); {
		case !ok:
		case strings.Contains(kind, "ASN"):
			return formASN
		case strings.Contains(kind, "City"), strings.Contains(kind, "Enterprise"):
			return formCity
		}
	}
	return formOther
}

// read decodes a record of a form, and reports whether the record has that form and is complete. Otherwise said reads
// it: others also make databases that call themselves GeoLite2, and use other fields.
func (s *standard) read(f form, network maxminddb.Result, into *said) bool {
	switch f {
	case formCity:
		s.city = geoip2.City{}
		c := &s.city
		if network.Decode(c) != nil || c.Country.ISOCode == "" || len(c.Subdivisions) == 0 ||
			!c.Location.HasCoordinates() ||
			slices.ContainsFunc(c.Subdivisions, func(s geoip2.CitySubdivision) bool { return s.ISOCode == "" }) {
			return false
		}
		into.countries[0], into.registered[0] = s.city.Country.ISOCode, s.city.RegisteredCountry.ISOCode
		into.continents[0] = s.city.Continent.Code
		for _, level := range s.city.Subdivisions[:min(deepest, len(s.city.Subdivisions))] {
			into.subdivisions = append(into.subdivisions, level.ISOCode)
		}
		into.latitude = number{*s.city.Location.Latitude, true}
		into.longitude = number{*s.city.Location.Longitude, true}
		return true
	case formASN:
		s.asn = geoip2.ASN{}
		if network.Decode(&s.asn) != nil || s.asn.AutonomousSystemNumber == 0 {
			return false
		}
		into.systems[0] = strconv.FormatUint(uint64(s.asn.AutonomousSystemNumber), 10)
		return true
	}
	return false
}
