//go:build linux

package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"leeward/integration/lab"
	"leeward/integration/script"
)

func (x *scenario) putNote(a script.Args) error {
	return x.put("records/example.test/note/TXT", fmt.Sprintf(`{"data":["\"%s\""]}`, a.Text(0)))
}

func (x *scenario) putKey(a script.Args) error { return x.put(a.Text(0), a.Text(1)) }

func (x *scenario) put(key, value string) error { return x.ctl(value, "put", "/leeward/"+key) }

func (x *scenario) deleteEverything(script.Args) error {
	return x.ctl("", "del", "--prefix", "/leeward/")
}

func (x *scenario) etcdctl(a script.Args) error { return x.ctl("", strings.Fields(a.Text(0))...) }

// argv is a verb of leeward, with --etcd for all members.
func (x *scenario) argv(line string) []string {
	args := strings.Fields(line)
	return slices.Concat([]string{lab.Binary}, args[:1], []string{"--etcd", strings.Join(x.w.URLs, ",")}, args[1:])
}

// run runs a verb of leeward, which must succeed.
func (x *scenario) run(stdin, line string) error {
	argv, err := x.withKept(x.argv(line))
	if err != nil {
		return err
	}
	if o := lab.Command(x.t, x.w.Regions[0].Host, stdin, argv...); o.Code != 0 {
		return fmt.Errorf("%v", o)
	}
	return nil
}

func (x *scenario) runLeeward(a script.Args) error { return x.run("", a.Text(0)) }

func (x *scenario) applyAgain(script.Args) error { return x.run(x.w.Resources(), "apply -f -") }

func (x *scenario) beginLeeward(a script.Args) error {
	verb, _, _ := strings.Cut(a.Text(0), " ")
	x.operator = lab.Start(x.t, x.w.Client, "leeward "+verb, x.argv(a.Text(0))...)
	return nil
}

func (x *scenario) operatorSays(a script.Args) error {
	if x.operator == nil || !strings.Contains(x.operator.Out.String(), a.Text(0)) {
		return fmt.Errorf("there is no %q in what it has printed", a.Text(0))
	}
	return nil
}

func (x *scenario) killOperator(script.Args) error {
	x.operator.Kill()
	return nil
}

func (x *scenario) backUp(script.Args) error {
	return x.ctl("", "snapshot", "save", filepath.Join(x.w.Dir, "backup"))
}

func (x *scenario) wipe(script.Args) error {
	return x.renew(func(*lab.Region) error { return nil })
}

func (x *scenario) restore(script.Args) error {
	return x.renew(func(r *lab.Region) error {
		argv := []string{"etcdctl", "snapshot", "restore", filepath.Join(x.w.Dir, "backup")}
		for _, flag := range []string{
			"--name", "--data-dir", "--initial-cluster", "--initial-cluster-token",
			"--initial-advertise-peer-urls",
		} {
			argv = append(argv, flag, r.Etcd.Argv[slices.Index(r.Etcd.Argv, flag)+1])
		}
		if o := lab.Command(x.t, nil, "", argv...); o.Code != 0 {
			return fmt.Errorf("%v", o)
		}
		return nil
	})
}

func (x *scenario) compact(script.Args) error {
	o, err := x.ctlOut("", "get", "/none", "-w", "json")
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(o, `"revision":`)
	return x.ctl("", "compact", after[:strings.IndexAny(after, ",}")])
}

func (x *scenario) fillEtcd(script.Args) error { return x.w.Leader(x.t).NoSpace(true) }
func (x *scenario) freeEtcd(script.Args) error { return x.w.Leader(x.t).NoSpace(false) }

// ctlOut runs etcdctl with all members: any one that works answers.
func (x *scenario) ctlOut(stdin string, args ...string) (string, error) {
	for range 3 {
		for _, r := range x.w.Regions {
			if !r.Etcd.Process.Alive() {
				continue
			}
			o := r.Etcd.Ctl(x.t, stdin, append([]string{"--command-timeout=3s"}, args...)...)
			if o.Code == 0 {
				return o.Stdout, nil
			}
			if !strings.Contains(o.Stderr, "deadline") && !strings.Contains(o.Stderr, "unavailable") &&
				!strings.Contains(o.Stderr, "leader") && !strings.Contains(o.Stderr, "timed out") {
				return "", fmt.Errorf("etcdctl %s: %s", strings.Join(args, " "), o.Stderr)
			}
		}
	}
	return "", fmt.Errorf("etcdctl %s: no member did it", strings.Join(args, " "))
}

func (x *scenario) ctl(stdin string, args ...string) error {
	_, err := x.ctlOut(stdin, args...)
	return err
}

// renew kills all members, removes their files, and starts them with what fill puts there.
func (x *scenario) renew(fill func(*lab.Region) error) error {
	for _, r := range x.w.Regions {
		r.Etcd.Process.Kill()
	}
	for _, r := range x.w.Regions {
		if err := os.RemoveAll(r.Etcd.Argv[slices.Index(r.Etcd.Argv, "--data-dir")+1]); err != nil {
			return err
		}
		i := slices.Index(r.Etcd.Argv, "--initial-cluster-token")
		r.Etcd.Argv = slices.Clone(r.Etcd.Argv)
		r.Etcd.Argv[i+1] += "-again"
		if err := fill(r); err != nil {
			return err
		}
	}
	for _, r := range x.w.Regions {
		r.Etcd.Start(x.t)
	}
	for _, r := range x.w.Regions {
		r.Etcd.Wait(x.t)
	}
	return nil
}
