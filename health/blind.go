package health

import (
	"maps"
	"net/netip"
)

// A vantage whose own way out fails sees everything down. It is blind, and abstains.
//
// It is blind to a family when, of the addresses of that family that most of the others say are up, it says down of
// more than half, and these lie in two regions or more (two pools, where there is one region altogether). What the
// others say is down tells nothing of its eyes: were it counted, a blind vantage would come to be believed by the next
// real failure.
//
// By family, as a way out can fail for one alone: a vantage that has lost its IPv6 contradicts the others on half of a
// fleet that has both, which is not more than half, and its IPv4 votes are as good as ever. Where too few addresses are
// of one family to tell, those of both are looked at together: a vantage for which the rule holds altogether is blind
// to a family unless it sees at least half of what the others see up there.
//
// The others are the fresh ones; a vantage that is itself stale is compared with stale ones where no fresh one votes,
// so that all going stale together changes nothing.

// family is of which IP version an address is.
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

// view is how a vantage's votes in one family compare with those of the others.
type view struct {
	shared, well, contradicted int            // see cell
	regions, pools             map[string]int // of the contradicted targets
}

// contradict counts a target on which the vantage contradicts the others, or takes it out again, with n -1.
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

// spread returns in how many regions it does, or pools where there is one region altogether.
func (w *view) spread(regions int) int {
	if regions == 1 {
		return len(w.pools)
	}
	return len(w.regions)
}

// both returns the view of both families together.
func (v *vantage) both() view {
	all := view{
		well: v.sees[ipv4].well + v.sees[ipv6].well, contradicted: v.sees[ipv4].contradicted + v.sees[ipv6].contradicted,
		regions: map[string]int{}, pools: map[string]int{},
	}
	for f := range v.sees {
		maps.Copy(all.regions, v.sees[f].regions)
		maps.Copy(all.pools, v.sees[f].pools)
	}
	return all
}

// looks returns to which families the vantage is blind by its counts.
func (v *vantage) looks(regions int) (blind [families]bool) {
	all := v.both()
	altogether := all.most() && all.spread(regions) >= 2
	for f := range v.sees {
		w := &v.sees[f]
		blind[f] = w.most() && (altogether || w.spread(regions) >= 2)
	}
	return blind
}

// sight finds the blind vantages, and touches the targets of those that became or ceased to be it.
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

// blindTo names the family to which alone the vantage is blind, although it votes on the other one too.
func (v *vantage) blindTo() []string {
	for f := range families {
		if other := ipv6 - f; v.blind[f] && !v.blind[other] && v.sees[other].shared > 0 {
			return []string{f.String()}
		}
	}
	return nil
}

// whereBlind says for which family a vantage that is blind for the target is so, where it is not for both.
func (t *target) whereBlind(v *vantage) string {
	if len(v.blindTo()) == 0 {
		return ""
	}
	return " to " + t.family.String()
}
