package geo

import (
	"math"
	"strconv"
	"strings"
)

// place extracts what steers from a record.
func (r *records) place(s *said) (p place) {
	for _, code := range s.countries {
		known, continent := country(code)
		if known != "" {
			p.Country, p.Continent = r.spell(known), ""
			break
		}
		if p.Continent == "" {
			p.Continent = continent // "EU" is not a country, but says the continent
		}
	}
	for _, code := range s.registered {
		if known, _ := country(code); p.registered == "" {
			p.registered = r.spell(known)
		}
	}
	for _, code := range s.continents {
		if continent := strings.ToUpper(code); KnownContinent(continent) {
			p.Continent = r.spell(continent)
			break
		}
	}
	for level, code := range s.subdivisions {
		switch code = r.subdivision(p.Country, code); {
		case code == "":
		case level == 0:
			p.Subdivision = code
		case p.Deeper == "":
			p.Deeper = code
		default:
			p.Deeper += " " + code
		}
	}
	for i, code := range s.regions {
		if i == 3 && code != strings.ToUpper(code) {
			continue // state1 mostly has names, some as short as a code: "Goa"
		}
		if p.Subdivision == "" {
			p.Subdivision = r.subdivision(p.Country, code)
		}
	}
	p.Deeper = r.spell(p.Deeper)
	if s.latitude.known && s.longitude.known {
		p.setPoint(s.latitude.value, s.longitude.value)
	}
	return p
}

// system returns the record's AS number (RFC 6793: 32 bits), 0 if it has none.
func (s *said) system() uint32 {
	for _, digits := range s.systems {
		if len(digits) > 2 && strings.EqualFold(digits[:2], "AS") {
			digits = digits[2:]
		}
		if n, err := strconv.ParseUint(digits, 10, 32); err == nil {
			return uint32(n)
		}
	}
	return 0
}

// country returns a code of ISO 3166-1 in capitals. It returns "" for anything else: "-", a name, a code that is out of
// use. For some of those it knows the continent.
func country(code string) (country, continent string) {
	if len(code) != 2 {
		return "", ""
	}
	switch code = strings.ToUpper(code); code {
	case "EU":
		return "", "EU"
	case "AP": // "Asia and Pacific" of registries
		return "", "AS"
	case "AN": // the Netherlands Antilles, until 2010
		return "", "NA"
	case "UK":
		code = "GB"
	}
	if !KnownCountry(code) {
		return "", ""
	}
	return code, ""
}

// subdivision returns the ISO 3166-2 code, including the country, from a code with or without the country.
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

// setPoint sets a point if it is valid: within range, and not 0, 0, which flat databases write for unknown.
func (l *Location) setPoint(latitude, longitude float64) {
	if !(math.Abs(latitude) <= 90 && math.Abs(longitude) <= 180) || latitude == 0 && longitude == 0 {
		return
	}
	l.Latitude, l.Longitude, l.HasPoint = tenth(latitude), tenth(longitude), true
}

// tenth rounds to a tenth, and turns -0 into 0.
func tenth(degrees float64) float64 { return math.Round(degrees*10)/10 + 0 }

// complete adds what follows from a country's code.
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
