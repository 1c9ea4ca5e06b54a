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
// An answer hardly ever depends on the whole order: it is the first pool's, or that of the next one where the first is
// out. So the scope is that of the head of the order that was gone through, which is the same for many more clients:
// over a dozen regions that of the first alone is some four bits shorter than that of the order.
type ranking struct {
	orders [][]uint8 // positions in the rule's list, nearest first; orders[0] is as listed
	places *outcomes // index of orders; nil: no location is known, or it makes no difference
	sites  []site
	heads  [2]*outcomes // by how many are in it: the last position of the head, and what stands before it, as headed has it; nil: as places
}

// headed is the outcome of a head of an order: the position that it ends with in the lower octet, and the one before
// it.
func headed(order []uint8, size int) uint16 {
	if size == 1 {
		return uint16(order[0])
	}
	return uint16(order[0])<<8 | uint16(order[1])
}

// head compiles heads of that size; nil where whole orders are no more than these.
func (c *Compiler) head(orders [][]uint8, orderOf []uint16, size int) *outcomes {
	if len(orders[0]) <= size+1 { // the last place follows from all others
		return nil
	}
	of := make([]uint16, len(orderOf))
	for i, n := range orderOf {
		of[i] = headed(orders[n], size)
	}
	return c.byPlace(of)
}

// order returns the positions of the rule's pools, nearest first. It leaves it to widen to say for whom that is so.
func (r *ranking) order(c *client) []uint8 {
	if r.places == nil {
		return r.orders[0]
	}
	scope := c.scope
	order := r.orders[r.places.at(c)]
	c.scope = scope
	return order
}

// widen widens the scope to where the order begins with the same pools, so many as the client was led through.
func (r *ranking) widen(c *client, depth int) {
	switch {
	case r.places == nil || depth == 0:
	case depth <= len(r.heads) && r.heads[depth-1] != nil:
		r.heads[depth-1].at(c)
	default:
		r.places.at(c)
	}
}

// near returns the position of the pool that comes in that place, 0 or 1, and widens the scope to where it does; not ok
// where that takes the whole order.
func (r *ranking) near(c *client, place int) (at uint8, ok bool) {
	if h := r.heads[place]; h != nil {
		return uint8(h.at(c)), true
	}
	return 0, false
}

// site is where a pool of a `nearest` rule is.
type site struct {
	Latitude, Longitude float64
	Known               bool
	Bias                zones.Percent
}

// distance is how far a site is from a client who is where another one is, in km, with its bias.
func (s site) distance(to site) float64 {
	if !to.Known {
		return 1e9
	}
	return geo.Distance(s.Latitude, s.Longitude, to.Latitude, to.Longitude) * (1 - float64(to.Bias)/100)
}

// newRanking compiles the order of sites for every location. A site of unknown place comes after all others; a client
// of unknown place gets them as listed.
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
