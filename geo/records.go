package geo

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"
)

// records decodes a database's records, each once however many networks share it, and numbers the places in them. What
// counts is what the records say: the database's type is whatever its publisher calls it.
type records struct {
	db     *maxminddb.Reader
	fields map[string]bool // names in the first records, for the error about a wrong kind of database

	seen      map[uintptr]record // by offset within the database
	places    []place            // by number; 0 is unknown
	numbers   map[placeKey]uint32
	spellings map[string]string // one copy of each string, shared by all places
	words     map[string]uint32 // a number for each string

	form     form
	standard standard
	said     said // space for decoding
}

// record is the part of a database's record that steers.
type record struct {
	place, system uint32
	tells         uint8
}

// Bits of record.tells.
const (
	tellsCountry = 1 << iota
	tellsPoint
	tellsSubdivision
	tellsSystem
)

func newRecords(db *maxminddb.Reader) *records {
	return &records{
		db:        db,
		form:      formOf(db.Metadata.DatabaseType),
		fields:    map[string]bool{},
		seen:      map[uintptr]record{},
		places:    []place{{}},
		numbers:   map[placeKey]uint32{{}: 0},
		spellings: map[string]string{"": ""},
		words:     map[string]uint32{"": 0},
	}
}

// useless returns an error that says what the database has instead of what is needed.
func (r *records) useless() error {
	has := "its records are empty"
	if fields := slices.Sorted(maps.Keys(r.fields)); len(fields) > 0 {
		has = "its records have " + strings.Join(fields[:min(8, len(fields))], ", ")
	}
	return fmt.Errorf("a database of type %q that has neither countries nor coordinates nor AS numbers (%s); give "+
		"a City, "+
		"Country or ASN database", r.db.Metadata.DatabaseType, has)
}

// sample is how many different records are read for the names of their fields.
const sample = 256

// read returns what a network's record says, the zero record if the network has none.
func (r *records) read(network maxminddb.Result) (record, error) {
	if !network.Found() {
		return record{}, nil
	}
	found, ok := r.seen[network.Offset()]
	if ok {
		return found, nil
	}
	r.said = said{subdivisions: r.said.subdivisions[:0], fields: r.said.fields[:0], names: len(r.seen) < sample}
	if !r.said.names && r.standard.read(r.form, network, &r.said) {
		// It was read completely.
	} else if err := network.Decode(&r.said); err != nil {
		return found, fmt.Errorf("the record of %s is damaged (%w); fetch the database again", network.Prefix(), err)
	}
	for _, name := range r.said.fields {
		r.fields[name] = true
	}
	p := r.place(&r.said)
	found = record{place: r.number(p), system: r.said.system()}
	if p.Country != "" {
		found.tells |= tellsCountry
	}
	if p.HasPoint {
		found.tells |= tellsPoint
	}
	if p.Subdivision != "" {
		found.tells |= tellsSubdivision
	}
	if found.system != 0 {
		found.tells |= tellsSystem
	}
	r.seen[network.Offset()] = found
	return found, nil
}

// number returns the place's number, a new one for a new place.
func (r *records) number(p place) uint32 {
	key := r.keyOf(&p)
	number, ok := r.numbers[key]
	if !ok {
		number = uint32(len(r.places))
		r.places = append(r.places, p)
		r.numbers[key] = number
	}
	return number
}

// placeKey is a place in 20 octets: a map has 60,000 and more of them as keys.
type placeKey struct {
	continent, country, registered [2]byte
	subdivision, deeper            uint32
	latitude, longitude            int16 // tenths of degrees
	point                          bool
}

func (r *records) keyOf(p *place) placeKey {
	key := placeKey{
		subdivision: r.word(p.Subdivision),
		deeper:      r.word(p.Deeper),
		latitude:    int16(math.Round(p.Latitude * 10)),
		longitude:   int16(math.Round(p.Longitude * 10)),
		point:       p.HasPoint,
	}
	copy(key.continent[:], p.Continent)
	copy(key.country[:], p.Country)
	copy(key.registered[:], p.registered)
	return key
}

// word returns the number of a string. Equal strings have the same number.
func (r *records) word(s string) uint32 {
	n, ok := r.words[s]
	if !ok {
		n = uint32(len(r.words))
		r.words[s] = n
	}
	return n
}

// spell returns one copy for all equal strings.
func (r *records) spell(s string) string {
	if kept, ok := r.spellings[s]; ok {
		return kept
	}
	s = strings.Clone(s)
	r.spellings[s] = s
	return s
}
