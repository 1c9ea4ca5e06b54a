package health

import (
	"maps"
	"net/netip"
)

// A vantage whose own network fails sees everything down. It is blind, and abstains.
//
// A vantage is blind to a family if, of the family's addresses that most other vantages say are up, it says that more
// than half are down, and these lie in at least two regions (two pools, if there is only one region). What the others
// say is down does not count: if it did, a blind vantage would be believed at the next real failure.
//
// The rule goes by family because the network may fail for one family alone. A vantage without IPv6 contradicts the
// others on half of a dual-stack fleet, which is not more than half, and its IPv4 votes remain good. If one family has
// too few addresses to tell, both are counted together: a vantage to which the rule applies in total is blind to a
// family unless it sees up at least half of what the others see up there.
//
// The others are the fresh vantages. A stale vantage is compared with stale ones if there is no fresh vote, so that
// nothing changes if all go stale together.

// family is the IP version of an address.
type family int

const (
	ipv4 family = iota
	ipv6
	families
)

func familyOf(a netip.Addr) family {
	if a.Unmap().Is4() {
		return ipv4
	}
	return ipv6
}

func (f family) String() string { return [...]string{"IPv4", "IPv6"}[f] }

// view compares a vantage's votes in one family with those of the others.
type view struct {
	shared, well, contradicted int            // see cell
	regions, pools             map[string]int // of the contradicted targets
}

// contradict counts a target on which the vantage contradicts the others. n is 1, or -1 to take it back.
func (w *view) contradict(t *target, n int) {
	if w.regions == nil {
		w.regions, w.pools = map[string]int{}, map[string]int{}
	}
	w.contradicted += n
	add(w.regions, t.region, n)
	add(w.pools, t.pool, n)
}

func add(counts map[string]int, key string, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}

// most reports whether the vantage sees less than half of what the others see up.
func (w *view) most() bool { return 2*w.contradicted > w.well }

// spread returns in how many regions the vantage contradicts the others, or in how many pools if there is one region.
func (w *view) spread(regions int) int {
	if regions == 1 {
		return len(w.pools)
	}
	return len(w.regions)
}

// both returns the view of both families together.
func (v *vantage) both() view {
	all := view{
		well:         v.sees[ipv4].well + v.sees[ipv6].well,
		contradicted: v.sees[ipv4].contradicted + v.sees[ipv6].contradicted,
		regions:      map[string]int{}, pools: map[string]int{},
	}
	for f := range v.sees {
		maps.Copy(all.regions, v.sees[f].regions)
		maps.Copy(all.pools, v.sees[f].pools)
	}
	return all
}

// looks returns to which families the vantage is blind, by its counts.
func (v *vantage) looks(regions int) (blind [families]bool) {
	all := v.both()
	altogether := all.most() && all.spread(regions) >= 2
	for f := range v.sees {
		w := &v.sees[f]
		blind[f] = w.most() && (altogether || w.spread(regions) >= 2)
	}
	return blind
}

// sight finds the blind vantages, and touches the targets of those that became blind or stopped being blind.
func (b *Board) sight() {
	turned := map[*vantage]bool{}
	for _, v := range b.vantages {
		if !v.moved {
			continue
		}
		v.moved = false
		if blind := v.looks(len(b.regions)); blind != v.blind {
			v.blind, turned[v] = blind, true
			b.mustered = false
		}
	}
	b.touchAll(turned)
}

// blindTo names the family to which the vantage is blind, if it also votes on the other family and is not blind to
// that.
func (v *vantage) blindTo() []string {
	for f := range families {
		if other := ipv6 - f; v.blind[f] && !v.blind[other] && v.sees[other].shared > 0 {
			return []string{f.String()}
		}
	}
	return nil
}

// whereBlind says to which family the vantage is blind, if not to both.
func (t *target) whereBlind(v *vantage) string {
	if len(v.blindTo()) == 0 {
		return ""
	}
	return " to " + t.family.String()
}
