package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"leeward/server/answer"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/rr"
)

// Explain says why a client gets its answer. It adds the problems, and the changes held back, of the resources behind
// the answer.
func (l *Loop) Explain(ctx context.Context, name, qtype, client string) (*answer.Explanation, error) {
	e, err := answer.Explain(l.State(), name, qtype, client)
	if err != nil {
		return nil, err
	}
	c := concern{names: e.Names}
	if e.Explanation != nil {
		for _, s := range e.Steps {
			c.pools = append(c.pools, s.Pool)
		}
	}
	var held []catalog.Held // there may be a million, so the loop does not search them
	err = l.Do(ctx, func(i Inside) {
		held = i.l.catalog.Held()
		e.Inherited = inherited(i.l.catalog, e.Policy, c.pools)
		for _, p := range i.l.wrong {
			if c.has(p.Key) {
				e.Problems = append(e.Problems, p.String())
			}
		}
	})
	if err != nil {
		return e, err
	}
	for _, h := range held {
		if c.has(h.Key) {
			e.Problems = append(e.Problems, h.Key.String()+": held in service: "+h.Why)
		}
	}
	return e, nil
}

// inherited says which values a policy, its pools and their monitors take from Defaults.
func inherited(c *catalog.Catalog, policy string, pools []string) (all []string) {
	seen := map[zones.Key]bool{}
	look := func(kind zones.Kind, name string) {
		key := zones.KeyOf(kind, name)
		r := c.Get(key)
		if r == nil || seen[key] {
			return
		}
		seen[key] = true
		if values := zones.InheritedValues(r); len(values) > 0 {
			all = append(all, fmt.Sprintf("%s has %s from Defaults %s", key, strings.Join(values, ", "), kind))
		}
	}
	look(zones.KindPolicy, strings.TrimSuffix(policy, "."))
	for _, pool := range pools {
		look(zones.KindPool, pool)
		if p, is := c.Get(zones.KeyOf(zones.KindPool, pool)).(*zones.Pool); is {
			look(zones.KindMonitor, p.Monitor)
		}
	}
	return all
}

// concern names the resources behind an answer.
type concern struct {
	names []rr.Name // names that were looked up
	pools []string  // pools that were consulted
}

// has reports whether a resource is behind the answer: a zone that contains a name, a record or a policy at a name or
// at a wildcard above it, a pool that was consulted, or one of its endpoints.
func (c *concern) has(key zones.Key) bool {
	name := key.Name()
	at := func(pattern string) bool {
		below, wild := strings.CutPrefix(pattern, "*.")
		n, err := rr.ParseName(below)
		return err == nil && slices.ContainsFunc(c.names, func(x rr.Name) bool {
			return x == n && !wild || wild && x != n && strings.HasSuffix(string(x), string(n))
		})
	}
	switch key.Kind() {
	case zones.KindZone:
		n, err := rr.ParseName(name)
		return err == nil && slices.ContainsFunc(c.names, func(x rr.Name) bool {
			return strings.HasSuffix(string(x), string(n))
		})
	case zones.KindPolicy:
		return at(name)
	case zones.KindRecord:
		origin, rest, _ := strings.Cut(name, "/")
		owner, _, _ := strings.Cut(rest, "/")
		if owner == "@" {
			return at(origin)
		}
		return at(owner + "." + origin)
	case zones.KindPool:
		return slices.Contains(c.pools, name)
	case zones.KindEndpoint:
		pool, _, _ := strings.Cut(name, "/")
		return slices.Contains(c.pools, pool)
	}
	return false
}
