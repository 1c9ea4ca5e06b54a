package geo

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Network is what is known of one prefix, for Compile.
type Network struct {
	Prefix   netip.Prefix
	Location Location // empty: unknown
	ASN      uint32   // 0: unknown
}

// Compile makes a table from networks that are given explicitly. For each address, the longest prefix that contains it
// gives both its location and its AS number. What follows from a country's code (continent, point) is added as for a
// database.
//
// Only tests use it, here and in the packages that steer by tables: a database in MaxMind's format could not say the
// same, as an IPv6 network there that contains ::/96 also contains all IPv4 addresses.
func Compile(networks []Network) (*Table, error) {
	sorted := slices.Clone(networks)
	for i, n := range sorted {
		if !n.Prefix.IsValid() {
			return nil, fmt.Errorf("network %d: not a valid prefix", i)
		}
		if n.Prefix.Addr().Is4In6() {
			return nil, fmt.Errorf("network %s: an IPv4 address inside an IPv6 one; write it as IPv4", n.Prefix)
		}
		sorted[i].Prefix = n.Prefix.Masked()
	}
	slices.SortFunc(sorted, func(a, b Network) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	for i := 1; i < len(sorted); i++ {
		if sorted[i].Prefix == sorted[i-1].Prefix {
			return nil, fmt.Errorf("network %s: given twice", sorted[i].Prefix)
		}
	}

	t := &Table{locations: []Location{{}}}
	numbers := map[Location]uint32{{}: 0}
	places, systems := make([]uint32, len(sorted)), make([]uint32, len(sorted))
	for i, n := range sorted {
		l := n.Location
		if l.HasPoint {
			l.HasPoint = false
			l.setPoint(n.Location.Latitude, n.Location.Longitude)
			if !l.HasPoint {
				return nil, errors.New("network " + n.Prefix.String() + ": not a point on Earth")
			}
		}
		l = complete(l)
		number, ok := numbers[l]
		if !ok {
			number = uint32(len(t.locations))
			t.locations = append(t.locations, l)
			numbers[l] = number
		}
		places[i], systems[i] = number, n.ASN
	}
	for _, part := range []struct {
		into   *ranges
		values []uint32
	}{{&t.places, places}, {&t.systems, systems}} {
		r, err := build(nest(sorted, part.values))
		if err != nil {
			return nil, err
		}
		*part.into = *r
	}
	return t, nil
}

// nest walks the ranges that nested prefixes make.
func nest(sorted []Network, values []uint32) walk {
	return func(v4 func(uint32, uint32), v6 func(uint64, uint64, uint32)) error {
		// A range is empty if a later one has the same start, so emit waits for the next start.
		var pending struct {
			start netip.Addr
			value uint32
		}
		emit := func(start netip.Addr, value uint32) {
			if start != pending.start {
				if b := pending.start.As16(); pending.start.Is4() {
					v4(binary.BigEndian.Uint32(b[12:]), pending.value)
				} else {
					v6(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), pending.value)
				}
			}
			pending.start, pending.value = start, value
		}
		pending.start = netip.IPv4Unspecified()
		six := false
		var around []int // the networks that contain the current address, outermost first
		leave := func() {
			inner := around[len(around)-1]
			around = around[:len(around)-1]
			next := last(sorted[inner].Prefix).Next()
			if !next.IsValid() {
				return
			}
			value := uint32(0)
			if n := len(around); n > 0 {
				if outer := around[n-1]; sorted[outer].Prefix.Contains(next) {
					value = values[outer]
				} else {
					return // both end here: the outer one leaves next
				}
			}
			emit(next, value)
		}
		for i, n := range sorted {
			for len(around) > 0 && !sorted[around[len(around)-1]].Prefix.Contains(n.Prefix.Addr()) {
				leave()
			}
			if !six && n.Prefix.Addr().Is6() {
				six = true
				emit(netip.IPv6Unspecified(), 0)
			}
			emit(n.Prefix.Addr(), values[i])
			around = append(around, i)
		}
		for len(around) > 0 {
			leave()
		}
		if !six {
			emit(netip.IPv6Unspecified(), 0)
		}
		emit(netip.Addr{}, 0)
		return nil
	}
}

// last returns a prefix's last address.
func last(p netip.Prefix) netip.Addr {
	if b := p.Addr().As16(); p.Addr().Is4() {
		start := binary.BigEndian.Uint32(b[12:])
		return addr4(start | uint32(1<<(32-p.Bits())-1))
	}
	b := p.Addr().As16()
	for bit := p.Bits(); bit < 128; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom16(b)
}
