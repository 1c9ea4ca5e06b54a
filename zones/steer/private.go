package steer

import (
	"net/netip"

	"leeward/geo"
)

// private are the addresses that are somebody's everywhere: RFC 1918, 4193 and 6598, loopback, link local. No database
// can say where the client is that has one; the resolver that names it in a query can at least be somewhere near (RFC
// 7871 sections 10 and 11.3).
var private = [...]netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::1/128"),
}

// isPrivate spares most clients the list: it holds for all that is private, and for little else.
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

// hide lets the resolver stand for a client of a private address that the table does not name. A database of one's own
// may well name it: then that counts. What prefixes are for, in rules and maps, is looked up by the client's own
// address in any case, and so is who a sticky pick sticks to.
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

// standing is whether the resolver stands for a private address, and the prefix for which that is so.
type standing struct {
	resolver bool
	scope    uint8
}

// hidden is look for a private address. The answer is good for all addresses of which the database says as much: nobody
// else's are asked for.
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
