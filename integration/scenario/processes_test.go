//go:build linux

package scenario

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"leeward/integration/lab"
	"leeward/integration/script"
)

func (x *scenario) killServer(r *lab.Region, _ script.Args) error {
	x.excuse(r.Name)
	r.Server.Process.Kill()
	return nil
}

func (x *scenario) stopServer(r *lab.Region, _ script.Args) error {
	x.lose(r.Name, time.Now())
	r.Server.Process.Signal(x.t, syscall.SIGTERM)
	return nil
}

// lose says that a server need not answer queries sent from a time on, until answering is called for it.
func (x *scenario) lose(server string, from time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.losses[server] = append(x.losses[server], lab.Window{From: from})
}

// excuse is lose, including queries that are under way.
func (x *scenario) excuse(server string) { x.lose(server, time.Now().Add(-grace)) }

func (x *scenario) startServer(r *lab.Region, _ script.Args) error {
	if err := ended(r); err != nil {
		return err
	}
	x.marks[r.Name] = 0
	r.Server.Start(x.t)
	return nil
}

// ended waits until a region's server does not run.
func ended(r *lab.Region) error {
	select {
	case <-r.Server.Process.Gone:
		return nil
	case <-time.After(20 * time.Second):
		return errors.New("it still runs")
	}
}

func (x *scenario) pauseServer(r *lab.Region, _ script.Args) error {
	x.excuse(r.Name)
	return signal(r.Server.Process, syscall.SIGSTOP)
}

func (x *scenario) resumeServer(r *lab.Region, _ script.Args) error {
	return signal(r.Server.Process, syscall.SIGCONT)
}

func signal(p *lab.Process, sig syscall.Signal) error { return p.Cmd.Process.Signal(sig) }

func (x *scenario) unreadLog(r *lab.Region, _ script.Args) error {
	r.Server.Process.Out.Unread(x.t)
	return nil
}

func (x *scenario) setClock(r *lab.Region, a script.Args) error {
	if r.Server.Clock == nil {
		return errors.New(`the setting "clocks of their own" is missing`)
	}
	return r.Server.Clock.Set(a.Duration(1))
}

func (x *scenario) hasExited(r *lab.Region, a script.Args) error {
	if r.Server.Process.Alive() {
		return errors.New("it still runs")
	}
	if got := r.Server.Process.Cmd.ProcessState.ExitCode(); got != a.Int(1) {
		return fmt.Errorf("it has ended with %d", got)
	}
	return nil
}

func (x *scenario) lives(r *lab.Region, _ script.Args) error {
	if !r.Server.Process.Alive() {
		return fmt.Errorf("it has ended with %v", r.Server.Process.Cmd.ProcessState)
	}
	return nil
}

func (x *scenario) upgrade(r *lab.Region, _ script.Args) error { return x.replace(r, lab.Binary) }

func (x *scenario) downgrade(r *lab.Region, _ script.Args) error {
	return x.replace(r, lab.BuiltFrom(x.t, x.story.plan.Version))
}

// refusing names the excuses for SERVFAIL and REFUSED of a server.
func refusing(server string) string { return server + " refusing" }

// replace stops a server, and starts another program in its place.
func (x *scenario) replace(r *lab.Region, program string) error {
	x.lose(r.Name, time.Now())
	if err := signal(r.Server.Process, syscall.SIGTERM); err != nil {
		return err
	}
	if err := ended(r); err != nil {
		return err
	}
	if code := r.Server.Process.Cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("it has ended with %d", code)
	}
	// Earlier versions answer SERVFAIL for a moment when they start. Resolvers then ask the others.
	now := time.Now()
	x.mu.Lock()
	x.losses[refusing(r.Name)] = append(x.losses[refusing(r.Name)],
		lab.Window{From: now, Until: now.Add(10 * time.Second)})
	x.mu.Unlock()
	r.Server.Argv[0] = program
	x.marks[r.Name] = 0
	r.Server.Start(x.t)
	return nil
}

func (x *scenario) killEtcd(r *lab.Region) error  { r.Etcd.Process.Kill(); return nil }
func (x *scenario) startEtcd(r *lab.Region) error { r.Etcd.Start(x.t); return nil }
func (x *scenario) pauseEtcd(r *lab.Region) error { return signal(r.Etcd.Process, syscall.SIGSTOP) }

func (x *scenario) resumeEtcd(r *lab.Region) error { return signal(r.Etcd.Process, syscall.SIGCONT) }

func (x *scenario) etcdWorks(r *lab.Region) error {
	if o := r.Etcd.Ctl(x.t, "", "--command-timeout=1s", "get", "/ready"); o.Code != 0 {
		return errors.New(strings.TrimSpace(o.Stderr))
	}
	return nil
}
