//go:build linux

package capacity

import (
	"fmt"
	"syscall"
	"time"

	"leeward/integration/script"
)

// commands are the events of a world.
var commands = []script.Command[*closedLoop]{
	{Line: "clients of R ask P within D", Do: inEach((*closedLoop).change)},
	{Line: "region R dies", Do: inEach((*closedLoop).die)},
	{Line: "region R returns", Do: inEach((*closedLoop).come)},
	{Line: "endpoints of R leak to P within D", Do: inEach((*closedLoop).leak)},
	{Line: "server R dies", Do: inEach((*closedLoop).killServer)},
	{Line: "server R starts", Do: inEach((*closedLoop).startServer)},
	{Line: "etcd stands still", Do: (*closedLoop).stopEtcd},
	{Line: "etcd goes on", Do: (*closedLoop).resumeEtcd},
}

// inEach does something in each region that a line's R names.
func inEach(do func(l *closedLoop, region int, a script.Args) error) func(*closedLoop, script.Args) error {
	return func(l *closedLoop, a script.Args) error {
		for _, name := range names(a.Text(0)) {
			for r, region := range l.regions {
				if region.Name != name {
					continue
				}
				if err := do(l, r, a); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// change lets clients ask for another share of what they asked for at first.
func (l *closedLoop) change(r int, a script.Args) error {
	now := time.Since(l.began)
	l.demand[r] = l.demand[r].towards(a.Share(1)*l.plan.demand[l.regions[r].Name], now, a.Duration(2))
	l.meter.changes(now, a.Duration(2))
	return nil
}

func (l *closedLoop) die(r int, _ script.Args) error {
	l.meter.changes(time.Since(l.began), 0)
	return l.each(r, (*balancer).die)
}

func (l *closedLoop) come(r int, _ script.Args) error {
	now := time.Since(l.began)
	l.meter.changes(now, l.plan.warming)
	return l.each(r, func(b *balancer) error { return b.start(now) })
}

// leak takes capacity from endpoints. One that starts again has all of it.
func (l *closedLoop) leak(r int, a script.Args) error {
	now := time.Since(l.began)
	l.meter.changes(now, a.Duration(2))
	return l.each(r, func(b *balancer) error {
		b.leak = b.leak.towards(a.Share(1), now, a.Duration(2))
		return nil
	})
}

func (l *closedLoop) killServer(r int, _ script.Args) error {
	l.regions[r].Server.Process.Kill()
	return nil
}

func (l *closedLoop) startServer(r int, _ script.Args) error {
	l.regions[r].Server.Start(l.t)
	return nil
}

func (l *closedLoop) stopEtcd(script.Args) error {
	return l.etcd.Process.Cmd.Process.Signal(syscall.SIGSTOP)
}

func (l *closedLoop) resumeEtcd(script.Args) error {
	return l.etcd.Process.Cmd.Process.Signal(syscall.SIGCONT)
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
