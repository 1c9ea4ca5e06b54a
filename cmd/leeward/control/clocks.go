package control

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"leeward/server/admin"
)

// clocks compares this process's wall clock with those of the other vantages, by the times in their heartbeats. It only
// informs: each server begins what is planned by its own clock, so people should know whose clock is wrong. It belongs
// to the loop.
//
// A heartbeat arrives late, by some 100 ms through etcd and more if etcd is busy. So the least difference of the last
// minute counts.
type clocks struct {
	of  map[string]*late
	own float64 // value of the metric, in seconds
	at  time.Time
}

// late is how late a vantage's heartbeats have arrived: the least delay in this half of the window, and in the half
// before.
type late struct {
	since         time.Time // when this half began
	least, before time.Duration
	two           bool // there was a half before
}

const (
	clockHalf   = 30 * time.Second
	clockApart  = time.Second // a larger difference is a problem
	clockFigure = time.Second // how often the metric is updated
)

// heard notes a heartbeat that has just arrived.
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

// ahead returns by how much each clock is ahead of this process's clock. It includes own, unless that is "".
func (c *clocks) ahead(own string, now time.Time) map[string]time.Duration {
	all := map[string]time.Duration{}
	for name, l := range c.of {
		if now.Sub(l.since) >= 2*clockHalf {
			delete(c.of, name) // it has gone silent
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

// astray is a clock that differs from most others.
type astray struct {
	vantage string
	ahead   time.Duration // of most clocks; negative: it is behind
}

// judgeClocks finds the clocks that differ by more than a second from most others. most is how far most clocks are
// ahead of zero. If no more than half of them agree, nobody can tell which are right: agreed is then false, and off has
// all clocks, compared with the median.
func judgeClocks(ahead map[string]time.Duration) (off []astray, most time.Duration, agreed bool) {
	names := slices.SortedFunc(maps.Keys(ahead), func(a, b string) int {
		if ahead[a] != ahead[b] {
			return int(min(max(ahead[a]-ahead[b], -1), 1))
		}
		return strings.Compare(a, b)
	})
	if len(names) == 0 {
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

// others returns by how much most other vantages' clocks are ahead of this process's, and how many agree on that. It
// returns 0 of them if none has been heard lately, or if no more than half agree.
func (c *clocks) others(now time.Time) (ahead time.Duration, vantages int) {
	all := c.ahead("", now)
	off, ahead, agreed := judgeClocks(all)
	if !agreed {
		return 0, 0
	}
	return ahead, len(all) - len(off)
}

// figure returns by how many seconds this process's clock is ahead of most others. It is 0 if nobody can tell.
func (c *clocks) figure(own string, now time.Time) float64 {
	if now.Sub(c.at) >= clockFigure || now.Before(c.at) {
		c.at, c.own = now, 0
		if _, most, agreed := judgeClocks(c.ahead(own, now)); agreed && own != "" {
			c.own = (-most).Seconds()
		}
	}
	return c.own
}

// problems returns a problem for each clock that is wrong.
func (c *clocks) problems(own string, now time.Time) (all []admin.Problem) {
	off, _, agreed := judgeClocks(c.ahead(own, now))
	if len(off) == 0 {
		return nil
	}
	slices.SortFunc(off, func(a, b astray) int { return strings.Compare(a.vantage, b.vantage) })
	say := func(vantage, text string) {
		all = append(all, admin.Problem{
			Resource: "vantages/" + vantage, Field: "time", InService: admin.InServiceNewest, Message: text,
		})
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
