//go:build linux

package scenario

import (
	"fmt"
	"syscall"
	"time"

	"leeward/integration/lab"
)

// refusing is what excuses SERVFAIL and REFUSED of a server are noted under.
func refusing(server string) string { return server + " refusing" }

// versionWords are about servers of other versions.
func versionWords() []word {
	become := func(program func(x *scenario) string) func(*scenario, []string) error {
		return func(x *scenario, a []string) error {
			all, err := x.regionsOf(a[0])
			for _, r := range all {
				path := program(x)
				x.mu.Lock()
				x.losses[r.Name] = append(x.losses[r.Name], lab.Window{From: time.Now()})
				x.mu.Unlock()
				if err := x.signal(r.Server.Process, syscall.SIGTERM); err != nil {
					return err
				}
				select {
				case <-r.Server.Process.Gone:
				case <-time.After(20 * time.Second):
					return fmt.Errorf("server %s still runs", r.Name)
				}
				if code := r.Server.Process.Cmd.ProcessState.ExitCode(); code != 0 {
					return fmt.Errorf("server %s has ended with %d", r.Name, code)
				}
				// Earlier versions say SERVFAIL for a moment when they start. Resolvers ask the others then.
				x.mu.Lock()
				x.losses[refusing(r.Name)] = append(x.losses[refusing(r.Name)], lab.Window{From: time.Now(), Until: time.Now().Add(10 * time.Second)})
				x.mu.Unlock()
				r.Server.Argv[0] = path
				x.marks[r.Name] = 0
				r.Server.Start(x.t)
			}
			return err
		}
	}
	return []word{
		{pattern: "server R is upgraded", means: "it is told to end (SIGTERM), has to with 0, and starts as what is tested; queries to it need not be answered until `R answers`, and SERVFAIL is excused for 10 s: what asks through a resolver must not notice", do: become(func(*scenario) string { return lab.Binary })},
		{pattern: "server R is downgraded", means: "the same, back to the version of the setting `servers are of`", do: become(func(x *scenario) string { return lab.BuiltFrom(x.t, x.story.plan.Version) })},
	}
}
