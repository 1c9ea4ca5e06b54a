package steer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Asked counts which clients have asked lately. Older queries count less and less. A count divided by Seconds is a
// rate.
type Asked struct {
	Seconds float64      `json:"seconds"`
	Queries float64      `json:"queries"`         // that policies have answered, including Other
	Other   float64      `json:"other,omitempty"` // of orders that there was no room to count
	Orders  []AskedOrder `json:"orders"`          // most queries first
}

// AskedOrder counts the queries of an order's clients.
type AskedOrder struct {
	Order
	Queries float64 `json:"queries"`
	Samples float64 `json:"samples"` // how many queries were sampled; Queries is the estimate from them
}

// Key returns an order as a string, for maps.
func (o *Order) Key() string {
	return fmt.Sprint(o.Policy, " ", o.Rule, o.Family, " ", strings.Join(o.Pools, ","), " ", strings.Join(o.First, ","))
}

// Sort puts the orders with most queries first and keeps at most so many. The queries of the rest go to Other.
func (a *Asked) Sort(most int) {
	slices.SortFunc(a.Orders, func(x, y AskedOrder) int {
		return cmp.Or(cmp.Compare(y.Queries, x.Queries), cmp.Compare(x.Key(), y.Key()))
	})
	for len(a.Orders) > most {
		last := len(a.Orders) - 1
		a.Other += a.Orders[last].Queries
		a.Orders = a.Orders[:last]
	}
}

// Add adds what another server counted. It adds rates, whatever period each count stands for.
func (a *Asked) Add(b *Asked) {
	if b == nil || !(b.Seconds > 0) {
		return
	}
	if a.Seconds <= 0 {
		a.Seconds = b.Seconds
	}
	scale := a.Seconds / b.Seconds
	a.Queries += b.Queries * scale
	a.Other += b.Other * scale
	at := map[string]int{}
	for i := range a.Orders {
		at[a.Orders[i].Key()] = i
	}
	for _, o := range b.Orders {
		i, there := at[o.Key()]
		if !there {
			i = len(a.Orders)
			a.Orders = append(a.Orders, AskedOrder{Order: o.Order})
		}
		a.Orders[i].Queries += o.Queries * scale
		a.Orders[i].Samples += o.Samples
	}
}

// Differs reports whether the counts have changed enough since before to report them: the rate by a tenth, or the
// orders of a twentieth of the queries.
func (a *Asked) Differs(before *Asked) bool {
	if before == nil || a == nil {
		return a != before
	}
	if !(a.Seconds > 0 && before.Seconds > 0 && a.Queries > 0 && before.Queries > 0) {
		return (a.Queries > 0) != (before.Queries > 0)
	}
	now, then := a.Queries/a.Seconds, before.Queries/before.Seconds
	if now > 1.1*then || then > 1.1*now {
		return true
	}
	shares := map[string]float64{"": (a.Other / a.Queries) - before.Other/before.Queries}
	for i := range a.Orders {
		shares[a.Orders[i].Key()] += a.Orders[i].Queries / a.Queries
	}
	for i := range before.Orders {
		shares[before.Orders[i].Key()] -= before.Orders[i].Queries / before.Queries
	}
	moved := 0.
	for _, s := range shares {
		moved += max(s, -s)
	}
	return moved/2 > 0.05
}
