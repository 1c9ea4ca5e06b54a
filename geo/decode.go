package geo

import (
	"errors"
	"strconv"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2/mmdbdata"
)

// said is what one record says that steers, under whatever names its publisher uses: nested as in GeoIP2's forms, flat,
// or both. Unknown fields, and fields of an impossible kind, are ignored: only a record that cannot be read at all
// counts as damaged.
type said struct {
	countries    [4]string // codes, or names: nested, country_code, country_iso_code, country
	registered   [2]string
	continents   [3]string
	subdivisions []string // nested, from the outermost
	regions      [4]string
	latitude     number
	longitude    number
	systems      [3]string
	fields       []string // names of its fields, if names is set
	names        bool
}

type number struct {
	value float64
	known bool
}

// errNoRecord says that a record is not a map.
var errNoRecord = errors.New("it is not a map of fields")

// UnmarshalMaxMindDBCursor reads a record. It skips what it does not need without decoding it.
func (s *said) UnmarshalMaxMindDBCursor(record mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	if kind, err := record.Kind(); err != nil {
		return record, err
	} else if kind != mmdbdata.KindMap {
		return record, errNoRecord
	}
	return each(record, s.field)
}

// field reads one field of a record, and returns the position after it.
func (s *said) field(name []byte, value mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	if s.names && len(s.fields) < 64 {
		s.fields = append(s.fields, string(name))
	}
	switch string(name) {
	case "country":
		return s.code(value, &s.countries[0], &s.countries[3])
	case "country_code":
		return word(value, &s.countries[1])
	case "country_iso_code":
		return word(value, &s.countries[2])
	case "registered_country":
		return s.code(value, &s.registered[0], &s.registered[1])
	case "continent":
		return s.code(value, &s.continents[0], &s.continents[2])
	case "continent_code":
		return word(value, &s.continents[1])
	case "subdivisions":
		return s.levels(value)
	case "region_code":
		return word(value, &s.regions[0])
	case "subdivision_code":
		return word(value, &s.regions[1])
	case "region_iso_code":
		return word(value, &s.regions[2])
	case "state1":
		return word(value, &s.regions[3])
	case "location":
		return inside(value, s.coordinate)
	case "autonomous_system_number":
		return word(value, &s.systems[0])
	case "asn":
		return word(value, &s.systems[1])
	case "as_number":
		return word(value, &s.systems[2])
	}
	return s.coordinate(name, value)
}

// coordinate reads a field of a point.
func (s *said) coordinate(name []byte, value mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	switch string(name) {
	case "latitude", "lat":
		return degrees(value, &s.latitude)
	case "longitude", "lng", "lon":
		return degrees(value, &s.longitude)
	}
	return value.Skip()
}

// code reads a code, or a map that contains one.
func (s *said) code(value mmdbdata.Cursor, nested, flat *string) (mmdbdata.Cursor, error) {
	if kind, err := value.Kind(); err != nil || kind != mmdbdata.KindMap {
		return word(value, flat)
	}
	return each(value, func(name []byte, value mmdbdata.Cursor) (mmdbdata.Cursor, error) {
		switch string(name) {
		case "iso_code", "code":
			return word(value, nested)
		}
		return value.Skip()
	})
}

// deepest is how many levels of subdivisions are kept: in ISO 3166-2, some countries have three.
const deepest = 3

// levels reads a country's subdivisions, outermost first.
func (s *said) levels(value mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	if kind, err := value.Kind(); err != nil || kind != mmdbdata.KindSlice {
		return value.Skip()
	}
	all, err := value.Slice()
	if err != nil {
		return value, err
	}
	var next mmdbdata.Cursor
	for {
		_, element, more := all.Next(next)
		if !more {
			return all.End()
		}
		code := ""
		if next, err = s.code(element, &code, &code); err != nil {
			return element, err
		}
		if len(s.subdivisions) < deepest {
			s.subdivisions = append(s.subdivisions, code)
		}
	}
}

// inside reads the fields of a map, and skips anything else.
func inside(value mmdbdata.Cursor, field func([]byte, mmdbdata.Cursor) (mmdbdata.Cursor, error)) (mmdbdata.Cursor,
	error,
) {
	if kind, err := value.Kind(); err != nil || kind != mmdbdata.KindMap {
		return value.Skip()
	}
	return each(value, field)
}

// each calls field for each field of a map, and returns the position after the map.
func each(value mmdbdata.Cursor, field func([]byte, mmdbdata.Cursor) (mmdbdata.Cursor, error)) (mmdbdata.Cursor,
	error,
) {
	fields, err := value.Map()
	if err != nil {
		return value, err
	}
	var next mmdbdata.Cursor
	for {
		name, inner, more := fields.Next(next)
		if !more {
			return fields.End()
		}
		if next, err = field(name, inner); err != nil {
			return inner, err
		}
	}
}

// word reads text, or the digits of an integer.
func word(value mmdbdata.Cursor, into *string) (next mmdbdata.Cursor, err error) {
	kind, err := value.Kind()
	if err != nil {
		return value, err
	}
	switch kind {
	case mmdbdata.KindString:
		var text string
		text, next, err = value.ReadString()
		*into = strings.TrimSpace(text)
		return next, err
	case mmdbdata.KindUint16, mmdbdata.KindUint32, mmdbdata.KindUint64:
		var n uint64
		n, next, err = value.ReadUint()
		*into = strconv.FormatUint(n, 10)
		return next, err
	case mmdbdata.KindInt32:
		var n int32
		n, next, err = value.ReadInt32()
		*into = strconv.Itoa(int(n))
		return next, err
	}
	return value.Skip()
}

// degrees reads a number of any kind, or its digits.
func degrees(value mmdbdata.Cursor, into *number) (next mmdbdata.Cursor, err error) {
	kind, err := value.Kind()
	if err != nil {
		return value, err
	}
	if kind == mmdbdata.KindFloat64 || kind == mmdbdata.KindFloat32 {
		into.value, next, err = value.ReadFloat()
		into.known = err == nil
		return next, err
	}
	text := ""
	if next, err = word(value, &text); err != nil {
		return next, err
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		*into = number{n, true}
	}
	return next, nil
}
