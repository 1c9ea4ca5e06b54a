package drill

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"

	"leeward/health/resolve"
	"leeward/server/admin"
)

// Resolver is a recursive resolver that is asked during a drill. Its answers are what its users get, from its cache or
// not.
type Resolver struct {
	Address string // host:port
	of      *net.Resolver
}

// NewResolver reads an address, with or without a port.
func NewResolver(address string) (Resolver, error) {
	server, err := resolve.ParseServer(address)
	if err != nil {
		return Resolver{}, err
	}
	var dialer net.Dialer
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, server.String())
	}
	return Resolver{server.String(), &net.Resolver{PreferGo: true, Dial: dial}}, nil
}

// mostAsked is how many names each resolver is asked for.
const mostAsked = 5

// asked asks all resolvers for the names concerned, and returns which part of the addresses in each answer is the
// target's. It leaves out resolvers that do not answer in time.
func (d *drill) asked(ctx context.Context, s *admin.Status) map[[2]string]float64 {
	if len(d.o.Resolvers) == 0 {
		return nil
	}
	away := d.plan.addresses(s, d.o.Target)
	ctx, stop := context.WithTimeout(ctx, look*8/10)
	defer stop()
	var mu sync.Mutex
	var wg sync.WaitGroup
	shares := map[[2]string]float64{}
	for _, r := range d.o.Resolvers {
		for _, name := range d.plan.names[:min(len(d.plan.names), mostAsked)] {
			if strings.HasPrefix(name, "*") {
				continue
			}
			wg.Go(func() {
				as, err := r.of.LookupNetIP(ctx, "ip", name+".")
				if err != nil || len(as) == 0 {
					return
				}
				n := 0
				for _, a := range as {
					if away[a.Unmap()] {
						n++
					}
				}
				mu.Lock()
				defer mu.Unlock()
				shares[[2]string{name, r.Address}] = float64(n) / float64(len(as))
			})
		}
	}
	wg.Wait()
	return shares
}

// addresses returns the addresses of the target.
func (c *concerned) addresses(s *admin.Status, target string) map[netip.Addr]bool {
	away := map[netip.Addr]bool{}
	for _, e := range s.Endpoints {
		pool, _, _ := strings.Cut(e.Endpoint, "/")
		if c.whole && c.pools[pool] || "endpoint/"+e.Endpoint == target {
			for _, a := range e.Addresses {
				away[a.Address] = true
			}
		}
	}
	return away
}

// seen returns when a resolver last named the target before the target was gone from its answers, and when it first
// named it again, -1 for never. ok reports whether the target was gone.
func (n *Name) seen(c *Course) (last, back float64, ok bool) {
	last, back = -1, -1
	gone := false
	for i, share := range n.Away {
		switch at := c.Seconds[i]; {
		case share > 0 && !gone:
			last = at
		case share > 0 && back < 0:
			back = at
		case share == 0:
			gone, ok = true, true
		}
	}
	return last, back, ok
}
