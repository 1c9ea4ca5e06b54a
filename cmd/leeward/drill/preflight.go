package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/zones"
	"leeward/zones/store"
)

// concerned is what a drill of a target concerns.
type concerned struct {
	whole bool            // the target is all of pools, not one endpoint
	pools map[string]bool // of the target
	names []string        // of the policies that use the pools, sorted
	ttl   time.Duration   // the longest of these policies
}

// concernedBy returns what a drill of the target concerns.
func concernedBy(base *store.Listing, target string) concerned {
	endpoint, single := strings.CutPrefix(target, "endpoint/")
	c := concerned{whole: !single, pools: map[string]bool{}, ttl: zones.DefaultPolicyTTL}
	for _, r := range base.Resources() {
		if p, ok := r.(*zones.Pool); ok && zones.Covers(target, p) {
			c.pools[p.Pool] = true
		}
	}
	if single {
		pool, _, _ := strings.Cut(endpoint, "/")
		c.pools[pool] = true
	}
	first := true
	for _, r := range base.Resources() {
		p, ok := r.(*zones.Policy)
		if !ok || !slices.ContainsFunc(p.PoolNames(), func(pool string) bool { return c.pools[pool] }) {
			continue
		}
		c.names = append(c.names, p.Name)
		if ttl := p.TTL.Or(zones.DefaultPolicyTTL); first || ttl > c.ttl {
			c.ttl, first = ttl, false
		}
	}
	slices.Sort(c.names)
	return c
}

// preflight returns the reasons why the drill should not start; --force overrides these. The error is what cannot be
// overridden.
func (d *drill) preflight(ctx context.Context, base *store.Listing) (unfit []string, err error) {
	status, err := d.o.Observer.Status(ctx)
	if err != nil {
		return nil, err
	}
	if unfit, err = d.beside(base); err != nil {
		return nil, err
	}
	servers := 0
	for _, s := range status.Servers {
		if s.ID == "" {
			continue
		}
		if servers++; !s.Fresh {
			unfit = append(unfit, fmt.Sprintf("server %s is not heard of", s.ID))
		}
	}
	if servers == 0 {
		return nil, errors.New("there is no server whose answers would change")
	}
	f, err := d.o.Observer.Foresee(ctx, control.Question{
		Down: []string{d.o.Target}, Word: zones.Drain, At: d.override.From.Add(d.override.Ramp.Std()),
	})
	if err != nil {
		return nil, err
	}
	d.report.Preflight = f
	if d.o.Foretold != nil {
		d.o.Foretold(f)
	}
	d.status = status
	if alone := d.o.Alone(base, status, *d.override); alone != "" {
		unfit = append(unfit, fmt.Sprintf("%s would have no healthy endpoint elsewhere", alone))
	}
	for _, p := range f.Broken() {
		unfit = append(unfit, fmt.Sprintf("pool %s would carry %.4g, and its max is %.4g", p.Pool, p.Then, p.Max))
	}
	return unfit, nil
}

// beside returns what other overrides there are that speak against the drill. The error is what cannot be overridden.
func (d *drill) beside(base *store.Listing) (unfit []string, err error) {
	for _, r := range base.Resources() {
		o, ok := r.(*zones.Override)
		if !ok || o.Until != nil && !o.Until.After(time.Now()) {
			continue
		}
		switch {
		case o.Target == d.o.Target:
			return nil, fmt.Errorf("%s already has the override %s; leeward restore %[1]s takes it back", o.Target,
				o.State)
		case o.Drill:
			return nil, fmt.Errorf("there is a drill of %s; run one at a time, or nobody can tell which did what",
				o.Target)
		case o.State == zones.Drain || o.State == zones.Down:
			unfit = append(unfit, fmt.Sprintf("%s is out by an override", o.Target))
		}
	}
	return unfit, nil
}

// still returns an error if what preflight has found of other overrides, and of what would be left, holds no longer:
// somebody else may have begun a drill, or drained what this one relies upon, since then.
func (d *drill) still(base *store.Listing) error {
	unfit, err := d.beside(base)
	if err != nil {
		return err
	}
	if alone := d.o.Alone(base, d.status, *d.override); alone != "" {
		unfit = append(unfit, fmt.Sprintf("%s would have no healthy endpoint elsewhere", alone))
	}
	for _, why := range unfit {
		if !d.o.Force && !slices.Contains(d.report.Doubts, why) {
			return fmt.Errorf("%s meanwhile; run it again", why)
		}
	}
	return nil
}
