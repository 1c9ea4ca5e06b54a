package steer

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"leeward/health"
)

// Resolution is what an endpoint's hostname resolves to. Whoever resolves it hands it over before a query needs it.
type Resolution struct {
	Addresses []netip.Addr // sorted, without duplicates; the last known ones if the name fails to resolve
	Known     [2]bool      // by family: the name has been resolved at some time, perhaps to no addresses
	Expires   time.Time    // when the TTL of the last response ends; zero: long ago
	Failing   bool         // the last attempt to resolve it failed
	Gone      bool         // its servers have long said that it has no address: its endpoints count as down
}

// StaleTTL is the highest TTL in seconds of addresses whose name's own TTL has run out while the name cannot be
// resolved again (RFC 8767 section 5).
const StaleTTL = 30

// until is how long addresses may be used. The zero value is for ever, for addresses that do not come from a name.
type until struct {
	expires int64 // as Moment has it
	bounded bool
	failing bool
}

func (r *Resolution) until() until {
	u := until{bounded: true, failing: r.Failing}
	if !r.Expires.IsZero() {
		u.expires = Moment(r.Expires)
	}
	return u
}

// and returns how long both may be used.
func (u until) and(other until) until {
	switch {
	case !u.bounded:
		return other
	case !other.bounded:
		return u
	}
	return until{min(u.expires, other.expires), true, u.failing || other.failing}
}

// bound returns a TTL that does not go beyond u. It is at least 1, since nobody learns anything new by asking more
// often.
func (u until) bound(ttl uint32, now int64) uint32 {
	if !u.bounded {
		return ttl
	}
	left := min(u.expires-now, math.MaxInt32)
	if left < 1 && u.failing {
		left = StaleTTL
	}
	return min(ttl, uint32(max(left, 1)))
}

// left describes what is left of a name's TTL, for people.
func (r *Resolution) left(now int64) string {
	switch left := r.until().expires - now; {
	case r.Gone:
		return ", as it was: the name is gone"
	case left >= 1 && !r.Expires.IsZero():
		return fmt.Sprintf(", TTL %d", left)
	case r.Failing:
		return ", as it was: it does not resolve"
	}
	return ""
}

// addresses returns the addresses of one of the pool's endpoints. p may be nil.
func (p *Pool) addresses(endpoint string) (all []netip.Addr) {
	if p == nil {
		return nil
	}
	for i := range p.endpoints {
		if e := &p.endpoints[i]; e.id == endpoint {
			all = append(append(all, e.addrs[V4]...), e.addrs[V6]...)
		}
	}
	return all
}

// host returns the hostname as people write it, "" if there is none.
func (e *endpoint) host() string {
	if e.hostname == "" {
		return ""
	}
	return e.hostname.String()
}

// Aliases reports whether all endpoints are hostnames that are not flattened. It is true for a pool without endpoints.
func (p *Pool) Aliases() bool { return p.aliases }

// Hostnames appends the hostnames of the pool's endpoints, in presentation form without the final dot.
func (p *Pool) Hostnames(to []string) []string {
	if !p.named {
		return to
	}
	for i := range p.endpoints {
		if name := p.endpoints[i].host(); name != "" {
			to = append(to, name)
		}
	}
	return to
}

// Hostnames returns the hostnames of all endpoints, pool by pool. A hostname may occur more than once.
func (p *Program) Hostnames() (names []string) {
	for _, pool := range p.Pools {
		if pool != nil {
			names = pool.Hostnames(names)
		}
	}
	return names
}

// unresolved reports whether some pool in the order has a hostname that has never been resolved for the family.
func (w *walk) unresolved() bool {
	if w.family == Name {
		return false
	}
	for i := range w.steps {
		for _, m := range w.steps[i].members {
			pool, _ := w.view.at(m.pool, w.family)
			if pool == nil || !pool.named {
				continue
			}
			for k := range pool.endpoints {
				if e := &pool.endpoints[k]; e.hostname != "" && !e.resolved.Known[w.family] {
					return true
				}
			}
		}
	}
	return false
}

// names lists every endpoint of the pool that is answered by name, with its share.
func (t *trace) names(d *duty, pool *Pool, l *lineup, open bool) {
	tb, sum := l.drawnFrom(pool, Name, open)
	at := 0
	for i := range pool.endpoints {
		e := &pool.endpoints[i]
		size := len(e.addrs[V4]) + len(e.addrs[V6])
		state, note := health.Unknown, ""
		for k, s := range d.states[at : at+size] { // the best state of its addresses
			if k == 0 || s == health.Up || s == health.Unknown && state == health.Down {
				state = s
			}
		}
		at += size
		if e.hostname == "" {
			continue
		}
		c := Candidate{Endpoint: e.id, Hostname: e.host(), Weight: e.weight, State: state.String(), Override: e.word}
		for n, of := range tb.endpoint {
			if int(of) == i {
				c.Share = float64(tb.weights[n]) / float64(sum)
			}
		}
		t.out.Candidates = append(t.out.Candidates, c)
		if state == health.Unknown {
			note = " (counts as up)"
		}
		if e.word != "" {
			note += fmt.Sprintf(", override %s", e.word)
		}
		t.say("  %s %s: %s%s, weight %d, share %.0f %%", e.id, c.Hostname, state, note, e.weight, c.Share*100)
	}
}
