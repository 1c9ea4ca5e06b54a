package geo

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"
)

// records decodes a database's records, each once however many networks share it, and numbers the locations found.
type records struct {
	db     *maxminddb.Reader
	form   form
	fields []string // of the records that detect has looked at

	seen      map[uintptr]record // by offset within the database
	locations []Location         // by number; 0 is unknown
	numbers   map[placeKey]uint32
	spellings map[string]string // one string of each kind, to keep for all locations

	points, countries, systems bool // what has been found

	// Where records are decoded to, one for all: a City is 1.7 KB and would be garbage 340,000 times over.
	city    geoip2.City
	asn     geoip2.ASN
	content flatRecord
}

// record is what steers in one of them.
type record struct{ place, system uint32 }

// form is how records are laid out.
type form uint8

const (
	nested   form = 1 << iota // GeoIP2's City and Country, which DB-IP has too: {"country": {"iso_code": "DE"}}
	flat                      // {"country_code": "DE", "latitude": 52.5}
	numbered                  // GeoIP2's ASN and ISP: {"autonomous_system_number": 64500}
)

func newRecords(db *maxminddb.Reader) *records {
	return &records{
		db:        db,
		seen:      map[uintptr]record{},
		locations: []Location{{}},
		numbers:   map[placeKey]uint32{{}: 0},
		spellings: map[string]string{},
	}
}

// sample is how many different records detect looks at.
const sample = 256

// detect finds out the form from the records themselves, since a database's type is whatever its maker calls it.
func (r *records) detect() error {
	fields := map[string]bool{}
	offsets := map[uintptr]bool{}
	for network := range r.db.Networks() {
		if err := network.Err(); err != nil {
			return fmt.Errorf("damaged (%w); fetch it again", err)
		}
		if len(offsets) == sample {
			break
		}
		if offsets[network.Offset()] {
			continue
		}
		offsets[network.Offset()] = true
		var content any
		if err := network.Decode(&content); err != nil {
			return damaged(network, err)
		}
		object, _ := content.(map[string]any)
		for field, value := range object {
			fields[field] = true
			_, inner := value.(map[string]any)
			switch field {
			case "country", "continent", "location":
				if inner {
					r.form |= nested
				} else if field != "location" {
					r.form |= flat
				}
			case "country_code", "country_iso_code", "latitude", "lat", "asn", "as_number":
				r.form |= flat
			case "autonomous_system_number":
				r.form |= numbered
			}
		}
	}
	if len(offsets) == 0 {
		return errors.New("the database has no network in it; fetch it again")
	}
	r.fields = slices.Sorted(maps.Keys(fields))
	if r.form == 0 {
		return r.useless()
	}
	return nil
}

// useless says what the database has instead of what is needed.
func (r *records) useless() error {
	has := "its records are empty"
	if len(r.fields) > 0 {
		has = "its records have " + strings.Join(r.fields[:min(8, len(r.fields))], ", ")
	}
	return fmt.Errorf("a database of type %q that tells neither countries nor coordinates nor AS numbers (%s); give a City, "+
		"Country or ASN database", r.db.Metadata.DatabaseType, has)
}

func damaged(network maxminddb.Result, err error) error {
	return fmt.Errorf("the record of %s is damaged (%w); fetch the database again", network.Prefix(), err)
}

func (r *records) hasPlaces() bool  { return r.form&(nested|flat) != 0 }
func (r *records) hasSystems() bool { return r.form&(numbered|flat) != 0 }

// gives says what was found, as Source.Gives has it.
func (r *records) gives() string {
	var what []string
	switch {
	case r.points:
		what = append(what, "city")
	case r.countries:
		what = append(what, "country")
	}
	if r.systems {
		what = append(what, "asn")
	}
	return strings.Join(what, " and ")
}

// place returns the location number of a network.
func (r *records) place(network maxminddb.Result) (uint32, error) {
	found, err := r.read(network)
	return found.place, err
}

// system returns the AS number of a network.
func (r *records) system(network maxminddb.Result) (uint32, error) {
	found, err := r.read(network)
	return found.system, err
}

func (r *records) read(network maxminddb.Result) (record, error) {
	if !network.Found() {
		return record{}, nil
	}
	found, ok := r.seen[network.Offset()]
	if ok {
		return found, nil
	}
	var location Location
	if r.form&flat != 0 {
		r.content = flatRecord{}
		if err := network.Decode(&r.content); err != nil {
			return found, damaged(network, err)
		}
		location, found.system = r.fromFlat(&r.content)
	}
	if r.form&nested != 0 {
		r.city = geoip2.City{}
		if err := network.Decode(&r.city); err != nil {
			return found, damaged(network, err)
		}
		location = r.fromCity(&r.city)
	}
	if r.form&numbered != 0 {
		r.asn = geoip2.ASN{}
		if err := network.Decode(&r.asn); err != nil {
			return found, damaged(network, err)
		}
		found.system = systemNumber(r.asn.AutonomousSystemNumber)
	}
	r.points = r.points || location.HasPoint
	r.countries = r.countries || location.Country != ""
	r.systems = r.systems || found.system != 0
	found.place = r.number(complete(location))
	r.seen[network.Offset()] = found
	return found, nil
}

// number returns the location's number, a new one if it has none yet.
func (r *records) number(location Location) uint32 {
	key := keyOf(&location)
	number, ok := r.numbers[key]
	if !ok {
		number = uint32(len(r.locations))
		r.locations = append(r.locations, location)
		r.numbers[key] = number
	}
	return number
}

// placeKey is all of a Location in 14 bytes: 60,000 and more are keys of a map.
type placeKey struct {
	continent, country  [2]byte
	subdivision         [4]byte // of "DE-BE", "BE"
	latitude, longitude int16   // tenths of degrees
	point               bool
}

func keyOf(l *Location) placeKey {
	key := placeKey{
		latitude:  int16(math.Round(l.Latitude * 10)),
		longitude: int16(math.Round(l.Longitude * 10)),
		point:     l.HasPoint,
	}
	copy(key.continent[:], l.Continent)
	copy(key.country[:], l.Country)
	copy(key.subdivision[:], strings.TrimPrefix(l.Subdivision, l.Country+"-"))
	return key
}

// spell returns one and the same string for all that are equal.
func (r *records) spell(s string) string {
	if kept, ok := r.spellings[s]; ok {
		return kept
	}
	s = strings.Clone(s)
	r.spellings[s] = s
	return s
}
