package chain

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// AuthorityLimit is how long one server may take for Authority.
const AuthorityLimit = 10 * time.Second

// Authority asks an authoritative server for the RRset of a type at a name. server is an address with or without a
// port. It returns the RDATA of each record and the TTL in seconds. all is empty if the server has no such RRset.
func Authority(ctx context.Context, server, name string, typ uint16) (all [][]byte, ttl int, err error) {
	address, err := ParseServer(server)
	if err != nil {
		return nil, 0, err
	}
	name = dns.Fqdn(name)
	m, err := exchange(ctx, address, plain(name, typ), AuthorityLimit)
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("%s: %w", server, err)
	case m.Rcode != dns.RcodeSuccess:
		return nil, 0, fmt.Errorf("%s: %w", server, refused(m, name, typ))
	case !m.Authoritative:
		return nil, 0, fmt.Errorf("%s: it is not authoritative for %s %s; name a server of the zone that has it",
			server, name, dns.Type(typ))
	}
	for _, r := range m.Answer {
		if h := r.Header(); h.Rrtype == typ {
			data, err := rdata(r)
			if err != nil {
				return nil, 0, fmt.Errorf("%s: %w", server, err)
			}
			all, ttl = append(all, data), max(ttl, int(h.Ttl))
		}
	}
	return all, ttl, nil
}

// rdata returns the RDATA of a record. It sets the owner to the root.
func rdata(r dns.RR) ([]byte, error) {
	r.Header().Name = "." // so that RDATA begins after 11 octets
	b := make([]byte, dns.Len(r))
	end, err := dns.PackRR(r, b, 0, nil, false)
	if err != nil {
		return nil, err
	}
	return b[11:end], nil
}

// ParseServer reads the address of a server, with or without a port.
func ParseServer(text string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return a, fmt.Errorf("%s: write an address, or an address with a port", text)
	}
	return a, nil
}
