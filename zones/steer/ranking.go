package steer

import (
	"cmp"
	"slices"

	"leeward/geo"
	"leeward/zones"
)

// ranking orders the pools of a `nearest` rule by distance from the client. Rules with the same places and biases share
// one.
//
// Few answers depend on the whole order: usually the first pool answers, or the second if the first is out. So the ECS
// scope is that of the part of the order that was used (its head), which is the same for many more clients. Over a
// dozen regions, the scope of the first pool alone is some four bits shorter than that of the whole order.
type ranking struct {
	orders [][]uint8 // positions in the rule's list, nearest first; orders[0] is as listed
	places *outcomes // index in orders; nil: no location is known, or it makes no difference
	sites  []site
	// heads gives, for heads of one and of two pools, the outcome as headed packs it; nil: places gives no longer
	// scopes.
	heads [2]*outcomes
}

// headed packs the head of an order into one number: the last position in the lower octet, and the one before it in the
// upper.
func headed(order []uint8, size int) uint16 {
	if size == 1 {
		return uint16(order[0])
	}
	return uint16(order[0])<<8 | uint16(order[1])
}

// head compiles the heads of that size. It returns nil if whole orders are hardly longer.
func (c *Compiler) head(orders [][]uint8, orderOf []uint16, size int) *outcomes {
	if len(orders[0]) <= size+1 { // the last position follows from all others
		return nil
	}
	of := make([]uint16, len(orderOf))
	for i, n := range orderOf {
		of[i] = headed(orders[n], size)
	}
	return c.byPlace(of)
}

// order returns the positions of the rule's pools, nearest first. It does not touch the scope; widen does.
func (r *ranking) order(c *client) []uint8 {
	if r.places == nil {
		return r.orders[0]
	}
	scope := c.scope
	order := r.orders[r.places.at(c)]
	c.scope = scope
	return order
}

// widen narrows the scope to the clients whose orders begin with the same pools, up to depth.
func (r *ranking) widen(c *client, depth int) {
	switch {
	case r.places == nil || depth == 0:
	case depth <= len(r.heads) && r.heads[depth-1] != nil:
		r.heads[depth-1].at(c)
	default:
		r.places.at(c)
	}
}

// near returns the position of the pool at that place of the order, 0 or 1, and narrows the scope accordingly. ok is
// false if only the whole order can tell.
func (r *ranking) near(c *client, place int) (at uint8, ok bool) {
	if h := r.heads[place]; h != nil {
		return uint8(h.at(c)), true
	}
	return 0, false
}

// site is the place of a pool of a `nearest` rule.
type site struct {
	Latitude, Longitude float64
	Known               bool
	Bias                zones.Percent
}

// distance returns the distance in km from a client at s to a site, with the site's bias.
func (s site) distance(to site) float64 {
	if !to.Known {
		return 1e9
	}
	return geo.Distance(s.Latitude, s.Longitude, to.Latitude, to.Longitude) * (1 - float64(to.Bias)/100)
}

// ranking compiles the order of sites for every location. Sites without a place come last. Clients without a place get
// the sites as listed.
func (c *Compiler) ranking(sites []site) *ranking {
	listed := make([]uint8, len(sites))
	for i := range listed {
		listed[i] = uint8(i)
	}
	r := &ranking{orders: [][]uint8{listed}, sites: sites}
	if c.table == nil {
		return r
	}
	number := map[string]uint16{string(listed): 0}
	orderOf := make([]uint16, len(c.table.Locations()))
	distance := make([]float64, len(sites))
	for i, l := range c.table.Locations() {
		if !l.HasPoint {
			continue
		}
		for k, s := range sites {
			distance[k] = site{Latitude: l.Latitude, Longitude: l.Longitude}.distance(s)
		}
		order := slices.Clone(listed)
		slices.SortStableFunc(order, func(a, b uint8) int { return cmp.Compare(distance[a], distance[b]) })
		n, ok := number[string(order)]
		if !ok {
			n = uint16(len(r.orders))
			number[string(order)] = n
			r.orders = append(r.orders, order)
		}
		orderOf[i] = n
	}
	if len(r.orders) > 1 {
		r.heads[0] = c.head(r.orders, orderOf, 1)
		r.places = c.byPlace(orderOf)
		r.heads[1] = c.head(r.orders, orderOf, 2)
	}
	return r
}
