package steer

import (
	"slices"

	"leeward/zones"
)

// Four things decide where a client is led: the rule that holds for it, the order in which the rule's pools are near to
// it, the regions that a map puts first, and the family that it asks for. Clients that have these in common can be
// forecast together. So queries are counted by them, and no client's address is kept.

// Kind identifies such a group of clients by numbers, which only its policy can interpret.
type Kind struct {
	Rule   int16 // as in Decision
	Family Family
	order  uint16 // of the rule's ranking
	front  uint16 // of the map's lists of regions, from 1; 0: no region comes first
}

// Code packs a kind into a number below 2^42.
func (k Kind) Code() uint64 {
	return uint64(k.order) | uint64(k.front)<<16 | uint64(uint8(k.Rule))<<32 | uint64(k.Family)<<40
}

// KindOf unpacks what Code has packed.
func KindOf(code uint64) Kind {
	k := Kind{Rule: int16(code >> 32 & 255), Family: Family(code >> 40), order: uint16(code), front: uint16(code >> 16)}
	if k.Rule == 255 {
		k.Rule = -1
	}
	return k
}

// Kind returns the group that a request belongs to. It allocates nothing. It takes longer than a decision, which does
// not need the whole order.
func (p *Policy) Kind(req *Request) Kind {
	c := client{addr: req.Client.Unmap(), table: p.table}
	if c.table != nil {
		c.hide(req.Resolver)
	}
	k := Kind{Family: req.Family}
	r := &p.listed
	n := 0
	if p.sel != nil {
		n = int(p.sel.choose(&c))
	}
	if k.Rule = -1; n < len(p.rules) {
		k.Rule, r = int16(n), &p.rules[n]
	}
	if r.rank != nil && r.rank.places != nil {
		k.order = r.rank.places.at(&c)
	}
	if p.front != nil {
		k.front = p.front.at(&c)
	}
	return k
}

// Hash returns a hash of the policy's name. All servers get the same hash.
func (p *Policy) Hash() uint64 { return p.hash }

// Order is a Kind in words. Any server with the same resources understands it.
type Order struct {
	Policy string   `json:"policy"`
	Rule   int      `json:"rule,omitempty"`   // from 1; 0: none holds, and all pools are tried as listed
	Family string   `json:"family,omitempty"` // "IPv6" or "CNAME"; IPv4 if empty
	Pools  []string `json:"pools,omitempty"`  // of a `nearest` rule, nearest first, at most mostOrdered
	First  []string `json:"first,omitempty"`  // the regions that a map puts first
}

// mostOrdered is how many pools of an order are written out. No client is led further than that.
const mostOrdered = 12

var familyNames = [families]string{V6: "IPv6", Name: "CNAME"}

// Order returns a kind in words.
func (p *Policy) Order(k Kind) Order {
	o := Order{Policy: p.Name, Rule: int(k.Rule) + 1, Family: familyNames[min(k.Family, Name)]}
	if k.Rule >= 0 && int(k.Rule) < len(p.rules) {
		if r := &p.rules[k.Rule]; r.rank != nil && int(k.order) < len(r.rank.orders) {
			for _, at := range r.rank.orders[k.order] {
				o.Pools = append(o.Pools, r.names[at])
			}
			o.Pools = o.Pools[:min(len(o.Pools), mostOrdered)]
		}
	}
	if p.front != nil && k.front > 0 && int(k.front) <= len(p.front.regions) {
		for _, n := range p.front.regions[k.front-1] {
			o.First = append(o.First, p.front.names[n])
		}
	}
	return o
}

// way is what a walk goes through for the clients of an order.
type way struct {
	rule   *rule
	order  []uint8
	front  []int32
	family Family
	exact  bool // the order has everything that the policy asks for
}

// way finds the way of an order, which may have been counted under other resources. A pool that is missing in the order
// is put after all that are at least as near to the order's first pool.
func (p *Policy) way(o *Order) way {
	w := way{rule: &p.listed, family: Family(max(slices.Index(familyNames[:], o.Family), 0)), exact: true}
	switch {
	case o.Rule > 0 && o.Rule <= len(p.rules):
		w.rule = &p.rules[o.Rule-1]
	case o.Rule != 0:
		w.exact = false
	}
	if r := w.rule; r.rank != nil {
		var order []uint8
		for _, name := range o.Pools {
			if at := slices.Index(r.names, name); at >= 0 {
				order = append(order, uint8(at))
			}
		}
		w.exact = w.exact && (len(order) == len(r.names) || len(o.Pools) == mostOrdered)
		for at := range r.names {
			if !slices.Contains(order, uint8(at)) {
				order = slices.Insert(order, r.rank.after(order, uint8(at)), uint8(at))
			}
		}
		w.order = order
	} else if len(o.Pools) > 0 {
		w.exact = false
	}
	for _, region := range o.First {
		found := false
		if p.front != nil {
			for n, name := range p.front.names {
				if name == region {
					w.front, found = append(w.front, n), true
				}
			}
		}
		w.exact = w.exact && found
	}
	return w
}

// after returns the position in order for a pool that it lacks, by distance from the order's first pool.
func (r *ranking) after(order []uint8, pool uint8) int {
	if len(order) == 0 || !r.sites[pool].Known || !r.sites[order[0]].Known {
		return len(order)
	}
	from := r.sites[order[0]]
	for i := 1; i < len(order); i++ {
		if from.distance(r.sites[pool]) < from.distance(r.sites[order[i]]) {
			return i
		}
	}
	return len(order)
}

// land leads one made-up client along the way, as Decide does. It returns the pool that answers, or -1 if none does.
// key and random stand for the client; x remembers what the rule's pools carry together.
func (p *Policy) land(v *View, of *way, key, random uint64, now int64, x *carried) (pool int32, open bool) {
	if of.rule.says != SaysAddresses {
		return -1, false
	}
	w := walk{
		view: v, policy: p, rule: of.rule, family: of.family, steps: of.rule.steps, order: of.order, front: of.front,
		random: random,
		sheds:  p.sheds(v), now: now, key: key, carried: *x,
	}
	if p.Pick == zones.PickSticky || p.Pick == zones.PickLeastLoad {
		w.client = key
	}
	found, _ := w.find()
	*x = w.carried
	if found == nil || w.open != shut && p.allDown != SaysAddresses {
		return -1, false
	}
	return found.Number, w.open != shut
}
