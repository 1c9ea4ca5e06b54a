package geo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// layer is what one database says: ranges of its own location numbers, of AS numbers, or both.
type layer struct {
	source    Source
	places    *ranges // nil: it knows no locations
	locations []Location
	systems   *ranges // nil: it knows no AS numbers
}

// readLayer reads a database in the MaxMind DB format. It keeps nothing of data.
func readLayer(data []byte) (*layer, error) {
	db, err := open(data)
	if err != nil {
		return nil, err
	}
	l := &layer{source: Source{Type: db.Metadata.DatabaseType}}
	if epoch := db.Metadata.BuildEpoch; epoch > 0 && epoch < 1<<40 {
		l.source.Built = time.Unix(int64(epoch), 0).UTC()
	}

	records := newRecords(db)
	if err := records.detect(); err != nil {
		return nil, err
	}
	if records.hasPlaces() {
		l.places, err = build(networks(db, records.place, &l.source.Networks))
		if err != nil {
			return nil, err
		}
		l.locations = slices.Clone(records.locations) // appending has left room
	}
	if records.hasSystems() {
		l.systems, err = build(networks(db, records.system, &l.source.Networks))
		if err != nil {
			return nil, err
		}
	}
	if l.source.Gives = records.gives(); l.source.Gives == "" {
		return nil, records.useless()
	}
	// A flat database may have had either: what it does not know must not stand in the way of those that do.
	if !records.points && !records.countries {
		l.places, l.locations = nil, nil
	}
	if !records.systems {
		l.systems = nil
	}
	return l, nil
}

// open checks what can be checked before reading, to say more of what is wrong than that something is.
func open(data []byte) (*maxminddb.Reader, error) {
	if len(data) == 0 {
		return nil, errEmpty
	}
	if err := packed(data); err != nil {
		return nil, err
	}
	db, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, foreign(err)
	}
	if v := db.Metadata.IPVersion; v != 4 && v != 6 {
		return nil, fmt.Errorf("a database for IP version %d; give one for 4 or 6", v)
	}
	if err := checkTree(data, &db.Metadata); err != nil {
		return nil, err
	}
	return db, nil
}

// packed refuses what begins as an archive does.
func packed(head []byte) error {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return errors.New("the file is compressed with gzip; unpack it (gunzip, or tar -xzf) and give the .mmdb file")
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return errors.New("the file is a ZIP archive; unpack it and give the .mmdb file")
	}
	return nil
}

// foreign says that a file is none of the format.
func foreign(err error) error {
	return fmt.Errorf("not a database in the MaxMind DB format, or cut short (%w); fetch it again and put it in "+
		"place with a rename", err)
}

// networks walks all of the database's networks with their values; addresses in none have value 0. Copies of the IPv4
// tree elsewhere in an IPv6 tree count as addresses in none. Each walk leaves in count how many
// networks there are.
func networks(db *maxminddb.Reader, value func(maxminddb.Result) (uint32, error), count *int) walk {
	return func(v4 func(uint32, uint32), v6 func(uint64, uint64, uint32)) error {
		var next4 uint64 // the first address that is not covered yet; 1<<32: none
		var upper, lower uint64
		done := false // likewise: upper, lower have passed the last
		*count = 0
		var options []maxminddb.NetworksOption
		if db.Metadata.IPVersion == 6 {
			if all := db.Lookup(netip.IPv4Unspecified()).Prefix(); all.Addr().Is6() || all.Bits() == 0 {
				// One record for all of IPv4: the reader would take all networks that have this record for copies.
				options = append(options, maxminddb.IncludeAliasedNetworks())
			}
		}
		for network := range db.Networks(options...) {
			if err := network.Err(); err != nil {
				return fmt.Errorf("damaged (%w); fetch it again", err)
			}
			n, err := value(network)
			if err != nil {
				return err
			}
			if network.Found() {
				*count++
			}
			prefix := network.Prefix()
			first, length := prefix.Addr(), prefix.Bits()
			if first.Is4() {
				b := first.As4()
				start := binary.BigEndian.Uint32(b[:])
				if uint64(start) > next4 {
					v4(uint32(next4), 0)
				}
				v4(start, n)
				next4 = uint64(start) + 1<<(32-length)
				continue
			}
			b := first.As16()
			u, l := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
			if u == 0 && l == 0 { // so short that all of IPv4 (::/96) is within
				v4(0, n)
				next4 = 1 << 32
			}
			if u != upper || l != lower {
				v6(upper, lower, 0)
			}
			v6(u, l, n)
			switch {
			case length == 0:
				done = true
			case length <= 64:
				upper, lower = u+1<<(64-length), 0
				done = upper == 0
			default:
				upper, lower = u, l+1<<(128-length)
				if lower == 0 {
					upper++
					done = upper == 0
				}
			}
		}
		if next4 < 1<<32 {
			v4(uint32(next4), 0)
		}
		if !done {
			v6(upper, lower, 0)
		}
		return nil
	}
}

// join makes a table of layers, in their order: the first that knows a network wins.
func join(layers []*layer) (*Table, error) {
	t := &Table{locations: []Location{{}}}
	var places, systems *ranges
	numbers := map[Location]uint32{} // built when a second layer of locations comes
	for _, l := range layers {
		t.sources = append(t.sources, l.source)
		if l.systems != nil {
			if systems == nil {
				systems = l.systems
			} else {
				joined, err := overlay(systems, l.systems, func(x, y uint32) uint32 {
					if x != 0 {
						return x
					}
					return y
				})
				if err != nil {
					return nil, err
				}
				systems = joined
			}
		}
		if l.places == nil {
			continue
		}
		if places == nil {
			places, t.locations = l.places, l.locations
			continue
		}
		if len(numbers) == 0 {
			t.locations = append([]Location(nil), t.locations...) // the first layer's own until now
			for i, location := range t.locations {
				numbers[location] = uint32(i)
			}
		}
		translated := make([]uint32, len(l.locations))
		for i, location := range l.locations {
			number, ok := numbers[location]
			if !ok {
				number = uint32(len(t.locations))
				t.locations = append(t.locations, location)
				numbers[location] = number
			}
			translated[i] = number
		}
		joined, err := overlay(places, l.places, func(x, y uint32) uint32 {
			y = translated[y]
			if x == 0 || !t.locations[x].known() && t.locations[y].known() {
				return y
			}
			return x
		})
		if err != nil {
			return nil, err
		}
		places = joined
	}
	if places == nil {
		places = uniform(0)
	}
	if systems == nil {
		systems = uniform(0)
	}
	t.places, t.systems = *places, *systems
	return t, nil
}
