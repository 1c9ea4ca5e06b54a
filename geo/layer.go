package geo

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// layer is what one database says: ranges of its own place numbers, of AS numbers, or both.
type layer struct {
	source  Source
	places  *ranges // nil: it has no locations
	told    []place // by number; 0 is unknown
	systems *ranges // nil: it has no AS numbers

	of   [sha256.Size]byte // digest of the database; zero if nothing is kept
	kept bool              // it is in its kept file
}

// readLayer reads a database in the MaxMind DB format. It does not retain data.
func readLayer(data []byte) (*layer, error) {
	db, err := open(data)
	if err != nil {
		return nil, err
	}
	l := &layer{source: Source{Type: db.Metadata.DatabaseType}}
	if epoch := db.Metadata.BuildEpoch; epoch > 0 && epoch < 1<<40 {
		l.source.Built = time.Unix(int64(epoch), 0).UTC()
	}
	r := newRecords(db)
	if l.places, err = build(networks(r, func(found record) uint32 {
		return found.place
	}, &l.source.Tells)); err != nil {
		return nil, err
	}
	switch {
	case l.source.Networks == 0:
		return nil, errors.New("the database has no network in it; fetch it again")
	case l.source.Points == 0 && l.source.Countries == 0 && l.source.ASNs == 0:
		return nil, r.useless()
	}
	l.source.Gives = l.source.gives()
	l.told = slices.Clone(r.places) // without the room that appending left
	if l.source.Points == 0 && l.source.Countries == 0 {
		l.places, l.told = nil, nil // with continents alone, the built-in table is better
	}
	if l.source.ASNs > 0 {
		var tells Tells // they have been counted already
		if l.systems, err = build(networks(r, func(found record) uint32 { return found.system }, &tells)); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// open checks what can be checked before reading, so that errors are specific.
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

// packed refuses a file that begins like an archive.
func packed(head []byte) error {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return errors.New("the file is compressed with gzip; unpack it (gunzip, or tar -xzf) and give the .mmdb file")
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return errors.New("the file is a ZIP archive; unpack it and give the .mmdb file")
	}
	return nil
}

// foreign says that a file is not in the format.
func foreign(err error) error {
	return fmt.Errorf("not a database in the MaxMind DB format, or cut short (%w); fetch it again and put it in "+
		"place with a rename", err)
}

// networks walks all of the database's networks with their values. Addresses outside any network have value 0, and so
// have copies of the IPv4 tree elsewhere in an IPv6 tree. Each walk leaves in tells how many networks there are, and
// what is known of them.
func networks(records *records, value func(record) uint32, tells *Tells) walk {
	return func(v4 func(uint32, uint32), v6 func(uint64, uint64, uint32)) error {
		db := records.db
		var next4 uint64 // first address not covered yet; 1<<32: all are
		var upper, lower uint64
		done := false // upper, lower have passed the last address
		*tells = Tells{}
		var options []maxminddb.NetworksOption
		if db.Metadata.IPVersion == 6 {
			if all := db.Lookup(netip.IPv4Unspecified()).Prefix(); all.Addr().Is6() || all.Bits() == 0 {
				// One record covers all of IPv4: the reader would take all networks with this record for copies.
				options = append(options, maxminddb.IncludeAliasedNetworks())
			}
		}
		for network := range db.Networks(options...) {
			if err := network.Err(); err != nil {
				return fmt.Errorf("damaged (%w); fetch it again", err)
			}
			found, err := records.read(network)
			if err != nil {
				return err
			}
			if network.Found() {
				tells.count(found.tells)
			}
			n := value(found)
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
			if u == 0 && l == 0 { // the prefix is so short that it contains all of IPv4 (::/96)
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

// join makes a table of layers. Of each thing the first layer that knows it tells (see place.join).
func join(layers []*layer) (*Table, error) {
	t := &Table{}
	var places, systems *ranges
	var told []place
	for at, l := range layers {
		t.sources = append(t.sources, l.source)
		var err error
		if l.systems != nil {
			if systems == nil {
				systems = l.systems
			} else if systems, err = overlay(systems, l.systems, func(x, y uint32) uint32 {
				if x != 0 {
					return x
				}
				return y
			}); err != nil {
				return nil, err
			}
		}
		if l.places == nil {
			continue
		}
		mine := make([]place, len(l.told))
		for i, p := range l.told {
			mine[i] = p.tells(at + 1)
		}
		if places == nil {
			places, told = l.places, mine
			continue
		}
		if places, told, err = joinPlaces(places, told, l.places, mine); err != nil {
			return nil, err
		}
	}
	if places == nil {
		places, told = uniform(0), []place{{}}
	}
	if systems == nil {
		systems = uniform(0)
	}
	t.places, t.systems = *places, *systems
	t.locations, t.origins = make([]Location, len(told)), make([]origins, len(told))
	for i := range told {
		t.locations[i], t.origins[i] = told[i].finish(), told[i].by
	}
	return t, nil
}

// joinPlaces joins what two databases say about places. Each has numbers of its own.
func joinPlaces(a *ranges, told []place, b *ranges, later []place) (*ranges, []place, error) {
	var all []place
	number := map[place]uint32{}
	joined := map[[2]uint32]uint32{} // by the numbers of both, since few of all pairs occur
	intern := func(p place) uint32 {
		n, ok := number[p]
		if !ok {
			n = uint32(len(all))
			number[p] = n
			all = append(all, p)
		}
		return n
	}
	intern(place{})
	places, err := overlay(a, b, func(x, y uint32) uint32 {
		n, ok := joined[[2]uint32{x, y}]
		if !ok {
			n = intern(told[x].join(later[y]))
			joined[[2]uint32{x, y}] = n
		}
		return n
	})
	return places, all, err
}
