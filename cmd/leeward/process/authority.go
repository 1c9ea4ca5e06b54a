package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"leeward/cmd/leeward/chain"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// askParents asks all servers of a zone's parent for its DS RRset: the given servers or, if there are none, all
// addresses of the parent's NS, as a resolver finds them. It returns the error of the first server that fails. It ends
// with the first whose DS is enough; nil: none is.
func askParents(ctx context.Context, origin rr.Name, servers []string, resolvers []netip.AddrPort,
	enough func(ds [][]byte) bool,
) (all []dnssec.ParentDS, err error) {
	found := len(servers) == 0
	if found {
		if servers, err = parentsOf(ctx, origin, resolvers); err != nil {
			return nil, fmt.Errorf("the servers of the parent are not found: %w; name them in dnssec.parent of the "+
				"Zone", err)
		}
	}
	for _, s := range servers {
		ds, ttl, err := chain.Authority(ctx, s, origin.String(), uint16(rr.TypeDS))
		if found && errors.Is(err, syscall.ENETUNREACH) { // this host may have no IPv6, for example
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("a server of the parent cannot be asked: %w", err)
		}
		if all = append(all, dnssec.ParentDS{Server: s, DS: ds, TTL: ttl}); enough != nil && enough(ds) {
			break
		}
	}
	return all, nil
}

// parentsOf finds the addresses of the servers of a zone's parent.
func parentsOf(ctx context.Context, origin rr.Name, resolvers []netip.AddrPort) (all []string, err error) {
	ctx, stop := context.WithTimeout(ctx, 2*chain.AuthorityLimit)
	defer stop()
	resolver := &net.Resolver{PreferGo: true}
	if len(resolvers) > 0 {
		resolver.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, resolvers[0].String())
		}
	}
	for parent := origin; parent != rr.Root; {
		parent = parent.Parent()
		names, err := resolver.LookupNS(ctx, rr.TrimDot(parent.String())+".")
		var wrong *net.DNSError
		if err != nil && (!errors.As(err, &wrong) || !wrong.IsNotFound) {
			return nil, err
		}
		for _, ns := range names {
			addresses, err := resolver.LookupNetIP(ctx, "ip", ns.Host)
			if err != nil {
				return nil, err
			}
			for _, a := range addresses {
				if text := a.Unmap().String(); !slices.Contains(all, text) {
					all = append(all, text)
				}
			}
		}
		if len(all) > 0 {
			return all, nil
		}
	}
	return nil, errors.New("no resolver names them")
}
