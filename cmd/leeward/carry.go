package main

import (
	"fmt"
	"strings"
	"time"

	"leeward/cmd/leeward/screen"
	"leeward/server/admin"
	"leeward/zones"
)

// load is what a policy, or one of its rules, has now, and what would be left to carry it without the target.
type load struct {
	policy             string // and the rule, if it is one rule's: "www.example.test rule 2"
	endpoints, left    int    // healthy and not drained
	weight, weightLeft int
	carriers           []string // pools that are left, with their healthy endpoints
}

// carry returns what every policy that would lose something would have left. It adds each rule that would be left with
// nothing, because the clients of a rule have only its pools, whatever other rules have.
//
// An override counts as drain or down if it holds for any part of the drain's time, and as up only if it holds for all
// of it.
func carry(rs []zones.Resource, drain *zones.Override, status *admin.Status, now time.Time) []load {
	target := drain.Target
	words := map[string]zones.Word{}
	regions := map[string]string{}
	pools := map[string][]*zones.Endpoint{}
	var policies []*zones.Policy
	for _, r := range rs {
		switch r := r.(type) {
		case *zones.Override:
			if meets, all := during(r, drain, now); all || meets && r.State != zones.Up {
				words[r.Target] = r.State
			}
		case *zones.Pool:
			regions[r.Pool] = r.Region
		case *zones.Endpoint:
			pools[r.Pool] = append(pools[r.Pool], r)
		case *zones.Policy:
			policies = append(policies, r)
		}
	}
	healthy := map[string]bool{}
	for _, e := range status.Endpoints {
		healthy[e.Endpoint] = e.Hostname != nil && len(e.Addresses) == 0 // not looked up yet: unknown counts as up
		for _, a := range e.Addresses {
			healthy[e.Endpoint] = healthy[e.Endpoint] || a.Verdict != "down"
		}
	}
	serves := func(e *zones.Endpoint) bool {
		region, pool, own := words["region/"+regions[e.Pool]], words["pool/"+e.Pool], words["endpoint/"+e.ID()]
		if region == zones.Drain || pool == zones.Drain || own == zones.Drain {
			return false
		}
		for _, word := range []zones.Word{own, pool, region} { // the most specific counts
			if word != "" {
				return word == zones.Up
			}
		}
		return healthy[e.ID()]
	}
	taken := func(e *zones.Endpoint) bool {
		return target == "region/"+regions[e.Pool] || target == "pool/"+e.Pool || target == "endpoint/"+e.ID()
	}
	weigh := func(name string, of []string) (l load, loses bool) {
		l.policy = name
		for _, pool := range of {
			left := 0
			for _, e := range pools[pool] {
				out := taken(e)
				loses = loses || out
				if !serves(e) {
					continue
				}
				l.endpoints++
				l.weight += e.EffectiveWeight()
				if !out {
					left++
					l.left++
					l.weightLeft += e.EffectiveWeight()
				}
			}
			if left > 0 {
				l.carriers = append(l.carriers, fmt.Sprintf("%s (%d)", pool, left))
			}
		}
		return l, loses
	}
	var loads []load
	for _, p := range policies {
		whole, loses := weigh(p.Name, p.PoolNames())
		if loses {
			loads = append(loads, whole)
		}
		for i := 0; loses && whole.left > 0 && i < len(p.Rules); i++ {
			rule, loses := weigh(fmt.Sprintf("%s rule %d", p.Name, i+1), p.Rules[i].PoolNames())
			if loses && rule.left == 0 {
				loads = append(loads, rule)
			}
		}
	}
	return loads
}

// during reports whether an override holds for a part of another's time, and whether it holds for all of it.
func during(o, of *zones.Override, now time.Time) (meets, all bool) {
	from := now
	if of.From != nil {
		from = *of.From
	}
	begun := o.From == nil || !from.Before(*o.From)
	ends := o.Until != nil && (of.Until == nil || o.Until.Before(*of.Until))
	over := o.Until != nil && !from.Before(*o.Until)
	late := o.From != nil && of.Until != nil && !o.From.Before(*of.Until)
	return !over && !late, begun && !ends
}

// loads prints what would be left of each policy.
func (inv *invocation) loads(target string, loads []load) {
	if len(loads) == 0 {
		inv.printf("No policy uses %s.\n", target)
		return
	}
	inv.printf("Without %s:\n", target)
	t := &screen.Table{Heads: []string{"POLICY", "HEALTHY ENDPOINTS", "WEIGHT", "CARRIED BY"}}
	for _, l := range loads {
		by := strings.Join(l.carriers, ", ")
		if by == "" {
			by = "nobody"
		}
		t.AddTexts(l.policy, fmt.Sprintf("%d → %d", l.endpoints, l.left),
			fmt.Sprintf("%d → %d", l.weight, l.weightLeft), by)
	}
	inv.table(t)
}
