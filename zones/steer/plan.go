package steer

import (
	"slices"

	"leeward/zones"
)

// plan is a policy's schedule for one pool: shifts in the order in which they begin. An empty plan changes nothing.
type plan []shift

// shift moves a pool's level to another one, and back when it ends. Times are Unix seconds of the wall clock, so all
// servers with a right clock change in the same second.
type shift struct {
	from, until int64 // until 0: it does not end
	ramp        int64 // seconds that the move takes, after from and before until
	to          float64
}

// level returns the factor of the pool's weight and target at that time.
func (p plan) level(now int64) float64 {
	level := 1.
	for _, s := range p {
		level += float64((s.to - level) * s.reached(now))
	}
	return level
}

// reached returns how much of the shift is done, 0 to 1.
func (s *shift) reached(now int64) float64 {
	if now < s.from || s.until != 0 && now >= s.until {
		return 0
	}
	done := 1.
	if s.ramp > 0 {
		done = min(done, float64(now-s.from)/float64(s.ramp))
		if s.until != 0 {
			done = min(done, float64(s.until-now)/float64(s.ramp))
		}
	}
	return done
}

// plansOf compiles a schedule for each of these pools. It returns nil if the schedule concerns none of them.
func plansOf(schedule []zones.Schedule, names []string) []plan {
	plans, any := make([]plan, len(names)), false
	for i, name := range names {
		for _, s := range schedule {
			if to, ok := s.Weights[name]; ok {
				sh := shift{from: s.From.Unix(), ramp: int64(s.Ramp.Std().Seconds()), to: float64(to) / 100}
				if !s.Until.IsZero() {
					sh.until = s.Until.Unix()
				}
				plans[i], any = append(plans[i], sh), true
			}
		}
		slices.SortStableFunc(plans[i], func(a, b shift) int { return int(min(max(a.from-b.from, -1), 1)) })
	}
	if !any {
		return nil
	}
	return plans
}

// planOf compiles drains with a ramp. It returns nil if there are none.
func planOf(drains ...*zones.Override) (p plan) {
	for _, o := range drains {
		if o == nil || o.From == nil {
			continue
		}
		s := shift{from: o.From.Unix(), ramp: int64(o.Ramp.Std().Seconds())}
		if o.Until != nil {
			s.until = o.Until.Unix()
		}
		p = append(p, s)
	}
	return p
}

// Level returns the factor that the schedule gives a pool's weight and target at that time, in Unix seconds.
func (p *Policy) Level(pool int32, now int64) float64 {
	for i := range p.rules {
		c := &p.rules[i].crowd
		if at := slices.Index(c.pools, pool); at >= 0 {
			return c.level(at, now)
		}
	}
	return 1
}
