package steer

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gaissmai/bart"

	"leeward/zones"
)

// mapping compiles a map. Its regions that do not exist are left out.
func (c *Compiler) mapping(m *zones.Map, w World) (*mapping, error) {
	out := &mapping{names: map[int32]string{}}
	list := func(names []string) int32 {
		var numbers []int32
		for _, name := range names {
			if n, r := w.Region(name); r != nil {
				numbers = append(numbers, n)
				out.names[n] = name
			}
		}
		if i := slices.IndexFunc(out.regions, func(l []int32) bool { return slices.Equal(l, numbers) }); i >= 0 {
			return int32(i)
		}
		out.regions = append(out.regions, numbers)
		return int32(len(out.regions) - 1)
	}
	var table bart.Table[int32]
	for key, names := range m.Prefixes {
		if asn, ok := strings.CutPrefix(key, "AS"); ok {
			n, err := strconv.ParseUint(asn, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("map %s: %q is no AS number", m.Map, key)
			}
			if out.byASN == nil {
				out.byASN = map[uint32]int32{}
			}
			out.byASN[uint32(n)] = list(names)
			continue
		}
		p, err := netip.ParsePrefix(key)
		if err != nil {
			return nil, fmt.Errorf("map %s: %w", m.Map, err)
		}
		table.Insert(p.Masked(), list(names))
	}
	if table.Size() > 0 {
		out.prefixes = newPrefixes(&table)
	}
	if out.byASN != nil && c.table != nil && c.table.ASNLeaves() > 0 {
		out.asns = c.runs(c.table.ASNLeaves(), func(leaf uint32) uint32 {
			if v, ok := out.byASN[c.table.ASNOfLeaf(leaf)]; ok {
				return uint32(v)
			}
			return ^uint32(0)
		}, c.table.V4ASNLeaves())
	}
	return out, nil
}

// lookup returns the regions whose pools come first for a client, and narrows the span to where they do. A prefix goes
// before an AS.
func (m *mapping) lookup(c *client, in *span) []int32 {
	if m.prefixes != nil {
		v, first, last := m.prefixes.lookup(c.addr)
		in.narrow(first, last)
		if v >= 0 {
			return m.regions[v]
		}
	}
	if m.byASN != nil && c.table != nil && c.table.ASNLeaves() > 0 {
		asn, leaf := c.table.ASNOf(c.addr)
		narrowASN(in, c.table, m.asns, leaf)
		if v, ok := m.byASN[asn]; ok {
			return m.regions[v]
		}
	}
	return nil
}
