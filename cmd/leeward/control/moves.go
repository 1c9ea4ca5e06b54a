package control

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"weak"

	"leeward/server/admin"
	"leeward/server/answer"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// WithoutPool returns, by name, the policies that have no pool for some clients: in open, those that answer as if all
// pools were healthy; in denied, those that answer as their whenAllDown says.
func WithoutPool(state *answer.State) (open []string, denied []admin.Denied) {
	_, open, denied = moves(state.Snapshot, state.View)
	return open, denied
}

// lastMoves remembers the last result of moves. While nothing changes, everybody who asks for a status gets it. It does
// not keep alive what the result was made from.
type lastMoves struct {
	mu       sync.Mutex
	snapshot weak.Pointer[snapshot.Snapshot]
	view     weak.Pointer[steer.View]
	all      []admin.Move
	open     []string
	denied   []admin.Denied
}

// of returns what moves returns. The caller must not change it.
func (l *lastMoves) of(s *snapshot.Snapshot, v *steer.View) ([]admin.Move, []string, []admin.Denied) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ws, wv := weak.Make(s), weak.Make(v); l.all == nil || l.snapshot != ws || l.view != wv {
		l.snapshot, l.view = ws, wv
		l.all, l.open, l.denied = moves(s, v)
	}
	return l.all, l.open, l.denied
}

// moves returns where the clients of pools go that are out, and which policies have no pool for some clients. It skips
// policies whose pools are all available, so it costs little while all is well.
func moves(s *snapshot.Snapshot, v *steer.View) (all []admin.Move, open []string, denied []admin.Denied) {
	all, open, denied = []admin.Move{}, []string{}, []admin.Denied{}
	if s == nil || v == nil {
		return all, open, denied
	}
	region := map[int32]string{}
	var gone [3]map[int32]bool // by family: pools that have it but are not available
	for f := range gone {
		gone[f] = map[int32]bool{}
	}
	for _, p := range v.Pools() {
		region[p.Number] = p.Region
		for f, of := range []*steer.FamilyStatus{&p.IPv4, &p.IPv6, &p.Names} {
			if of.Total > 0 && !of.Available {
				gone[f][p.Number] = true
			}
		}
	}
	to := map[string]map[string]int{} // by region: how many orders of pools lead to each other region
	s.Policies(func(p *steer.Policy) bool {
		opens := false
		for f := range gone {
			if !slices.ContainsFunc(p.Pools(), func(n int32) bool { return gone[f][n] }) {
				continue
			}
			for _, way := range p.Ways(v, steer.Family(f)) {
				opens = opens || way.Open
				for _, n := range way.Well {
					if !gone[f][n] {
						continue
					}
					from := to[region[n]]
					if from == nil {
						from = map[string]int{}
						to[region[n]] = from
					}
					for _, heir := range way.Now {
						if !way.Open && region[heir] != region[n] {
							from[region[heir]]++
						}
					}
				}
			}
		}
		switch says := p.WhenAllDown(); {
		case opens && says == steer.SaysAddresses:
			open = append(open, p.Name)
		case opens:
			denied = append(denied, admin.Denied{Policy: p.Name, Says: says.String()})
		}
		return true
	})
	for _, from := range slices.Sorted(maps.Keys(to)) {
		heirs := slices.SortedFunc(maps.Keys(to[from]), func(a, b string) int {
			return cmp.Or(to[from][b]-to[from][a], strings.Compare(a, b))
		})
		if len(heirs) > 0 {
			all = append(all, admin.Move{From: from, To: heirs})
		}
	}
	slices.Sort(open)
	slices.SortFunc(denied, func(a, b admin.Denied) int { return strings.Compare(a.Policy, b.Policy) })
	return all, open, denied
}

// PoolsOf returns the pools of the policy at a name, or nil if there is no policy.
func PoolsOf(state *answer.State, name string) (pools []string) {
	if state == nil {
		return nil
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	state.Snapshot.Policies(func(p *steer.Policy) bool {
		if p.Name != name {
			return true
		}
		for _, n := range p.Pools() {
			if pool := state.View.Pool(n); pool != nil {
				pools = append(pools, pool.Name)
			}
		}
		return false
	})
	return pools
}
