//go:build linux

package scenario

import (
	"fmt"
	"strings"
	"syscall"
	"time"
)

// capacityHappenings are what can happen in a world.
func capacityHappenings() []capacityWord {
	regions := func(f func(l *closedLoop, r int, args []string) error) func(*closedLoop, []string) error {
		return func(l *closedLoop, args []string) error {
			if err := l.plan.known(args[0]); err != nil {
				return err
			}
			for _, name := range l.plan.names(args[0]) {
				for r, region := range l.regions {
					if region.Name != name {
						continue
					}
					if err := f(l, r, args[1:]); err != nil {
						return err
					}
				}
			}
			return nil
		}
	}
	share := func(args []string) (v float64, within time.Duration, err error) {
		if v, err = percent(args[0]); err != nil {
			return 0, 0, err
		}
		within, err = time.ParseDuration(args[1])
		return v, within, err
	}
	return []capacityWord{
		{
			word: word{pattern: "clients of R ask P within D", means: "of what they asked at first, evenly going there"},
			do: regions(func(l *closedLoop, r int, args []string) error {
				v, within, err := share(args)
				if err != nil {
					return err
				}
				now := time.Since(l.began)
				l.demand[r] = l.demand[r].towards(v*l.plan.demand[l.regions[r].Name], now, within)
				l.meter.changes(now, within)
				return nil
			}),
		},
		{
			word: word{pattern: "region R dies", means: "its endpoints take connections and say nothing; its server goes on"},
			do: regions(func(l *closedLoop, r int, _ []string) error {
				l.meter.changes(time.Since(l.began), 0)
				return l.each(r, (*balancer).die)
			}),
		},
		{
			word: word{pattern: "region R returns", means: "its endpoints start, cold"},
			do: regions(func(l *closedLoop, r int, _ []string) error {
				now := time.Since(l.began)
				l.meter.changes(now, l.plan.warming)
				return l.each(r, func(b *balancer) error { return b.start(now) })
			}),
		},
		{
			word: word{pattern: "endpoints of R leak to P within D", means: "of what they can hold only that is left; one that starts again has all"},
			do: regions(func(l *closedLoop, r int, args []string) error {
				v, within, err := share(args)
				if err != nil {
					return err
				}
				now := time.Since(l.began)
				l.meter.changes(now, within)
				return l.each(r, func(b *balancer) error {
					b.leak = b.leak.towards(v, now, within)
					return nil
				})
			}),
		},
		{
			word: word{pattern: "server R dies", means: "SIGKILL"},
			do: regions(func(l *closedLoop, r int, _ []string) error {
				l.regions[r].Server.Process.Kill()
				return nil
			}),
		},
		{
			word: word{pattern: "server R starts", means: "again, with the copy that it kept"},
			do: regions(func(l *closedLoop, r int, _ []string) error {
				l.regions[r].Server.Start(l.t)
				return nil
			}),
		},
		{
			word: word{pattern: "etcd stands still", means: "SIGSTOP"},
			do:   func(l *closedLoop, _ []string) error { return l.etcd.Process.Cmd.Process.Signal(syscall.SIGSTOP) },
		},
		{
			word: word{pattern: "etcd goes on", means: "SIGCONT"},
			do:   func(l *closedLoop, _ []string) error { return l.etcd.Process.Cmd.Process.Signal(syscall.SIGCONT) },
		},
	}
}

// check finds out while the file is read whether what is to happen can.
func (o occurrence) check(p *capacityPlan) error {
	for i, field := range strings.Fields(o.word.pattern) {
		if field != "R" {
			continue
		}
		return p.known(strings.Fields(o.text)[i])
	}
	return nil
}

func (l *closedLoop) each(region int, f func(*balancer) error) error {
	for _, b := range l.balancers {
		if b.region == region {
			if err := f(b); err != nil {
				return fmt.Errorf("endpoint %s: %w", b.name, err)
			}
		}
	}
	return nil
}
