package answer

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"leeward/server/wire"
	"leeward/zones/steer"
)

// askOften asks the worker the same question again and again.
func askOften(t *testing.T, w *Worker, dig string, times int) {
	t.Helper()
	q, err := readInquiry(dig)
	if err != nil {
		t.Fatal(err)
	}
	request, _ := q.message.Pack()
	out := make([]byte, 0, wire.UDPSize)
	for range times {
		if len(w.answer(request, q.client, out)) == 0 {
			t.Fatal("not answered")
		}
	}
}

// TestAskedCounts compares the counts with what was asked. They are exact while that is little, and an estimate once it
// is much.
func TestAskedCounts(t *testing.T) {
	s := newResponder(t)
	a, b := s.newWorker(udp), s.newWorker(tcp)
	askOften(t, a, "dig www.example.test. A edns=1232", 300)
	askOften(t, b, "dig www.example.test. A edns=1232", 200)
	askOften(t, b, "dig www.example.test. AAAA edns=1232", 70)
	askOften(t, a, "dig mail.example.test. A edns=1232", 1000) // no policy steers this
	if s.Asked(10) != nil {
		t.Fatal("it is counted before the tables are quiet")
	}
	s.tallyAsked(5 * time.Second)
	s.tallyAsked(5 * time.Second)
	got := s.Asked(10)
	if got == nil || got.Queries != 570 || got.Other != 0 || len(got.Orders) != 2 || got.Orders[0].Queries != 500 ||
		got.Orders[0].Samples != 500 {
		t.Fatalf("%+v", got)
	}
	if o := got.Orders[1]; o.Policy != "www.example.test" || o.Family != "IPv6" || o.Queries != 70 {
		t.Errorf("%+v", o)
	}
	if got.Seconds < 9.9 || got.Seconds > 10 {
		t.Errorf("for %v seconds", got.Seconds)
	}
	s.tallyAsked(askedHalf)
	if half := s.Asked(10); math.Abs(half.Queries-285) > 0.01 {
		t.Errorf("after a half-life %v", half.Queries)
	}
	if one := s.Asked(1); len(one.Orders) != 1 || math.Abs(one.Other-35) > 0.01 || math.Abs(one.Queries-285) > 0.01 {
		t.Errorf("cut to one: %+v", one)
	}
	const many = 100_000
	askOften(t, a, "dig www.example.test. A edns=1232", many)
	s.tallyAsked(0)
	s.tallyAsked(0)
	if got := s.Asked(10).Queries - 285; math.Abs(got-many) > 0.15*many {
		t.Errorf("%v of %d queries are told", got, many)
	}
}

// TestAskedHasRoom fills a table with more kinds than it has slots. A kind without a slot is counted among the others,
// and nothing is lost.
func TestAskedHasRoom(t *testing.T) {
	s := newResponder(t)
	state := s.state.Load()
	p := state.Snapshot.Policy("www.example.test")
	w := s.newWorker(udp)
	table := w.stripe.kinds.now.Load()
	for i := range 500 {
		table.add(p, uint64(i))
	}
	held := uint64(0)
	for i := range table.slots {
		held += table.slots[i].queries.Load()
	}
	if held == 0 || held > kindSlots || held+table.other.Load() != 500 {
		t.Errorf("%d have a place, %d have none", held, table.other.Load())
	}
	table.clear()
	if table.slots[0].queries.Load() != 0 || table.slots[0].policy.Load() != nil || table.other.Load() != 0 ||
		table.mask.Load() != 0 {
		t.Error("it is not empty")
	}
}

// TestAskedTogether lets workers share a stripe while tables are taken away.
func TestAskedTogether(t *testing.T) {
	s := newResponder(t)
	on := s.counts.stripe()
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			w := s.workerOn(on, s.Over(tcp))
			for i := range 20 {
				askOften(t, w, fmt.Sprintf("dig www.example.test. %s edns=1232", []string{"A", "AAAA"}[i%2]), 20)
			}
		})
	}
	for range 10 {
		s.tallyAsked(time.Millisecond)
		s.Asked(5)
	}
	all.Wait()
	s.tallyAsked(0)
	s.tallyAsked(0)
	if got := s.Asked(5); got == nil || got.Queries > 1500 || len(got.Orders) != 2 {
		t.Errorf("%+v", got)
	}
}

func TestAskedAddsUp(t *testing.T) {
	order := func(pool string, queries float64) steer.AskedOrder {
		return steer.AskedOrder{
			Order: steer.Order{Policy: "p", Rule: 1, Pools: []string{pool}}, Queries: queries,
			Samples: queries / 10,
		}
	}
	a := steer.Asked{Seconds: 100, Queries: 110, Other: 10, Orders: []steer.AskedOrder{order("a", 60), order("b", 40)}}
	b := steer.Asked{Seconds: 50, Queries: 40, Other: 5, Orders: []steer.AskedOrder{order("b", 10), order("c", 25)}}
	var sum steer.Asked
	sum.Add(&a)
	sum.Add(&b)
	sum.Add(nil)
	sum.Sort(2)
	if sum.Queries != 190 || sum.Other != 10+10+50 || len(sum.Orders) != 2 || sum.Orders[0].Queries != 60 ||
		sum.Orders[1].Queries != 60 || sum.Orders[1].Samples != 5 {
		t.Errorf("%+v", sum)
	}
	if a.Differs(&a) || !a.Differs(&b) || !a.Differs(nil) || (*steer.Asked)(nil).Differs(nil) {
		t.Error("what differs")
	}
	near := a
	near.Orders = []steer.AskedOrder{order("a", 58), order("b", 42)}
	if near.Differs(&a) {
		t.Error("two in a hundred differ")
	}
	near.Orders = []steer.AskedOrder{order("a", 40), order("b", 60)}
	if !near.Differs(&a) {
		t.Error("a fifth does not differ")
	}
}
