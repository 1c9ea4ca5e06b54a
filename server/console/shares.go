package console

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"leeward/server/admin"
	"leeward/server/answer"
	"leeward/zones/steer"
)

// portion is the share of this server's recent answers that a pool or a region gave, and the share that it should have
// given.
type portion struct {
	Counted bool    // there were queries in the last five minutes, so the shares mean something
	Minute  float64 // share of the answers in the last minute, 0 to 1
	Five    float64
	Rate    float64 // answers per second in the last minute
	Known   bool    // Meant is known
	Meant   float64 // the share if every endpoint were healthy and no pool full
}

// Is, Was and Should return the shares in words, or a dash for one that is not known.
func (p portion) Is() string     { return percent(p.Minute, p.Counted) }
func (p portion) Was() string    { return percent(p.Five, p.Counted) }
func (p portion) Should() string { return percent(p.Meant, p.Known) }

// percent formats a share. It never rounds a little to nothing, or nearly all to all.
func percent(share float64, known bool) string {
	switch {
	case !known:
		return "–"
	case share > 0 && share < .005:
		return "<1 %"
	case share < 1 && share >= .995:
		return ">99 %"
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

// shares are the shares of all pools in this server's answers. They do not change once they are made.
type shares struct {
	pools map[string]portion
	other portion // for a pool that gave no answers and was not meant to
}

// shareBook keeps shares for a moment: the more policies there are, the longer counting takes.
type shareBook struct {
	mu  sync.Mutex // held while they are made: others wait and get the same
	at  time.Time
	all *shares
}

const (
	sharesFor  = 2 * time.Second
	mostPools  = 10_000
	mostOrders = 256 // orders of pools that Meant is worked out from: those that clients ask for most
)

// shares returns the shares of all pools, or nil if nothing is counted.
func (c *console) shares(s *admin.Status) *shares {
	if c.PoolCounts == nil {
		return nil
	}
	c.book.mu.Lock()
	defer c.book.mu.Unlock()
	if c.book.all != nil && time.Since(c.book.at) < sharesFor {
		return c.book.all
	}
	counts := c.PoolCounts(mostPools)
	var all answer.Count
	for _, p := range counts.Pools {
		all.LastMinute += p.LastMinute
		all.LastFiveMinutes += p.LastFiveMinutes
	}
	out := portions(counts.Pools, all, counts.Windows, c.meant(s, ""))
	c.book.all, c.book.at = out, time.Now()
	return out
}

// of returns the portion of one pool.
func (x *shares) of(pool string) portion {
	if x == nil {
		return portion{}
	}
	if p, there := x.pools[pool]; there {
		return p
	}
	return x.other
}

// region adds up the pools of a region.
func (x *shares) region(pools []admin.Pool, region string) (sum portion) {
	for i := range pools {
		if pools[i].Region != region {
			continue
		}
		p := x.of(pools[i].Pool)
		sum.Counted, sum.Known = p.Counted, p.Known
		sum.Minute += p.Minute
		sum.Five += p.Five
		sum.Rate += p.Rate
		sum.Meant += p.Meant
	}
	return sum
}

// portions makes shares from counts. meant is how many queries per second each pool should get; nil: that is not known.
func portions(counts []answer.PoolCount, all answer.Count, windows [2]float64, meant map[string]float64) *shares {
	out, sum := &shares{pools: map[string]portion{}}, 0.
	for _, rate := range meant {
		sum += rate
	}
	out.other = portion{Counted: all.LastFiveMinutes > 0, Known: sum > 0}
	for _, n := range counts {
		p := out.other
		p.Minute = part(n.LastMinute, all.LastMinute)
		p.Five = part(n.LastFiveMinutes, all.LastFiveMinutes)
		p.Rate = float64(n.LastMinute) / max(windows[0], 1e-9)
		out.pools[n.Pool] = p
	}
	for pool, rate := range meant {
		p := out.of(pool)
		p.Meant = rate / max(sum, 1e-9)
		out.pools[pool] = p
	}
	return out
}

func part(n, of uint64) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// meant returns how many queries per second each pool would get from the clients that this server has counted, if every
// endpoint were healthy. It counts the clients of one policy, or of all if policy is "". It returns nil if nothing is
// known about clients.
func (c *console) meant(s *admin.Status, policy string) map[string]float64 {
	state := c.State()
	self := slices.IndexFunc(s.Servers, func(v admin.Server) bool { return v.ID == c.ID })
	if state == nil || self < 0 || s.Servers[self].Asked == nil {
		return nil
	}
	asked := *s.Servers[self].Asked // a status does not change
	asked.Orders = slices.Clone(asked.Orders)
	if policy != "" {
		asked.Orders = slices.DeleteFunc(asked.Orders, func(o steer.AskedOrder) bool { return o.Policy != policy })
	}
	asked.Sort(mostOrders)
	all := c.names.sorted(state)
	scene := steer.Scene{
		View: state.View, Sharing: state.Snapshot.Sharing(), Now: s.Time.Unix(),
		Policy: func(name string) *steer.Policy {
			at := func(p *steer.Policy, name string) int { return strings.Compare(p.Name, name) }
			if i, found := slices.BinarySearchFunc(all, name, at); found {
				return all[i]
			}
			return nil
		},
	}
	return steer.Meant(scene, state.Snapshot.Program(), &asked)
}

// answeredBy is one pool in a policy's table of answers.
type answeredBy struct {
	Pool string // "": answers without a pool
	portion
	Differs bool // its share is not what was meant
}

// differs is how far a share may be from what was meant before a page points that out. Both chance and sampling shift
// it.
const differs = .1

// answersOf returns which pools have answered a policy's clients. rules are the shares of its rules, by number.
func (c *console) answersOf(s *admin.Status, policy string, pools []string) (rows []answeredBy, rules map[int]portion) {
	if c.Counts == nil {
		return nil, nil
	}
	counts := c.Counts(policy, mostPools)
	i := slices.IndexFunc(counts.Policies, func(p answer.PolicyCount) bool { return p.Policy == policy })
	if i < 0 {
		return nil, nil
	}
	p := &counts.Policies[i]
	var lists []answer.PoolCount
	rules = map[int]portion{}
	for _, r := range p.Rules {
		for _, n := range r.Pools {
			k := slices.IndexFunc(lists, func(l answer.PoolCount) bool { return l.Pool == n.Pool })
			if k < 0 {
				lists = append(lists, n)
				continue
			}
			lists[k].LastMinute += n.LastMinute
			lists[k].LastFiveMinutes += n.LastFiveMinutes
		}
		x := rules[r.Rule] // a rule that has changed has several rows
		x.Counted = p.LastFiveMinutes > 0
		x.Minute += part(r.LastMinute, p.LastMinute)
		x.Five += part(r.LastFiveMinutes, p.LastFiveMinutes)
		rules[r.Rule] = x
	}
	all := portions(lists, p.Count, counts.Windows, c.meant(s, policy))
	for _, pool := range pools {
		all.pools[pool] = all.of(pool)
	}
	for pool, x := range all.pools {
		if pool == "" && x.Five == 0 {
			continue
		}
		off := max(x.Minute-x.Meant, x.Meant-x.Minute) > differs
		rows = append(rows, answeredBy{pool, x, x.Counted && x.Known && off})
	}
	slices.SortFunc(rows, func(a, b answeredBy) int {
		if (a.Pool == "") != (b.Pool == "") {
			return len(b.Pool) - len(a.Pool) // the row without a pool comes last
		}
		return strings.Compare(a.Pool, b.Pool)
	})
	return rows[:min(len(rows), perPage)], rules
}
