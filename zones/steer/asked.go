package steer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Asked is which clients have asked lately. Older queries count for less and less: Seconds is what their number is to
// be divided by for a rate.
type Asked struct {
	Seconds float64      `json:"seconds"`
	Queries float64      `json:"queries"`         // that a policy has answered, those of Other included
	Other   float64      `json:"other,omitempty"` // for whose order there was no room
	Orders  []AskedOrder `json:"orders"`          // most queries first
}

// AskedOrder is how many of an order's clients have asked.
type AskedOrder struct {
	Order
	Queries float64 `json:"queries"`
	Samples float64 `json:"samples"` // of which the number of queries is an estimate
}

// Key spells an order as a map's key.
func (o *Order) Key() string {
	return fmt.Sprint(o.Policy, " ", o.Rule, o.Family, " ", strings.Join(o.Pools, ","), " ", strings.Join(o.First, ","))
}

// Sort brings the orders into theirs and keeps most of them: the others' queries go to Other.
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

// Add adds what another server was asked. Rates add up, whatever time each stands for.
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

// Differs reports whether so much has changed since before that it is worth telling: the rate by a tenth, or the order
// of a twentieth of the queries.
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
