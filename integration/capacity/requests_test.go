//go:build linux

package capacity

// visits says where the requests of clients go that have several addresses, take them in random order, and try the next
// one if one refuses. For one request, it returns the expected number of attempts at each address, and the probability
// that all of them refuse. Address i refuses the share refuses[i] of what reaches it, each request by chance.
//
// An attempt reaches i in place j+1 if i is there in the order, and the j addresses before it, any j of the others,
// have refused. Its probability is the sum over all sets of j others of the product of their shares, over the number of
// such sets, times 1/k for each place.
func visits(refuses, attempts []float64) (lost float64) {
	k := len(refuses)
	lost = 1
	sure := true // nobody refuses: the usual case
	for i, f := range refuses {
		attempts[i] = 1 / float64(k)
		lost *= f
		sure = sure && f == 0
	}
	if sure {
		return lost
	}
	var room [16]float64
	for i := range refuses {
		sums := append(room[:0], 1) // elementary symmetric polynomials of the others' shares
		for o, f := range refuses {
			if o == i {
				continue
			}
			sums = append(sums, 0)
			for j := len(sums) - 1; j > 0; j-- {
				sums[j] += f * sums[j-1]
			}
		}
		attempts[i] = 0
		sets := 1.0
		for j, sum := range sums {
			attempts[i] += sum / sets / float64(k)
			sets = sets * float64(k-1-j) / float64(j+1)
		}
	}
	return lost
}

// optimum is the least share of all requests that must leave its region so that no pool has more than its part: up to
// its target if that suffices, and otherwise the same share of the target for all.
func optimum(demand, targets []float64) float64 {
	asked, has := total(demand), total(targets)
	if asked == 0 {
		return 0
	}
	over := 1.0
	if has > 0 {
		over = max(1, asked/has)
	}
	away := 0.0
	for r := range demand {
		away += max(0, demand[r]-over*targets[r])
	}
	return away / asked
}

func total(all []float64) (sum float64) {
	for _, v := range all {
		sum += v
	}
	return sum
}
