package control

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"leeward/server/admin"
)

// clocks compares this process's wall clock with those of the others, by the times in their heartbeats. Nothing is
// decided by it: it tells whose clock is off, as what is planned begins by each server's own. It belongs to the loop.
//
// A heartbeat takes time to come, some 100 ms through etcd and more when that is busy, so of each vantage the least
// difference of the last minute counts.
type clocks struct {
	of  map[string]*late
	own float64 // what the metric says, in seconds
	at  time.Time
}

// late is by how much heartbeats of a vantage came after they were written, the least of this half of a window and of
// the one before.
type late struct {
	since         time.Time // of this half
	least, before time.Duration
	two           bool // there is a half before
}

const (
	clockHalf   = 30 * time.Second
	clockApart  = time.Second // more than this is said
	clockFigure = time.Second // how often the metric is worked out
)

// heard takes a heartbeat that has just come.
func (c *clocks) heard(vantage string, written, now time.Time) {
	if written.IsZero() {
		return
	}
	if c.of == nil {
		c.of = map[string]*late{}
	}
	by := now.Sub(written)
	l := c.of[vantage]
	if l == nil || now.Sub(l.since) >= 2*clockHalf {
		l = &late{since: now, least: by}
		c.of[vantage] = l
	} else if now.Sub(l.since) >= clockHalf {
		*l = late{since: now, least: by, before: l.least, two: true}
	}
	l.least = min(l.least, by)
}

// ahead returns by how much each clock is ahead of this process's; own, if it has a name, is among them.
func (c *clocks) ahead(own string, now time.Time) map[string]time.Duration {
	all := map[string]time.Duration{}
	for name, l := range c.of {
		if now.Sub(l.since) >= 2*clockHalf {
			delete(c.of, name) // it is silent
			continue
		}
		least := l.least
		if l.two {
			least = min(least, l.before)
		}
		all[name] = -least
	}
	if own != "" {
		all[own] = 0
	}
	return all
}

// astray is a clock that differs from those of most.
type astray struct {
	vantage string
	ahead   time.Duration // of the clocks of most; negative: it is behind
}

// judgeClocks finds the clocks that differ by more than a second from those of most. most is how far that is ahead of
// zero. Where no more than half of them agree, nobody can tell which are right: agreed is false then, and off has all,
// against the middle one.
func judgeClocks(ahead map[string]time.Duration) (off []astray, most time.Duration, agreed bool) {
	names := slices.SortedFunc(maps.Keys(ahead), func(a, b string) int {
		if ahead[a] != ahead[b] {
			return int(min(max(ahead[a]-ahead[b], -1), 1))
		}
		return strings.Compare(a, b)
	})
	if len(names) < 2 {
		return nil, 0, true
	}
	first, size := 0, 0
	for i, k := 0, 0; i < len(names); i++ {
		for k < len(names) && ahead[names[k]]-ahead[names[i]] <= clockApart {
			k++
		}
		if k-i > size {
			first, size = i, k-i
		}
	}
	if agreed = 2*size > len(names); agreed {
		names, most = append(slices.Clone(names[:first]), names[first+size:]...), ahead[names[first+(size-1)/2]]
	} else {
		most = ahead[names[(len(names)-1)/2]]
	}
	for _, name := range names {
		off = append(off, astray{name, ahead[name] - most})
	}
	return off, most, agreed
}

// figure is by how many seconds this process's clock is ahead of those of most; 0 where nobody can tell.
func (c *clocks) figure(own string, now time.Time) float64 {
	if now.Sub(c.at) >= clockFigure || now.Before(c.at) {
		c.at, c.own = now, 0
		if _, most, agreed := judgeClocks(c.ahead(own, now)); agreed && own != "" {
			c.own = (-most).Seconds()
		}
	}
	return c.own
}

// problems tells of clocks that are off.
func (c *clocks) problems(own string, now time.Time) (all []admin.Problem) {
	off, _, agreed := judgeClocks(c.ahead(own, now))
	if len(off) == 0 {
		return nil
	}
	slices.SortFunc(off, func(a, b astray) int { return strings.Compare(a.vantage, b.vantage) })
	say := func(vantage, text string) {
		all = append(all, admin.Problem{Resource: "vantages/" + vantage, Field: "time", InService: admin.InServiceNewest, Message: text})
	}
	if agreed {
		for _, a := range off {
			word, effect := "ahead of", "begins and ends early there"
			if a.ahead < 0 {
				word, effect = "behind", "begins and ends late there"
			}
			say(a.vantage, fmt.Sprintf("its clock is %s %s the others': what is planned %s; run an NTP client",
				admin.Age(a.ahead.Abs().Seconds()), word, effect))
		}
		return all
	}
	var differ []string
	for _, a := range off {
		differ = append(differ, fmt.Sprintf("%s %+.1fs", a.vantage, a.ahead.Seconds()))
	}
	say(off[0].vantage, "clocks differ, and no more than half agree: "+strings.Join(differ, ", ")+
		". What is planned begins at each server's own time; run an NTP client")
	return all
}
