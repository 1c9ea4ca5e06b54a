package zones

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// MaxAnswers is the most addresses that a policy may ask for in one answer.
const MaxAnswers = 32

// maxNearest is the most pools that a rule can put in order of distance: a place in the order is one octet.
const maxNearest = 250

// maxBias is how much nearer or farther a region may be made to look, in percent.
const maxBias = 99

func (f *faults) policy(p *Policy) {
	if p.TTL != 0 {
		if p.TTL.Std() < time.Second {
			f.add("ttl", "%s is shorter than 1s, the least that a policy has; write 1s or more", p.TTL)
		} else {
			f.seconds("ttl", NewTTL(p.TTL.Std()))
		}
	}
	if p.Map != "" {
		f.reference("map", KindMap, p.Map)
	}
	switch p.Pick {
	case "", PickWeighted, PickSticky, PickAll, PickLeastLoad:
	default:
		f.add("pick", "%q is not a way to pick; write weighted, sticky, all or least-load", p.Pick)
	}
	switch p.WhenAllDown {
	case "", AnswerPools, AnswerNoData, AnswerServFail:
	default:
		f.add("whenAllDown", "%q is not an answer here; write answer, nodata or servfail", p.WhenAllDown)
	}
	if p.Answers < 0 || p.Answers > MaxAnswers {
		f.add("answers", "%d is outside 1 to %d", p.Answers, MaxAnswers)
	}
	f.schedule(p)
	if len(p.Rules) == 0 {
		f.add("rules", "a policy has at least one rule, such as - failover: [www-eu, www-us]")
	}
	for i := range p.Rules[:min(len(p.Rules), maxNames)] {
		f.rule(p, i)
	}
	if len(p.Rules) > maxNames {
		f.add("rules", "%d rules are more than %d; let a Map say what many rules say", len(p.Rules), maxNames)
	}
}

// maxLevel is how far a schedule may raise a pool, in percent.
const maxLevel = 1000

func (f *faults) schedule(p *Policy) {
	if len(p.Schedule) > maxNames {
		f.add("schedule", "%d shifts are more than %d; take out those that are over", len(p.Schedule), maxNames)
		return
	}
	pools := p.PoolNames()
	for i, s := range p.Schedule {
		at := Item("schedule", i)
		if s.From.IsZero() {
			f.add(at+".from", "is missing; write when the shift begins, such as 2026-11-27T00:00:00Z")
		}
		if s.Ramp < 0 || s.Ramp.Std() > maxRamp {
			f.add(at+".ramp", "%s is outside 0s to %s", s.Ramp, Duration(maxRamp))
		}
		if !s.Until.IsZero() {
			switch long := s.Until.Sub(s.From); {
			case long <= 0:
				f.add(at+".until", "%s is not after from, so the shift would have no effect",
					s.Until.Format(time.RFC3339))
			case 2*s.Ramp.Std() > long:
				f.add(at+".ramp", "%s to get there and %[1]s to get back are longer than the %s of the shift; make "+
					"the ramp shorter", s.Ramp, Duration(long))
			}
		}
		if len(s.Weights) == 0 {
			f.add(at+".weights", "are missing; write which pools are shifted and to what, such as {www-us: 150%%}")
		}
		for _, pool := range slices.Sorted(maps.Keys(s.Weights)) {
			switch w := s.Weights[pool]; {
			case !slices.Contains(pools, pool):
				f.add(at+".weights."+pool, "%q is not among the policy's pools", pool)
			case w < 0 || w > maxLevel:
				f.add(at+".weights."+pool, "%s is outside 0%% to %d%%", w, maxLevel)
			}
		}
	}
}

func (f *faults) rule(p *Policy, i int) {
	at, rule := Item("rules", i), &p.Rules[i]
	for before := range i {
		if p.Rules[before].When == nil {
			f.add(at, "never reached: rules[%d] has no when and holds for every client; put it last", before)
			break
		}
	}
	if rule.When != nil {
		f.when(at+".when", rule.When)
	}
	pools := len(rule.Failover)+len(rule.Nearest) > 0
	switch rule.Answer {
	case "", AnswerNoData, AnswerRefused, AnswerNXDomain:
	default:
		f.add(at+".answer", "%q is not an answer here; write nodata, refused or nxdomain", rule.Answer)
	}
	switch {
	case rule.Answer != "" && pools:
		f.add(at+".answer", "there are pools too, which would never answer; take one of the two out")
	case len(rule.Failover) > 0 && len(rule.Nearest) > 0:
		f.add(at+".nearest", "there is failover too; a rule has one of the two, make it two rules or take one out")
	case rule.Answer == "" && !pools:
		f.add(at, "the rule names no pools; give it failover or nearest, or answer: nodata")
	}
	f.failover(at+".failover", rule.Failover)
	if len(rule.Nearest) > maxNearest {
		f.add(at+".nearest", "%d pools are more than %d; take some out", len(rule.Nearest), maxNearest)
		return
	}
	for k, pool := range rule.Nearest {
		at := Item(at+".nearest", k)
		if f.reference(at, KindPool, pool) && slices.Index(rule.Nearest, pool) < k {
			f.add(at, "%s is there twice; take one out", pool)
		}
	}
	for _, pool := range slices.Sorted(maps.Keys(rule.Bias)) {
		at, bias := at+".bias", rule.Bias[pool]
		switch {
		case len(rule.Nearest) == 0:
			f.add(at, "bias bends distances, and failover has none; use nearest or take it out")
			return
		case !slices.Contains(rule.Nearest, pool):
			f.add(at+"."+pool, "%q is not among the rule's nearest pools", pool)
		case bias < -maxBias || bias > maxBias:
			f.add(at+"."+pool, "%s is outside -%d%% to %d%%; positive makes it look nearer", bias, maxBias, maxBias)
		}
	}
}

func (f *faults) failover(at string, steps []Step) {
	first := make(map[string]string) // where a pool is named first
	for k, step := range steps {
		at, sum := Item(at, k), 0
		for _, w := range step.Pools {
			place := at
			if len(step.Pools) > 1 || w.Weight != 1 {
				place = at + "." + w.Pool
			}
			if !f.reference(place, KindPool, w.Pool) {
				continue
			}
			if before, ok := first[w.Pool]; ok {
				f.add(place, "%s is named already at %s; take one out", w.Pool, before)
			}
			first[w.Pool] = at
			if w.Weight < 0 || w.Weight > maxWeight {
				f.add(place, "%d is outside 0 to %d", w.Weight, maxWeight)
			}
			sum += w.Weight
		}
		if step.AtLeast != 0 && len(step.Pools) == 1 {
			f.add(at+"."+AtLeast, "a single pool is there or not; let its own minHealthy say how much of it is enough")
		}
		if sum == 0 && len(step.Pools) > 0 {
			f.add(at, "the weights sum to 0, so no pool of the step could be chosen; give one a weight above 0")
		}
	}
}

func (f *faults) when(at string, w *When) {
	if len(w.Continents)+len(w.Countries)+len(w.Subdivisions)+len(w.ASNs)+len(w.Prefixes) == 0 {
		f.add(at, "it names nobody and would never hold; name somebody, or take the when out to let the rule hold "+
			"for all")
	}
	listed(f, at+".continents", w.Continents, checkContinent)
	listed(f, at+".countries", w.Countries, checkCountry)
	listed(f, at+".subdivisions", w.Subdivisions, checkSubdivision)
	listed(f, at+".asns", w.ASNs, func(n uint32) error {
		if n == 0 {
			return fmt.Errorf("0 is no AS")
		}
		return nil
	})
	listed(f, at+".prefixes", w.Prefixes, nil)
}

// listed checks each item of a list, and that no item appears twice.
func listed[T comparable](f *faults, at string, list []T, check func(T) error) {
	seen := make(map[T]bool, len(list))
	for i, v := range list {
		if check != nil {
			if err := check(v); err != nil {
				f.add(Item(at, i), "%v", err)
				continue
			}
		}
		if seen[v] {
			f.add(Item(at, i), "%v is there twice; take one out", v)
		}
		seen[v] = true
	}
}
