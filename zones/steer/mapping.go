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

// mapping compiles a map. It leaves out regions that do not exist.
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
	byASN := map[uint32]uint16{}
	for key, names := range m.Prefixes {
		if asn, ok := strings.CutPrefix(key, "AS"); ok {
			n, err := strconv.ParseUint(asn, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("map %s: %q is no AS number", m.Map, key)
			}
			byASN[uint32(n)] = uint16(list(names) + 1)
			continue
		}
		p, err := netip.ParsePrefix(key)
		if err != nil {
			return nil, fmt.Errorf("map %s: %w", m.Map, err)
		}
		table.Insert(p.Masked(), list(names))
	}
	if len(out.regions) > 1<<16-2 {
		return nil, fmt.Errorf("map %s: %d different lists of regions are too many; write at most %d", m.Map,
			len(out.regions), 1<<16-2)
	}
	if table.Size() > 0 {
		out.prefixes = areasOf(&table)
	}
	if len(byASN) > 0 && c.table != nil && c.table.ASNLeaves() > 0 {
		out.systems = c.bySystem(byASN, 0)
	}
	return out, nil
}

// lookup returns the regions whose pools come first for a client, and narrows the scope accordingly. A prefix takes
// precedence over an AS number.
func (m *mapping) lookup(c *client) []int32 {
	if v := m.at(c); v > 0 {
		return m.regions[v-1]
	}
	return nil
}

// at returns the number of lookup's list, from 1, or 0 if no region comes first.
func (m *mapping) at(c *client) uint16 {
	if m.prefixes != nil {
		v, scope := m.prefixes.At(c.addr)
		c.scope = max(c.scope, scope)
		if v > 0 {
			return v
		}
	}
	if m.systems != nil {
		return m.systems.at(c)
	}
	return 0
}
