package steer

import (
	"net/netip"

	"leeward/geo"
)

// private are the addresses that exist in many networks at once: RFC 1918, 4193 and 6598, loopback, link local. No
// public database can place a client with such an address. The resolver that sends it in a query is at least likely to
// be near (RFC 7871 sections 10 and 11.3).
var private = [...]netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::1/128"),
}

// isPrivate is a quick test that spares most clients the list. It is true for all private addresses and few others.
func isPrivate(a netip.Addr) bool {
	if a.Is4() {
		switch a.As4()[0] {
		case 10, 100, 127, 169, 172, 192:
			return true
		}
		return false
	}
	first := a.As16()[0]
	return first >= 0xfc || first == 0
}

// hide uses the resolver's location for a client with a private address that the table does not have. An operator's own
// database may well have it, and that counts. Prefixes in rules and maps, and sticky picks, always go by the client's
// own address.
func (c *client) hide(resolver netip.Addr) {
	if !resolver.IsValid() || !isPrivate(c.addr) {
		return
	}
	if resolver = resolver.Unmap(); resolver == c.addr {
		return
	}
	for i := range private {
		p := &private[i]
		if !p.Contains(c.addr) {
			continue
		}
		c.resolver = resolver
		t := c.table
		leaf := t.Locate(c.addr)
		c.place.resolver = t.Locations()[t.LocationOf(leaf)] == geo.Location{}
		c.place.scope = uint8(max(p.Bits(), geo.Span(c.addr, t.Start(leaf), t.Last(leaf))))
		asn, leaf := t.ASNOf(c.addr)
		c.system.resolver = asn == 0
		c.system.scope = uint8(max(p.Bits(), geo.Span(c.addr, t.StartASN(leaf), t.LastASN(leaf))))
		return
	}
}

// standing says whether the resolver's location is used, and the prefix of the client for which that is so.
type standing struct {
	resolver bool
	scope    uint8
}

// hidden is look for a private address. The outcome holds for all addresses about which the database says the same.
func (o *outcomes) hidden(c *client) uint16 {
	by := c.place
	if o.byASN != nil {
		by = c.system
	}
	c.scope = max(c.scope, by.scope)
	if !by.resolver {
		return o.look(c)
	}
	other := client{addr: c.resolver, table: c.table}
	return o.look(&other)
}
