package steer

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// prefixes says which value the longest of a set of prefixes gives an address, and the range of addresses around it
// that get the same. It is built with a bart table and then laid flat as sorted ranges: a query searches one slice.
type prefixes struct {
	v4, v6 ranges
}

// ranges are neighbours in address order; each begins at its start and ends before the next.
type ranges struct {
	starts []netip.Addr // starts[0] is the family's first address
	values []int32      // -1: no prefix holds
}

// newPrefixes lays the table flat. Neighbours with one value become one range.
func newPrefixes(table *bart.Table[int32]) *prefixes {
	first4, first6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	edges4, edges6 := []netip.Addr{first4}, []netip.Addr{first6}
	for p := range table.All() {
		edges := &edges6
		if p.Addr().Is4() {
			edges = &edges4
		}
		*edges = append(*edges, p.Addr())
		if next := lastOf(p).Next(); next.IsValid() {
			*edges = append(*edges, next)
		}
	}
	flat := func(edges []netip.Addr) (r ranges) {
		slices.SortFunc(edges, netip.Addr.Compare)
		for _, a := range slices.Compact(edges) {
			v, ok := table.Lookup(a)
			if !ok {
				v = -1
			}
			if n := len(r.values); n > 0 && r.values[n-1] == v {
				continue
			}
			r.starts, r.values = append(r.starts, a), append(r.values, v)
		}
		return r
	}
	return &prefixes{flat(edges4), flat(edges6)}
}

// lookup returns the value for an address and the range that has it.
func (p *prefixes) lookup(a netip.Addr) (value int32, first, last netip.Addr) {
	r := &p.v6
	if a.Is4() {
		r = &p.v4
	}
	lo, hi := 0, len(r.starts) // the last start that is not above a
	for hi-lo > 1 {
		if mid := int(uint(lo+hi) / 2); r.starts[mid].Compare(a) <= 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	if hi < len(r.starts) {
		last = r.starts[hi].Prev()
	} else {
		last = lastOf(netip.PrefixFrom(r.starts[0], 0))
	}
	return r.values[lo], r.starts[lo], last
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		b := p.Addr().As4()
		for i := p.Bits(); i < 32; i++ {
			b[i/8] |= 0x80 >> (i % 8)
		}
		return netip.AddrFrom4(b)
	}
	b := p.Addr().As16()
	for i := p.Bits(); i < 128; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom16(b)
}
