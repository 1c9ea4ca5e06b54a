package zones

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

func (f *faults) mapping(m *Map) {
	if len(m.Prefixes) == 0 {
		f.add("prefixes", "a map has at least one prefix or AS")
	}
	for _, source := range slices.Sorted(maps.Keys(m.Prefixes)) {
		at := "prefixes." + source
		if _, _, err := ParseSource(source); err != nil {
			f.add(at, "%v", err)
		}
		regions := m.Prefixes[source]
		switch {
		case len(regions) == 0:
			f.add(at, "no region is named; name at least one or take it out")
		case len(regions) > maxNames:
			f.add(at, "%d regions are more than %d; take some out", len(regions), maxNames)
			continue
		}
		for i, region := range regions {
			if f.reference(Item(at, i), KindRegion, region) && slices.Index(regions, region) < i {
				f.add(Item(at, i), "%s is there twice; take one out", region)
			}
		}
	}
}

// ParseSource reads a key of a Map: a prefix, or an AS such as "AS64500". If it is an AS, the prefix is not valid; if
// it is a prefix, the AS is 0.
func ParseSource(s string) (prefix netip.Prefix, asn uint32, err error) {
	if digits, ok := strings.CutPrefix(strings.ToUpper(s), "AS"); ok {
		n, err := strconv.ParseUint(digits, 10, 32)
		switch written := "AS" + strconv.FormatUint(n, 10); {
		case err != nil || n == 0:
			return netip.Prefix{}, 0, fmt.Errorf("%q is not an AS; write it as AS64500, AS1 to AS4294967295", s)
		case written != s:
			return netip.Prefix{}, 0, fmt.Errorf("%q is not how an AS is written here; write %s", s, written)
		}
		return netip.Prefix{}, uint32(n), nil
	}
	prefix, err = ParsePrefix(s)
	return prefix, 0, err
}

// ParsePrefix reads a prefix without host bits, in its one canonical form.
func ParsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.Is4In6() {
			return netip.Prefix{}, fmt.Errorf("%q is an address; write %s/%d", s, a, a.BitLen())
		}
		return netip.Prefix{}, fmt.Errorf("%q is not a prefix; write it as 192.0.2.0/24 or 2001:db8::/32", s)
	}
	switch {
	case p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4 prefix written as IPv6; write it as IPv4", s)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("%q has bits set beyond its length; write %s", s, p.Masked())
	case p.String() != s:
		return netip.Prefix{}, fmt.Errorf("%q is not how a prefix is written here; write %s", s, p)
	}
	return p, nil
}
