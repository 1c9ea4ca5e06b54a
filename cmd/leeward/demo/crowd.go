package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// The parts of a surge. Requests are only counted, because sending millions of them would measure this machine. Queries
// over UDP, probes over HTTP that report loads, and reports through etcd are real.
const (
	surgeTTL      = 2 * time.Second
	surgeInterval = 250 * time.Millisecond
	surgeTimeout  = 200 * time.Millisecond
	surgeTarget   = 80.  // requests a second that an endpoint should take
	surgeMax      = 100. // requests a second that it can take
	surgeBreaks   = 1.3  // times surgeMax for a second breaks it
	brokenFor     = 6 * time.Second
	endpointsEach = 4
	resolversEach = 60
	usual         = 180. // requests a second of a region's clients
	surgeTick     = 50 * time.Millisecond
)

// crowd is the clients of one name: resolvers that cache answers for their TTL, and the endpoints that their clients
// load.
type crowd struct {
	title, name string
	spill       bool
	sites       []*site
	servers     []node

	mu        sync.Mutex
	resolvers []*resolver
	endpoints map[netip.Addr]*endpoint
	sum       totals
}

// totals is what a crowd has counted so far.
type totals struct {
	requests, lost, over float64
	broken               int
}

// resolver asks on behalf of the clients of one network.
type resolver struct {
	subnet netip.Prefix
	region string
	until  time.Time
	asking bool
	answer []netip.Addr
}

// endpoint is one load balancer of a crowd.
type endpoint struct {
	region string
	load   float64 // requests a second
	hot    time.Duration
	broken time.Time // until this time
}

// newCrowd returns a crowd with regions of its own, whose addresses are in 127.octet.0.0/16.
func newCrowd(title, name string, spill bool, octet byte) *crowd {
	c := &crowd{title: title, name: name, spill: spill, endpoints: map[netip.Addr]*endpoint{}}
	for i, s := range newSites() {
		s.pool = strings.TrimSuffix(name, "."+origin) + strings.TrimPrefix(s.pool, "www")
		s.addresses = nil
		for k := range endpointsEach {
			a := netip.AddrFrom4([4]byte{127, octet, byte(i + 1), byte(k + 1)})
			s.addresses = append(s.addresses, a)
			c.endpoints[a] = &endpoint{region: s.region}
		}
		s.said = func(endpoint int) (string, bool) { return c.says(s.addresses[endpoint]) }
		c.sites = append(c.sites, s)
	}
	for i, from := range []string{"80.128.0.0", "4.4.0.0", "117.192.0.0"} {
		b := netip.MustParseAddr(from).As4()
		for k := range resolversEach {
			b[2] = byte(k)
			c.resolvers = append(c.resolvers, &resolver{
				subnet: netip.PrefixFrom(netip.AddrFrom4(b), 24),
				region: c.sites[i].region,
			})
		}
	}
	return c
}

// says returns what an endpoint tells a probe: its load, and whether it works.
func (c *crowd) says(a netip.Addr) (load string, works bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.endpoints[a]
	return fmt.Sprintf("TEXT named_metrics.requests=%.1f", e.load), time.Now().After(e.broken)
}

// documents returns the crowd's pools and policy.
func (c *crowd) documents() string {
	var b strings.Builder
	var pools []string
	for _, s := range c.sites {
		fmt.Fprintf(&b, "---\nkind: Pool\nname: %s\nregion: %s\nmonitor: crowd\ncapacity: {target: %g, max: %g}\n",
			s.pool, s.region, surgeTarget, surgeMax)
		for i, a := range s.addresses {
			fmt.Fprintf(&b, "---\nkind: Endpoint\nname: %s/lb-%d\naddresses: [%s]\n", s.pool, i+1, a)
		}
		pools = append(pools, s.pool)
	}
	fmt.Fprintf(&b, "---\nkind: Policy\nname: %s\nttl: %v\nanswers: 2\nspill: %v\nrules:\n  - nearest: [%s]\n", c.name,
		surgeTTL, c.spill, strings.Join(pools, ", "))
	return b.String()
}

// surgeDocuments returns the resources of all crowds.
func surgeDocuments(crowds []*crowd) string {
	var b strings.Builder
	fmt.Fprintf(&b, "kind: Zone\nname: %s\nnameservers: [ns1.example.net]\n", origin)
	fmt.Fprintf(&b, "---\nkind: Monitor\nname: crowd\nhttp: {port: %d}\nload: named_metrics.requests\ninterval: "+
		"%v\ntimeout: %v\nfall: 2\nrise: 2\n",
		crowds[0].sites[0].port, surgeInterval, surgeTimeout)
	for _, s := range crowds[0].sites {
		fmt.Fprintf(&b, "---\nkind: Region\nname: %s\nlatitude: %v\nlongitude: %v\n", s.region, s.latitude, s.longitude)
	}
	for _, c := range crowds {
		b.WriteString(c.documents())
	}
	return b.String()
}

// run plays the crowd until the context ends. demand returns how many requests a second a region's clients make now.
func (c *crowd) run(ctx context.Context, demand func(region string) float64) {
	var asking sync.WaitGroup
	defer asking.Wait()
	tick := time.NewTicker(surgeTick)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			c.step(now, now.Sub(last), demand, func(r *resolver, n node) {
				asking.Go(func() { c.ask(ctx, r, n) })
			})
			last = now
		}
	}
}

// step counts the requests since the last step, and lets resolvers ask whose answers have expired.
func (c *crowd) step(now time.Time, past time.Duration, demand func(string) float64, ask func(*resolver, node)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.endpoints {
		e.load = 0
	}
	for i, r := range c.resolvers {
		if !r.asking && !now.Before(r.until) {
			r.asking = true
			ask(r, c.servers[i%len(c.servers)])
		}
		requests := demand(r.region) / resolversEach
		var works []*endpoint
		for _, a := range r.answer {
			if e := c.endpoints[a]; e != nil && now.After(e.broken) {
				works = append(works, e)
			}
		}
		if len(r.answer) == 0 {
			continue // it waits for its first answer
		}
		c.sum.requests += requests * past.Seconds()
		if len(works) == 0 {
			c.sum.lost += requests * past.Seconds()
		}
		for _, e := range works {
			e.load += requests / float64(len(works))
		}
	}
	for _, e := range c.endpoints {
		c.sum.over += max(0, e.load-surgeMax) * past.Seconds()
		if e.hot += past; e.load <= surgeBreaks*surgeMax {
			e.hot = 0
		}
		if e.hot > time.Second {
			e.broken, e.hot = now.Add(brokenFor), 0
			c.sum.broken++
		}
	}
}

// ask renews a resolver's answer.
func (c *crowd) ask(ctx context.Context, r *resolver, n node) {
	reply, err := ask(ctx, n.dns, c.name, r.subnet)
	c.mu.Lock()
	defer c.mu.Unlock()
	r.asking = false
	r.until = time.Now().Add(surgeTick)
	if err == nil {
		if len(r.answer) == 0 { // spread the times when answers expire
			r.until = time.Now().Add(rand.N(surgeTTL))
		} else {
			r.until = time.Now().Add(time.Duration(reply.ttl) * time.Second)
		}
		r.answer = reply.addresses
	}
}

// moment is the state of a crowd at one time.
type moment struct {
	at      float64            // seconds
	demand  float64            // in the region of the surge, as a multiple of the usual
	load    map[string]float64 // by region, as a multiple of its target
	broken  map[string]int
	lost    float64 // part of the requests since the moment before
	totals  totals
	strange int // resolvers that are answered with another region
}

// look returns the state of the crowd now.
func (c *crowd) look(before totals) moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := moment{load: map[string]float64{}, broken: map[string]int{}, totals: c.sum}
	for _, e := range c.endpoints {
		m.load[e.region] += e.load / (surgeTarget * endpointsEach)
		if time.Now().Before(e.broken) {
			m.broken[e.region]++
		}
	}
	if requests := c.sum.requests - before.requests; requests > 0 {
		m.lost = (c.sum.lost - before.lost) / requests
	}
	for _, r := range c.resolvers {
		if len(r.answer) == 0 || c.endpoints[r.answer[0]].region != r.region {
			m.strange++
		}
	}
	return m
}
