package steer

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"time"

	"leeward/health"
	"leeward/zones"
	"leeward/zones/rr"
)

// Program holds the pools as configured, by number. It never changes. A new one shares the pools that stayed the same.
type Program struct {
	Pools []*Pool // nil: the number is not in use
}

// Pool is one compiled pool.
type Pool struct {
	Name, Region string
	Number       int32

	min       zones.Share
	drained   bool // by an override of the pool or of its region
	leaving   plan // while such an override takes its clients away, or gives them back
	monitor   *health.Monitor
	ramp      time.Duration
	endpoints []endpoint
	// fallback has, by family, who answers if nothing is healthy: drained endpoints only if all of the pool is drained.
	fallback [families]*table
	emptied  [families]bool // by family: all of it is drained, by pool, by region, or endpoint by endpoint
	named    bool           // some endpoint is given by its hostname
	may      [Name]bool     // by family: some endpoint has, or as a hostname may have, an address
	aliases  bool           // all endpoints are, and none is flattened
}

type endpoint struct {
	name   string // within the pool
	id     string // pool/endpoint
	weight uint64
	word   zones.Word // the most specific override: up, down, drain, or "" for none
	addrs  [2][]netip.Addr
	seed   uint64
	manner health.Manner
	target float64 // load that it should carry; 0: not configured
	most   float64 // load that it can carry; 0: not configured

	hostname rr.Name // "": it is given by addresses
	resolved Resolution
}

// split is a factor of all weights, so that dividing a weight among an endpoint's addresses loses little.
const split = 840 // divisible by 1 to 8

// NewPool compiles a pool with its endpoints.
//
//   - monitor may be nil.
//   - word returns the override in force of a target such as "region/eu-west", or "".
//   - leaving returns the target's drain if it leaves the pool a part of its clients now, or nil.
//   - resolved returns what is known of an endpoint's hostname.
//   - old is the pool before the change, or nil. An endpoint whose hostname is not resolved yet keeps its addresses.
func NewPool(number int32, pool *zones.Pool, endpoints []*zones.Endpoint, monitor *health.Monitor,
	word func(target string) zones.Word, leaving func(target string) *zones.Override,
	resolved func(hostname string) Resolution, old *Pool,
) *Pool {
	p := &Pool{
		Name: pool.Pool, Region: pool.Region, Number: number, min: pool.MinHealthy, monitor: monitor,
		ramp: pool.Ramp.Std(), aliases: true,
	}
	outer := []zones.Word{word("region/" + pool.Region), word("pool/" + pool.Pool)}
	p.drained = slices.Contains(outer, zones.Drain)
	p.leaving = planOf(leaving("region/"+pool.Region), leaving("pool/"+pool.Pool))
	for _, e := range endpoints {
		c := endpoint{name: e.Endpoint, id: e.ID(), weight: uint64(e.EffectiveWeight()), seed: seedOf(e.ID())}
		c.manner = health.Manner{
			Host: e.Host, Hostname: strings.TrimSuffix(e.Hostname, "."),
			Headers: e.Headers.Lines(),
		}
		for _, w := range append(outer[:2:2], word("endpoint/"+e.ID())) { // the most specific word counts
			if w != "" {
				c.word = w
			}
		}
		if c.word == zones.Drain && word("endpoint/"+e.ID()) != zones.Drain {
			c.word = "" // the pool is drained, so its endpoints keep their own health
		}
		if capacity := cmp.Or(e.Capacity, pool.Capacity); capacity != nil {
			c.target, c.most = capacity.Target, capacity.Max
		}
		p.aliases = p.aliases && e.Hostname != "" && !e.Flatten
		addresses := e.Addresses
		if e.Hostname != "" {
			p.named, p.may = true, [Name]bool{true, true}
			c.resolved = resolved(e.Hostname)
			if len(c.resolved.Addresses) == 0 {
				c.resolved.Addresses, c.resolved.Failing = old.addresses(c.id), true
			}
			addresses = c.resolved.Addresses
			if n, err := rr.ParseName(e.Hostname); err == nil {
				c.hostname = n
			}
		}
		for _, a := range addresses {
			f := familyOf(a)
			c.addrs[f] = append(c.addrs[f], a)
			p.may[f] = true
		}
		p.endpoints = append(p.endpoints, c)
	}
	for f := range p.fallback {
		cs := p.candidates(Family(f), func(i int, _ netip.Addr) bool { return p.endpoints[i].word != zones.Drain })
		if p.emptied[f] = p.drained || len(cs) == 0; len(cs) == 0 {
			cs = p.candidates(Family(f), func(int, netip.Addr) bool { return true })
		}
		p.fallback[f] = newTable(cs)
	}
	return p
}

// Endpoints returns the number of endpoints. It returns 0 if p is nil.
func (p *Pool) Endpoints() int {
	if p == nil {
		return 0
	}
	return len(p.endpoints)
}

// candidates lists the addresses of a family, or the hostnames, for which may returns true. For a hostname, may gets
// the zero Addr.
func (p *Pool) candidates(f Family, may func(endpoint int, a netip.Addr) bool) (cs []candidate) {
	at := map[netip.Addr]int{}
	for i := range p.endpoints {
		e := &p.endpoints[i]
		if f == Name {
			if e.hostname != "" && may(i, netip.Addr{}) {
				cs = append(cs, candidate{
					name: e.hostname, weight: e.weight * split, seed: mix(e.seed),
					endpoint: int32(i),
				})
			}
			continue
		}
		for k, a := range e.addrs[f] {
			if !may(i, a) {
				continue
			}
			c := candidate{
				addr: a, weight: e.weight * split / uint64(len(e.addrs[f])), seed: mix(e.seed + uint64(k)),
				endpoint: int32(i),
			}
			if e.hostname != "" {
				c.until = e.resolved.until()
			}
			// If two names lead to the same address, it is a candidate once (RFC 2181 section 5).
			if n, twice := at[a]; twice && p.named {
				cs[n].weight += c.weight
				cs[n].until = cs[n].until.and(c.until)
				continue
			}
			at[a] = len(cs)
			cs = append(cs, c)
		}
	}
	return cs
}

// Assignments returns every address of every endpoint that has a monitor, pool by pool.
func (p *Program) Assignments() []health.Assignment {
	var as []health.Assignment
	for _, pool := range p.Pools {
		if pool == nil || pool.monitor == nil {
			continue
		}
		for _, e := range pool.endpoints {
			for _, addrs := range e.addrs {
				for _, a := range addrs {
					as = append(as, health.Assignment{
						Target: health.Target{Endpoint: e.id, Address: a}, Pool: pool.Name, Region: pool.Region,
						Monitor: pool.monitor,
						Manner:  e.manner,
					})
				}
			}
		}
	}
	return as
}

func familyOf(a netip.Addr) Family {
	if a.Is4() {
		return V4
	}
	return V6
}

// seedOf hashes a name for rendezvous hashing. All servers get the same hash.
func seedOf(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return mix(h.Sum64())
}
