package steer

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"leeward/zones"
)

// circled draws a table that has a circle.
func circled(t *rapid.T) *table {
	var cs []candidate
	n := rapid.IntRange(mostFree+1, 40).Draw(t, "candidates")
	weight := rapid.SampledFrom([]uint64{1, 1, 2, 3, 7, 50, 100})
	for i := range n {
		cs = append(cs, candidate{
			addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), seed: mix(uint64(i)), endpoint: int32(i),
			weight: weight.Draw(t, "weight"),
		})
	}
	return newTable(cs)
}

// overs works out with pencil and paper which candidates are in every set of k: each that would be in more than every
// answer is in all of them, and the others share what is left.
func overs(weights []uint64, k int) (always map[int]bool, rest int64, points int64) {
	always, points = map[int]bool{}, int64(k)
	for {
		rest = 0
		for i, w := range weights {
			if !always[i] {
				rest += int64(w)
			}
		}
		more := false
		for i, w := range weights {
			if !always[i] && big.NewRat(int64(w)*points, rest).Cmp(big.NewRat(1, 1)) >= 0 {
				always[i], more = true, true
				points--
				break
			}
		}
		if !more {
			return always, rest, points
		}
	}
}

// TestCircleIsExact goes through all offsets. Each candidate is in as many sets, and comes first as often, as its
// weight says, in exact arithmetic. There are no more sets than candidates.
func TestCircleIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tb := circled(t)
		k := rapid.IntRange(2, tb.len()-1).Draw(t, "answers")
		always, rest, points := overs(tb.weights, k)
		n, got := tb.circle.always(tb.weights, k)
		if n != len(always) || got != uint64(rest) {
			t.Fatalf("%d are in every set and the others weigh %d, want %d and %d", n, got, len(always), rest)
		}
		in, first := make([]int64, tb.len()), make([]*big.Rat, tb.len())
		var total int64
		for i := range first {
			first[i] = new(big.Rat)
			total += int64(tb.weights[i])
		}
		sets := map[string]bool{}
		for base := range rest {
			var chosen [MaxAnswers]uint32
			tb.circle.set(tb.weights, k, n, uint64(rest), uint64(base), &chosen)
			set := slices.Clone(chosen[:k])
			for i, c := range set {
				in[c]++
				if i < n {
					first[c].Add(first[c], big.NewRat(int64(tb.weights[c]), total*rest))
				} else {
					first[c].Add(first[c], big.NewRat(rest, total*points*rest))
				}
			}
			if slices.Sort(set); len(slices.Compact(slices.Clone(set))) != k {
				t.Fatalf("at %d: %v", base, set)
			}
			sets[fmt.Sprint(set)] = true
		}
		for i, w := range tb.weights {
			want := int64(w) * points
			if always[i] {
				want = rest
			}
			if in[i] != want {
				t.Fatalf("candidate %d of weight %d is in %d of %d sets, want %d", i, w, in[i], rest, want)
			}
			if first[i].Cmp(big.NewRat(int64(w), total)) != 0 {
				t.Fatalf("candidate %d of weight %d of %d comes first in %s", i, w, total, first[i])
			}
		}
		if len(sets) > tb.len() {
			t.Fatalf("%d sets of %d candidates", len(sets), tb.len())
		}
	})
}

// TestSampleDrawsTheFirst: an answer is a set of the circle, in the order that was drawn.
func TestSampleDrawsTheFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tb := circled(t)
		k := rapid.IntRange(2, tb.len()-1).Draw(t, "answers")
		n, rest := tb.circle.always(tb.weights, k)
		var chosen [MaxAnswers]uint32
		offset, random := rapid.Uint64().Draw(t, "offset"), rapid.Uint64().Draw(t, "dice")
		base, _ := new(big.Int).DivMod(
			new(big.Int).Mul(new(big.Int).SetUint64(offset), new(big.Int).SetUint64(rest)),
			new(big.Int).Lsh(big.NewInt(1), 64), new(big.Int))
		tb.circle.set(tb.weights, k, n, rest, base.Uint64(), &chosen)
		want := map[string]bool{}
		for _, c := range chosen[:k] {
			want[string(tb.addr(c))] = true
		}
		got := tb.sample(nil, k, offset, &random)
		for at := 0; at < len(got); at += tb.size {
			if a := string(got[at : at+tb.size]); !want[a] {
				t.Fatalf("% x is not in the set, or twice", a)
			}
			delete(want, string(got[at:at+tb.size]))
		}
		if len(want) > 0 {
			t.Fatalf("%d are missing", len(want))
		}
	})
}

// TestRingFollowsTheSeeds: a client keeps its endpoint, and also gets those that come after it.
func TestRingFollowsTheSeeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tb := circled(t)
		for i := range tb.seeds { // some are equal
			tb.seeds[i] %= uint64(rapid.IntRange(1, 100).Draw(t, "seeds"))
		}
		k := rapid.IntRange(2, tb.len()).Draw(t, "answers")
		order := make([]uint32, tb.len())
		for i := range order {
			order[i] = uint32(i)
		}
		slices.SortStableFunc(order, func(i, j uint32) int {
			return int(int64(tb.seeds[i]) - int64(tb.seeds[j]))
		})
		client := rapid.Uint64().Draw(t, "client")
		at := slices.Index(order, tb.best(nil, client, tb.weights))
		var want []byte
		for i := range k {
			want = tb.appendAddr(want, order[(at+i)%len(order)])
		}
		if got := tb.ring(nil, k, client, tb.weights); !slices.Equal(got, want) {
			t.Fatalf("% x, want % x", got, want)
		}
	})
}

func TestMany(t *testing.T) {
	for n := range 80 {
		for k := range n + 1 {
			want := new(big.Int).Binomial(int64(n), int64(k)).Cmp(big.NewInt(fewSets)) > 0 && k > 1
			if many(n, k) != want {
				t.Errorf("%d of %d: %v", k, n, !want)
			}
			if want && n <= mostFree {
				t.Errorf("%d of %d are many, and a table of %d has no circle", k, n, n)
			}
		}
	}
}

// crowded returns a policy of a zone, with two pools of n endpoints each that have different weights.
func crowded(t testing.TB, n int, signed bool, edit func(*world, *zones.Policy)) (*world, *Policy) {
	w := threeRegions()
	for _, pool := range []string{"www-eu", "www-us"} {
		w.members[pool] = nil
		for i := range n {
			weight := 1 + 10*i*i%37
			last := byte(i)
			if pool == "www-us" {
				last += 128
			}
			w.members[pool] = append(w.members[pool], &zones.Endpoint{
				Pool: pool, Endpoint: fmt.Sprint("e", i), Weight: &weight,
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, last})},
			})
		}
	}
	source := &zones.Policy{
		Name: "www.example.test", Answers: 4, Rules: []zones.Rule{{Failover: steps("www-eu", "www-us")}},
	}
	if edit != nil {
		edit(w, source)
	}
	refer := w.refer()
	refer.Signed = func(string) bool { return signed }
	p, err := NewCompiler(nil).Policy(source, refer)
	if err != nil {
		t.Fatal(err)
	}
	return w, p
}

// TestSharesOfAFewSets: in every state, a policy of a signed zone has few sets, and puts each endpoint first as often
// as a policy of an unsigned zone does.
func TestSharesOfAFewSets(t *testing.T) {
	const draws = 40000
	for _, x := range []struct {
		name string
		n    int
		pick zones.Pick
		down []string
		most int // sets
	}{
		{"all up", 20, "", nil, 20},
		{"two are down", 20, "", []string{"www-eu/e3", "www-eu/e11"}, 18},
		{"sticky", 20, zones.PickSticky, nil, 20},
		{"least-load", 20, zones.PickLeastLoad, nil, 20},
		{"few enough", 7, "", nil, 35},
	} {
		set := func(_ *world, p *zones.Policy) { p.Pick = x.pick }
		w, signed := crowded(t, x.n, true, set)
		_, plain := crowded(t, x.n, false, set)
		v := NewView(w.program(), Sight{State: down(x.down...)}, nil)
		rng := rand.New(rand.NewPCG(1, 2))
		var first [2][256]float64
		sets := map[string]bool{}
		for range draws {
			for i, p := range []*Policy{plain, signed} {
				client := netip.AddrFrom4([4]byte{10, byte(rng.Uint32()), byte(rng.Uint32())})
				var d Decision
				p.Decide(v, &Request{Client: client, Random: rng.Uint64()}, &d)
				if d.Count != 4 {
					t.Fatalf("%s: %d addresses", x.name, d.Count)
				}
				first[i][d.Data[3]]++
				if i == 1 {
					var all []string
					for at := 0; at < len(d.Data); at += 4 {
						all = append(all, string(d.Data[at:at+4]))
					}
					slices.Sort(all)
					sets[fmt.Sprint(all)] = true
				}
			}
		}
		if len(sets) > x.most {
			t.Errorf("%s: %d sets, want at most %d", x.name, len(sets), x.most)
		}
		for e := range first[0] {
			a, b := first[0][e], first[1][e]
			if d := a - b; d*d > 30*(a+b)+1 { // five and a half deviations
				t.Errorf("%s: %d comes first %.0f times in an unsigned zone, and %.0f in a signed one",
					x.name, e, a, b)
			}
		}
	}
}

// TestMixOfAFewSets: an answer from two pools has as many sets as both together have candidates, and each candidate is
// in it as often as its weight says.
func TestMixOfAFewSets(t *testing.T) {
	const draws, each = 40000, 2
	tables := [2]*table{}
	for i := range tables {
		var cs []candidate
		for j := range 20 {
			cs = append(cs, candidate{
				addr: netip.AddrFrom4([4]byte{192, 0, byte(i), byte(j)}), weight: uint64(1 + j%4), seed: uint64(j),
			})
		}
		tables[i] = newTable(cs)
	}
	l := lump{table: tables[0], part: 0.5}
	rng := rand.New(rand.NewPCG(3, 4))
	in, sets := [2][20]float64{}, map[string]bool{}
	for range draws {
		random := rng.Uint64()
		got := l.mix(nil, tables[1], 2*each, true, &random)
		var all []string
		for at := 0; at < len(got); at += 4 {
			in[got[at+2]][got[at+3]]++
			all = append(all, string(got[at:at+4]))
		}
		slices.Sort(all)
		sets[fmt.Sprint(all)] = true
	}
	if len(sets) > 40 {
		t.Errorf("%d sets of 20 and 20 candidates", len(sets))
	}
	for i := range in {
		for j, got := range in[i] {
			want := float64(1+j%4) / 50 * each * draws
			if d := got - want; d*d > 30*want {
				t.Errorf("pool %d: candidate %d is in %.0f answers, want about %.0f", i, j, got, want)
			}
		}
	}
}

func TestFewSetsAllocateNothing(t *testing.T) {
	for _, pick := range []zones.Pick{zones.PickWeighted, zones.PickSticky} {
		w, p := crowded(t, 20, true, func(_ *world, p *zones.Policy) { p.Pick = pick })
		v := NewView(w.program(), Sight{State: down()}, nil)
		var d Decision
		r := Request{Client: netip.MustParseAddr("192.0.2.200")}
		if n := testing.AllocsPerRun(100, func() { r.Random++; p.Decide(v, &r, &d) }); n != 0 {
			t.Errorf("%s: %v allocations", pick, n)
		}
	}
}
