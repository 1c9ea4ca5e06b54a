package geo

import (
	"math"
	"strconv"
	"strings"

	"github.com/oschwald/geoip2-golang/v2"
)

// flatRecord has the names of fields that makers of flat databases use. Their kinds differ: "AS64500" and 64500, "52.5" and
// 52.5; a country may be a name where another field has its code.
type flatRecord struct {
	CountryCode   any `maxminddb:"country_code"`
	CountryISO    any `maxminddb:"country_iso_code"`
	Country       any `maxminddb:"country"`
	ContinentCode any `maxminddb:"continent_code"`
	Continent     any `maxminddb:"continent"`
	RegionCode    any `maxminddb:"region_code"`
	Subdivision   any `maxminddb:"subdivision_code"`
	Latitude      any `maxminddb:"latitude"`
	Lat           any `maxminddb:"lat"`
	Longitude     any `maxminddb:"longitude"`
	Lng           any `maxminddb:"lng"`
	Lon           any `maxminddb:"lon"`
	Number        any `maxminddb:"autonomous_system_number"`
	ASN           any `maxminddb:"asn"`
	ASNumber      any `maxminddb:"as_number"`
}

// fromCity takes what steers from a record in GeoIP2's form.
func (r *records) fromCity(city *geoip2.City) Location {
	l := Location{
		Continent: r.continent(city.Continent.Code),
		Country:   r.country(city.Country.ISOCode),
	}
	if len(city.Subdivisions) > 0 {
		l.Subdivision = r.subdivision(l.Country, city.Subdivisions[0].ISOCode)
	}
	if city.Location.HasCoordinates() {
		l.setPoint(*city.Location.Latitude, *city.Location.Longitude)
	}
	return l
}

// fromFlat takes it from a flat record.
func (r *records) fromFlat(content *flatRecord) (l Location, system uint32) {
	for _, field := range []any{content.CountryCode, content.CountryISO, content.Country} {
		if l.Country = r.country(text(field)); l.Country != "" {
			break
		}
	}
	for _, field := range []any{content.ContinentCode, content.Continent} {
		if l.Continent = r.continent(text(field)); l.Continent != "" {
			break
		}
	}
	for _, field := range []any{content.RegionCode, content.Subdivision} {
		if l.Subdivision = r.subdivision(l.Country, text(field)); l.Subdivision != "" {
			break
		}
	}
	latitude, ok := degrees(content.Latitude, content.Lat)
	longitude, ok2 := degrees(content.Longitude, content.Lng, content.Lon)
	if ok && ok2 {
		l.setPoint(latitude, longitude)
	}
	for _, field := range []any{content.Number, content.ASN, content.ASNumber} {
		digits := text(field)
		if len(digits) > 2 && strings.EqualFold(digits[:2], "AS") {
			digits = digits[2:]
		}
		if n, err := strconv.ParseUint(digits, 10, 64); err == nil {
			return l, systemNumber(uint(n))
		}
	}
	return l, 0
}

// country returns the code in capitals, "" for what is not a code: "-" and names too.
func (r *records) country(code string) string {
	if len(code) != 2 {
		return ""
	}
	code = strings.ToUpper(code)
	if code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z' || code == "ZZ" { // ZZ: unknown, by ISO's leave
		return ""
	}
	return r.spell(code)
}

// continent returns the code in capitals, "" for what is none.
func (r *records) continent(code string) string {
	if code = strings.ToUpper(code); !KnownContinent(code) {
		return ""
	}
	return r.spell(code)
}

// subdivision returns the ISO 3166-2 code, with the country, of a code with or without it.
func (r *records) subdivision(country, code string) string {
	code = strings.TrimPrefix(strings.ToUpper(code), country+"-")
	if country == "" || len(code) == 0 || len(code) > 3 {
		return ""
	}
	for i := range len(code) {
		if c := code[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return ""
		}
	}
	return r.spell(country + "-" + code)
}

// systemNumber returns an AS number (RFC 6793: 32 bits), 0 for what is none.
func systemNumber(n uint) uint32 {
	if n > math.MaxUint32 {
		return 0
	}
	return uint32(n)
}

// setPoint takes a point unless it is none: out of range, or 0, 0, which is how flat databases say that they do not know.
func (l *Location) setPoint(latitude, longitude float64) {
	if !(math.Abs(latitude) <= 90 && math.Abs(longitude) <= 180) || latitude == 0 && longitude == 0 {
		return
	}
	l.Latitude, l.Longitude, l.HasPoint = tenth(latitude), tenth(longitude), true
}

// tenth rounds to a tenth, and does not know -0.
func tenth(degrees float64) float64 { return math.Round(degrees*10)/10 + 0 }

// complete adds what a country's code is enough for.
func complete(l Location) Location {
	if l.Continent == "" {
		l.Continent = continentOf(l.Country)
	}
	if !l.HasPoint {
		if latitude, longitude, ok := pointOf(l.Country); ok {
			l.setPoint(latitude, longitude)
		}
	}
	return l
}

// text returns a field's value as text: a string, or an integer's digits.
func text(field any) string {
	switch value := field.(type) {
	case string:
		return strings.TrimSpace(value)
	case uint64:
		return strconv.FormatUint(value, 10)
	case uint32:
		return strconv.FormatUint(uint64(value), 10)
	case uint16:
		return strconv.FormatUint(uint64(value), 10)
	case int32:
		return strconv.FormatInt(int64(value), 10)
	case int:
		return strconv.Itoa(value)
	case uint:
		return strconv.FormatUint(uint64(value), 10)
	}
	return ""
}

// degrees returns the first of the fields that is a number.
func degrees(fields ...any) (float64, bool) {
	for _, field := range fields {
		switch value := field.(type) {
		case float64:
			return value, true
		case float32:
			return float64(value), true
		case nil:
		default:
			if number, err := strconv.ParseFloat(text(value), 64); err == nil {
				return number, true
			}
		}
	}
	return 0, false
}
