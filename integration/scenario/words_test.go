//go:build linux

package scenario

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// word is something that a scenario can say: a pattern whose words in capitals stand for what is meant, and what it
// does or checks. To add one, add it here and run TestScenarioWords.
type word struct {
	pattern string
	means   string
	quiet   bool // it changes nothing for clients: promises are not made yet
	do      func(x *scenario, args []string) error
	check   func(x *scenario, args []string) error
	promise func(x *scenario, limit time.Duration, args []string) error // what a check promises to clients from its block on
}

var words = slices.Concat(badWords(), processWords(), linkWords(), endpointWords(), etcdWords(), spaceWords(), slowDiskWords(), answerWords(), statusWords(), diskWords(), scarcityWords(), versionWords(), massWords())

// processWords are about the servers and members of etcd as processes.
func processWords() []word {
	server := func(f func(x *scenario, r *lab.Region) error) func(*scenario, []string) error {
		return func(x *scenario, args []string) error {
			all, err := x.regionsOf(args[0])
			if err != nil {
				return err
			}
			for _, r := range all {
				if err := f(x, r); err != nil {
					return err
				}
			}
			return nil
		}
	}
	etcd := func(f func(x *scenario, r *lab.Region) error) func(*scenario, []string) error {
		return func(x *scenario, args []string) error {
			all, err := x.members(args[0])
			if err != nil {
				return err
			}
			for _, r := range all {
				if err := f(x, r); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return []word{
		{pattern: "kill server R", means: "the servers of these regions die at once (SIGKILL). R is a region, several as `eu,us`, or `all`; queries to them need not be answered until `R answers`", do: server(func(x *scenario, r *lab.Region) error {
			x.excuse(r.Name)
			r.Server.Process.Kill()
			return nil
		})},
		{pattern: "stop server R", means: "the servers are told to end (SIGTERM); queries sent from now on need not be answered, those before must be", do: server(func(x *scenario, r *lab.Region) error {
			x.mu.Lock()
			x.losses[r.Name] = append(x.losses[r.Name], lab.Window{From: time.Now()})
			x.mu.Unlock()
			r.Server.Process.Signal(x.t, syscall.SIGTERM)
			return nil
		})},
		{pattern: "start server R", means: "the servers start again, as they were started first", do: server(func(x *scenario, r *lab.Region) error {
			select {
			case <-r.Server.Process.Gone:
			case <-time.After(20 * time.Second):
				return fmt.Errorf("server %s still runs", r.Name)
			}
			x.marks[r.Name] = 0
			r.Server.Start(x.t)
			return nil
		})},
		{pattern: "pause server R", means: "the servers are stopped (SIGSTOP); queries to them need not be answered until `R answers`", do: server(func(x *scenario, r *lab.Region) error {
			x.excuse(r.Name)
			return x.signal(r.Server.Process, syscall.SIGSTOP)
		})},
		{pattern: "resume server R", means: "and go on (SIGCONT)", do: server(func(x *scenario, r *lab.Region) error { return x.signal(r.Server.Process, syscall.SIGCONT) })},
		{pattern: "nobody reads the log of server R", means: "the pipe that is the servers' stderr fills, and whoever writes to it waits; until they are started again", do: server(func(x *scenario, r *lab.Region) error {
			r.Server.Process.Out.Unread(x.t)
			return nil
		})},
		{pattern: "clock of server R is D", means: "the servers' wall clocks are set: this far from the machine's, as `+1h`, `-1h`, `0s`. The setting `clocks of their own` makes it possible", do: func(x *scenario, args []string) error {
			all, err := x.regionsOf(args[0])
			if err != nil {
				return err
			}
			off, err := time.ParseDuration(args[1])
			if err != nil {
				return err
			}
			for _, r := range all {
				if r.Server.Clock == nil {
					return fmt.Errorf("the setting \"clocks of their own\" is missing")
				}
				if err := r.Server.Clock.Set(off); err != nil {
					return err
				}
			}
			return nil
		}},
		{pattern: "server R exits with N", means: "the servers have ended by themselves with this exit status", check: func(x *scenario, args []string) error {
			return server(func(x *scenario, r *lab.Region) error {
				if r.Server.Process.Alive() {
					return fmt.Errorf("server %s still runs", r.Name)
				}
				if got := strconv.Itoa(r.Server.Process.Cmd.ProcessState.ExitCode()); got != args[1] {
					return fmt.Errorf("server %s has ended with %s", r.Name, got)
				}
				return nil
			})(x, args)
		}},
		{pattern: "kill etcd R", means: "members of etcd die at once. R is also `leader`, `follower` (one of them), `followers`, `watched-by-eu` (the one that this server follows), or `same` (as in the step before)", do: etcd(func(x *scenario, r *lab.Region) error { r.Etcd.Process.Kill(); return nil })},
		{pattern: "start etcd R", means: "and start again with what they had on disk", do: etcd(func(x *scenario, r *lab.Region) error { r.Etcd.Start(x.t); return nil })},
		{pattern: "pause etcd R", means: "members stand still (SIGSTOP): connections to them stay and nothing comes", do: etcd(func(x *scenario, r *lab.Region) error { return x.signal(r.Etcd.Process, syscall.SIGSTOP) })},
		{pattern: "resume etcd R", means: "and go on (SIGCONT)", do: etcd(func(x *scenario, r *lab.Region) error { return x.signal(r.Etcd.Process, syscall.SIGCONT) })},
		{pattern: "etcd of R works", means: "a linearizable read through these members works", check: func(x *scenario, args []string) error {
			return etcd(func(x *scenario, r *lab.Region) error {
				if o := r.Etcd.Ctl(x.t, "", "--command-timeout=1s", "get", "/ready"); o.Code != 0 {
					return fmt.Errorf("etcd %s: %s", r.Name, strings.TrimSpace(o.Stderr))
				}
				return nil
			})(x, args)
		}},
	}
}

// excuse says that queries to a region's server need not be answered: those under way included.
func (x *scenario) excuse(server string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.losses[server] = append(x.losses[server], lab.Window{From: time.Now().Add(-grace)})
}

func (x *scenario) signal(p *lab.Process, sig syscall.Signal) error { return p.Cmd.Process.Signal(sig) }

// members reads which members of etcd are meant.
func (x *scenario) members(text string) ([]*lab.Region, error) {
	var all []*lab.Region
	switch text {
	case "same":
		all, _ = x.kept["members"].([]*lab.Region)
		if all == nil {
			return nil, fmt.Errorf("no step before has named a member")
		}
		return all, nil
	case "leader", "follower", "followers":
		for _, r := range x.w.Regions {
			if r.Etcd.Process.Alive() && r.Etcd.Leads(x.t) == (text == "leader") {
				all = append(all, r)
			}
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("there is no %s", text)
		}
		if text == "follower" {
			all = all[:1]
		}
	default:
		var err error
		if name, ok := strings.CutPrefix(text, "watched-by-"); ok {
			text, err = x.watched(name)
		}
		if err == nil {
			all, err = x.regionsOf(text)
		}
		if err != nil {
			return nil, err
		}
	}
	x.mu.Lock()
	x.kept["members"] = all
	x.mu.Unlock()
	return all, nil
}

// watched returns the region whose member of etcd a server follows, by its log.
func (x *scenario) watched(name string) (string, error) {
	of, err := x.regionsOf(name)
	if err != nil {
		return "", err
	}
	log := of[0].Server.Process.Out.String()
	i := strings.LastIndex(log, `"etcd: following" member=`)
	for j, url := range x.w.URLs {
		if i >= 0 && strings.HasPrefix(log[i+len(`"etcd: following" member=`):], url+" ") {
			return x.w.Regions[j].Name, nil
		}
	}
	return "", fmt.Errorf("server %s follows no member that its log names", name)
}

// linkWords are about what lies between the regions.
func linkWords() []word {
	change := func(x *scenario, from, to string, both bool, f func(*lab.Weather)) error {
		hosts := func(text string) ([]string, error) {
			if text == "client" {
				return []string{"client"}, nil
			}
			all, err := x.regionsOf(text)
			var names []string
			for _, r := range all {
				names = append(names, r.Name)
			}
			return names, err
		}
		as, err := hosts(from)
		if err != nil {
			return err
		}
		bs, err := hosts(to)
		if err != nil {
			return err
		}
		for _, a := range as {
			for _, b := range bs {
				if a == b {
					continue
				}
				x.w.Yard.Forwarder.Set(a, b, f)
				if both {
					x.w.Yard.Forwarder.Set(b, a, f)
				}
			}
		}
		return nil
	}
	parse := func(f func(a []string) (func(*lab.Weather), error), both bool) func(*scenario, []string) error {
		return func(x *scenario, a []string) error {
			w, err := f(a)
			if err != nil {
				return err
			}
			return change(x, a[0], a[1], both, w)
		}
	}
	cut := func(is bool) func([]string) (func(*lab.Weather), error) {
		return func([]string) (func(*lab.Weather), error) { return func(w *lab.Weather) { w.Cut = is }, nil }
	}
	bad := func(a []string) (func(*lab.Weather), error) {
		loss, err := strconv.ParseFloat(strings.TrimSuffix(a[2], "%"), 64)
		if err != nil {
			return nil, err
		}
		delay, err := time.ParseDuration(a[3])
		return func(w *lab.Weather) { w.Loss, w.Delay = loss/100, delay }, err
	}
	return []word{
		{pattern: "isolate R", means: "nothing passes between the region and anything else, clients included; queries to its server need not be answered until `R answers`", do: func(x *scenario, a []string) error {
			all, err := x.regionsOf(a[0])
			for _, r := range all {
				x.excuse(r.Name)
				x.w.Yard.Cut(x.t, r.Host)
			}
			return err
		}},
		{pattern: "rejoin R", means: "undoes isolate", do: func(x *scenario, a []string) error {
			all, err := x.regionsOf(a[0])
			for _, r := range all {
				x.w.Yard.Heal(x.t, r.Host)
			}
			return err
		}},
		{pattern: "cut R and R", means: "nothing passes between these regions, either way; clients outside reach both", do: parse(cut(true), true)},
		{pattern: "cut R to R", means: "nothing passes from the first to the second; the other way it does", do: parse(cut(true), false)},
		{pattern: "join R and R", means: "undoes cuts between them", do: parse(cut(false), true)},
		{pattern: "cut R from etcd", means: "the region reaches no member of etcd elsewhere; everything else passes", do: func(x *scenario, a []string) error {
			return change(x, a[0], "all", true, func(w *lab.Weather) { w.Port = 2379 })
		}},
		{pattern: "join R to etcd", means: "undoes that", do: func(x *scenario, a []string) error {
			return change(x, a[0], "all", true, func(w *lab.Weather) { w.Port = 0 })
		}},
		{pattern: "probes from R are lost", means: "what the region's server sends to endpoints elsewhere does not arrive; everything else passes, others' probes of its endpoints too", do: func(x *scenario, a []string) error {
			return change(x, a[0], "all", false, func(w *lab.Weather) { w.To = 80 })
		}},
		{pattern: "IPv6 probes from R are lost", means: "the same of IPv6 alone", do: func(x *scenario, a []string) error {
			return change(x, a[0], "all", false, func(w *lab.Weather) { w.To, w.Six = 80, true })
		}},
		{pattern: "probes from R arrive", means: "again", do: func(x *scenario, a []string) error {
			return change(x, a[0], "all", false, func(w *lab.Weather) { w.To, w.Six = 0, false })
		}},
		{pattern: "between R and R lose N% delay D", means: "of the packets between them, either way, this share is lost and the others come that much later", do: parse(bad, true)},
	}
}

// endpointWords are about the load balancers that are probed.
func endpointWords() []word {
	each := func(f func(e *lab.Endpoint, a []string) error) func(*scenario, []string) error {
		return func(x *scenario, a []string) error {
			for part := range strings.SplitSeq(a[0], ",") {
				name, number, one := strings.Cut(part, "/")
				all, err := x.regionsOf(name)
				if err != nil {
					return err
				}
				for _, r := range all {
					for i, e := range r.Endpoints {
						if one && number != strconv.Itoa(i+1) {
							continue
						}
						if err := f(e, a); err != nil {
							return err
						}
					}
				}
			}
			return nil
		}
	}
	turn := func(to lab.Mood) func(*scenario, []string) error {
		return each(func(e *lab.Endpoint, _ []string) error { return e.Turn(to, lab.Pace{}) })
	}
	return []word{
		{pattern: "endpoints E fail", means: "they answer probes with 503. E is a region, all its endpoints, or one of them as `eu/1`; several as `eu,us/1`; `all`", do: turn(lab.Failing)},
		{pattern: "endpoints E hang", means: "they take connections and say nothing", do: turn(lab.Hanging)},
		{pattern: "endpoints E are gone", means: "nothing listens there", do: turn(lab.Gone)},
		{pattern: "endpoints E are well", means: "they answer as they should", do: turn(lab.Well)},
		{pattern: "endpoints E answer after D", means: "as they should, but slowly", do: each(func(e *lab.Endpoint, a []string) error {
			d, err := time.ParseDuration(a[1])
			if err != nil {
				return err
			}
			return e.Turn(lab.Well, lab.Pace{Least: d, Most: d})
		})},
		{pattern: "endpoints E answer after D to D", means: "as they should, each time after another time between these", do: each(func(e *lab.Endpoint, a []string) error {
			least, err := time.ParseDuration(a[1])
			if err != nil {
				return err
			}
			most, err := time.ParseDuration(a[2])
			if err != nil {
				return err
			}
			return e.Turn(lab.Well, lab.Pace{Least: least, Most: most})
		})},
		{pattern: "endpoints E flap every D", means: "well and failing by turns", do: each(func(e *lab.Endpoint, a []string) error {
			d, err := time.ParseDuration(a[1])
			if err == nil {
				e.Flap(d)
			}
			return err
		})},
	}
}

// etcdWords are about what is in etcd.
func etcdWords() []word {
	return []word{
		{pattern: "note …", means: "the TXT record note.example.test is put in etcd", quiet: true, do: func(x *scenario, a []string) error {
			return x.put("records/example.test/note/TXT", fmt.Sprintf(`{"data":["\"%s\""]}`, a[0]))
		}},
		{pattern: "put KEY …", means: "a value below the prefix, as etcdctl put does", do: func(x *scenario, a []string) error { return x.put(a[0], a[1]) }},
		{pattern: "delete everything in etcd", means: "all keys below the prefix, as etcdctl del --prefix does", do: func(x *scenario, _ []string) error {
			return x.ctl("", "del", "--prefix", "/leeward/")
		}},
		{pattern: "etcdctl …", means: "with any member that works", do: func(x *scenario, a []string) error { return x.ctl("", strings.Fields(a[0])...) }},
		{pattern: "run leeward …", means: "the command, with --etcd and all members; it must succeed", do: func(x *scenario, a []string) error {
			args := strings.Fields(a[0])
			o := lab.Command(x.t, x.w.Regions[0].Host, "", slices.Concat([]string{lab.Binary}, args[:1], []string{"--etcd", strings.Join(x.w.URLs, ",")}, args[1:])...)
			if o.Code != 0 {
				return fmt.Errorf("%v", o)
			}
			return nil
		}},
		{pattern: "begin leeward …", means: "the command, with --etcd and all members, which stays beside the story; where an operator is", do: func(x *scenario, a []string) error {
			args := strings.Fields(a[0])
			x.operator = lab.Start(x.t, x.w.Client, "leeward "+args[0],
				slices.Concat([]string{lab.Binary}, args[:1], []string{"--etcd", strings.Join(x.w.URLs, ",")}, args[1:])...)
			return nil
		}},
		{pattern: "the operator says …", means: "what has been begun has printed it", check: func(x *scenario, a []string) error {
			if x.operator == nil || !strings.Contains(x.operator.Out.String(), a[0]) {
				return fmt.Errorf("there is no %q in what it has printed", a[0])
			}
			return nil
		}},
		{pattern: "the operator is gone", means: "kill -9 of what has been begun", do: func(x *scenario, _ []string) error {
			x.operator.Kill()
			return nil
		}},
		{pattern: "apply the resources again", means: "leeward apply with what was there at the start", do: func(x *scenario, a []string) error {
			o := lab.Command(x.t, x.w.Regions[0].Host, x.w.Resources(), lab.Binary, "apply", "--etcd", strings.Join(x.w.URLs, ","), "-f", "-")
			if o.Code != 0 {
				return fmt.Errorf("%v", o)
			}
			return nil
		}},
		{pattern: "back up etcd", means: "etcdctl snapshot save", quiet: true, do: func(x *scenario, _ []string) error {
			return x.ctl("", "snapshot", "save", filepath.Join(x.w.Dir, "backup"))
		}},
		{pattern: "wipe etcd", means: "all members die, and start with nothing: a new cluster", do: func(x *scenario, _ []string) error {
			return x.renew(func(r *lab.Region) error { return nil })
		}},
		{pattern: "restore etcd", means: "all members die, and start from the backup: an older state, in a new cluster", do: func(x *scenario, _ []string) error {
			return x.renew(func(r *lab.Region) error {
				get := func(flag string) string { return r.Etcd.Argv[slices.Index(r.Etcd.Argv, flag)+1] }
				o := lab.Command(x.t, nil, "", "etcdctl", "snapshot", "restore", filepath.Join(x.w.Dir, "backup"), "--name", get("--name"),
					"--data-dir", get("--data-dir"), "--initial-cluster", get("--initial-cluster"), "--initial-cluster-token", get("--initial-cluster-token"),
					"--initial-advertise-peer-urls", get("--initial-advertise-peer-urls"))
				if o.Code != 0 {
					return fmt.Errorf("%v", o)
				}
				return nil
			})
		}},
		{pattern: "compact etcd", means: "everything before its revision of now", quiet: true, do: func(x *scenario, _ []string) error {
			o, err := x.ctlOut("", "get", "/none", "-w", "json")
			if err != nil {
				return err
			}
			_, after, _ := strings.Cut(o, `"revision":`)
			return x.ctl("", "compact", after[:strings.IndexAny(after, ",}")])
		}},
	}
}

// ctlOut runs etcdctl against all members: one that works answers.
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
			if !strings.Contains(o.Stderr, "deadline") && !strings.Contains(o.Stderr, "unavailable") && !strings.Contains(o.Stderr, "leader") && !strings.Contains(o.Stderr, "timed out") {
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

func (x *scenario) put(key, value string) error { return x.ctl(value, "put", "/leeward/"+key) }

// renew kills all members, takes away what they have on disk, and starts them from what fill puts there.
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

// answerWords are about what clients get.
func answerWords() []word {
	get := func(x *scenario, from, clients, text string) (servers, of []*lab.Region, wanted want, err error) {
		if wanted, err = parseWant(x.w, text); err != nil {
			return nil, nil, wanted, err
		}
		if servers, err = x.regionsOf(from); err != nil {
			return nil, nil, wanted, err
		}
		of, err = x.regionsOf(clients)
		return servers, of, wanted, err
	}
	// "eu or us from all" is one text for the pattern: it is split here.
	split := func(a []string) (clients, wanted, from string) {
		wanted, from, _ = strings.Cut(a[1], " from ")
		return a[0], strings.TrimSpace(wanted), cmp.Or(strings.TrimSpace(from), "all")
	}
	return []word{
		{
			pattern: "clients of R get …", means: "from here on they get the endpoints of a region, `eu`, one of them, `eu/1`, or one of several, `eu or us`; from all servers unless ` from R` follows. Until the bound what they got before is right too; once a server has turned, it must not go back",
			promise: func(x *scenario, limit time.Duration, a []string) error {
				clients, text, from := split(a)
				servers, of, wanted, err := get(x, from, clients, text)
				if err == nil {
					x.promise(servers, of, wanted, limit)
				}
				return err
			},
			check: func(x *scenario, a []string) error {
				clients, text, from := split(a)
				servers, of, wanted, err := get(x, from, clients, text)
				if err != nil {
					return err
				}
				for _, s := range servers {
					for _, c := range of {
						if err := keeping(x.tracks.track(s.Name, c.Name), wanted, x.begun); err != nil {
							return err
						}
					}
				}
				for _, s := range servers {
					for _, c := range of {
						x.keep(x.tracks.track(s.Name, c.Name))
					}
				}
				return nil
			},
		},
		{
			pattern: "R answers", means: "the servers answer, and from the bound on every query to them must be answered again",
			promise: func(x *scenario, limit time.Duration, a []string) error {
				servers, err := x.regionsOf(a[0])
				x.mu.Lock()
				defer x.mu.Unlock()
				for _, s := range servers {
					if ws := x.losses[s.Name]; len(ws) > 0 && ws[len(ws)-1].Until.IsZero() {
						ws[len(ws)-1].Until = time.Now().Add(limit + grace)
					}
				}
				return err
			},
			check: func(x *scenario, a []string) error {
				servers, err := x.regionsOf(a[0])
				for _, s := range servers {
					if !slices.ContainsFunc(x.tracks.track(s.Name, s.Name).since(x.begun), func(s *sighting) bool { return !s.lost }) {
						return fmt.Errorf("server %s has answered nothing", s.Name)
					}
				}
				return err
			},
		},
		{pattern: "clients ask R N times a second", means: "besides what they ask anyway", quiet: true, do: func(x *scenario, a []string) error {
			servers, err := x.regionsOf(a[0])
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(a[1])
			for _, s := range servers {
				x.tracks.more(s, time.Second/time.Duration(n))
			}
			return err
		}},
		{pattern: "R may be silent", means: "queries to these servers need not be answered until `R answers`", quiet: true, do: func(x *scenario, a []string) error {
			servers, err := x.regionsOf(a[0])
			for _, s := range servers {
				x.excuse(s.Name)
			}
			return err
		}},
		{pattern: "note at R is …", means: "these servers, asked from within, answer note.example.test with this text; `nothing`: it does not exist", check: func(x *scenario, a []string) error {
			servers, err := x.regionsOf(a[0])
			want := []string{fmt.Sprintf("%q", a[1])}
			if a[1] == "nothing" {
				want = []string{"NXDOMAIN"}
			}
			for _, s := range servers {
				m, err := lab.Ask(s.Host, s.Server.DNS, lab.Question{Name: "note.example.test", Qtype: dns.TypeTXT})
				if err != nil {
					return err
				}
				if got := lab.VerdictOf(m); !slices.Equal(got, want) {
					return fmt.Errorf("server %s says %v", s.Name, got)
				}
			}
			return err
		}},
	}
}

// statusWords are about what servers say of themselves.
func statusWords() []word {
	servers := func(f func(x *scenario, r *lab.Region, a []string) error) func(*scenario, []string) error {
		return func(x *scenario, a []string) error {
			all, err := x.regionsOf(a[0])
			for _, r := range all {
				if err := f(x, r, a); err != nil {
					return fmt.Errorf("server %s: %w", r.Name, err)
				}
			}
			return err
		}
	}
	return []word{
		{pattern: "source of R is …", means: "how they stand with etcd, by their status: `following`, `cut off`, `saved copy`, `history changed`", check: servers(func(x *scenario, r *lab.Region, a []string) error {
			var p lab.StatusPage
			if err := r.Server.Status(&p); err != nil {
				return err
			}
			for _, s := range p.Servers {
				if s.ID == r.Server.Name && s.Source.State != a[1] {
					return fmt.Errorf("it is %s: %s", s.Source.State, s.Source.Error)
				} else if s.ID == r.Server.Name {
					return nil
				}
			}
			return fmt.Errorf("it is not in its own status")
		})},
		{pattern: "log of R says …", means: "something that they have logged since this block began, or since their start", check: servers(func(x *scenario, r *lab.Region, a []string) error {
			all := r.Server.Process.Out.String()
			x.mu.Lock()
			mark := min(x.marks[r.Name], len(all))
			x.mu.Unlock()
			if !strings.Contains(all[mark:], a[1]) {
				return fmt.Errorf("the log has no %q since then", a[1])
			}
			return nil
		})},
		{pattern: "verdict of R on E is STATE", means: "all addresses of the endpoints E are up, down or unknown to these servers", check: servers(func(x *scenario, r *lab.Region, a []string) error { return x.verdicts(r, a[1], a[2]) })},
		{pattern: "R see vantage V as STATE", means: "fresh, stale, blind, sighted or absent", check: servers(func(x *scenario, r *lab.Region, a []string) error {
			var p lab.StatusPage
			if err := r.Server.Status(&p); err != nil {
				return err
			}
			for _, v := range p.Vantages {
				if v.ID == "server-"+a[1] {
					if is := map[string]bool{"fresh": v.Fresh, "stale": !v.Fresh, "blind": v.Blind, "sighted": !v.Blind}; !is[a[2]] {
						return fmt.Errorf("it is fresh=%v blind=%v", v.Fresh, v.Blind)
					}
					return nil
				}
			}
			if a[2] == "absent" {
				return nil
			}
			return fmt.Errorf("it is not in the status")
		})},
		{pattern: "clock of R is STATE to R", means: "`off` or `right`, by these servers' status, which names these clocks among its problems or does not", check: func(x *scenario, a []string) error {
			of, err := x.regionsOf(a[0])
			if err != nil {
				return err
			}
			asked, err := x.regionsOf(a[2])
			for _, r := range asked {
				for _, v := range of {
					if err := clockSaid(r, v.Name, a[1]); err != nil {
						return fmt.Errorf("server %s: %w", r.Name, err)
					}
				}
			}
			return err
		}},
		{pattern: "R hold E down", means: "by their status an address of the endpoints E is well again, and held down by at least one vantage, as it turned not long ago", check: servers(func(x *scenario, r *lab.Region, a []string) error {
			var p lab.StatusPage
			if err := r.Server.Status(&p); err != nil {
				return err
			}
			for _, e := range p.Endpoints {
				for _, d := range e.Addresses {
					if ok, err := x.among(a[1], d.Address); err != nil {
						return err
					} else if !ok {
						continue
					}
					for _, v := range d.Votes {
						if v.State == "down" && v.Held != nil {
							return nil
						}
					}
				}
			}
			return fmt.Errorf("no vote on %s is held", a[1])
		})},
		{pattern: "R hold back removals", means: "the guard keeps in service what etcd has no more, and the status shows it", check: servers(func(x *scenario, r *lab.Region, a []string) error {
			var p lab.StatusPage
			if err := r.Server.Status(&p); err != nil {
				return err
			}
			if len(p.Held) == 0 {
				return fmt.Errorf("nothing is held")
			}
			return nil
		})},
		{pattern: "R hold back nothing", means: "neither", check: servers(func(x *scenario, r *lab.Region, a []string) error {
			var p lab.StatusPage
			if err := r.Server.Status(&p); err != nil {
				return err
			}
			if len(p.Held) != 0 {
				return fmt.Errorf("%d removals are held back", len(p.Held))
			}
			return nil
		})},
		{pattern: "metric of R …", means: "of /metrics, `name is 1` or `name is above 1`, with labels as `name{state=\"following\"}`; summed over the labels that are not named", check: servers(func(x *scenario, r *lab.Region, a []string) error {
			series, than, ok := strings.Cut(a[1], " is ")
			if !ok {
				return fmt.Errorf("write: metric of all name is 1")
			}
			return x.metric(r, series, than)
		})},
		{pattern: "R agree", means: "these servers have the same verdicts on everything", check: func(x *scenario, a []string) error {
			all, err := x.regionsOf(a[0])
			first := ""
			for i, r := range all {
				var p lab.StatusPage
				if err := r.Server.Status(&p); err != nil {
					return err
				}
				var b strings.Builder
				for _, e := range p.Endpoints {
					for _, d := range e.Addresses {
						fmt.Fprintf(&b, "%s=%s ", d.Address, d.Verdict)
					}
				}
				if i == 0 {
					first = b.String()
				} else if b.String() != first {
					return fmt.Errorf("%s: %s\n%s: %s", all[0].Name, first, r.Name, &b)
				}
			}
			return err
		}},
	}
}

func (x *scenario) metric(r *lab.Region, series, text string) error {
	text, above := strings.CutPrefix(text, "above ")
	than, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return err
	}
	name, labels, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	_, page, err := r.Server.Get("/metrics")
	if err != nil {
		return err
	}
	sum, found := 0.0, false
	for line := range strings.SplitSeq(page, "\n") {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		all := true
		for label := range strings.SplitSeq(labels, ",") {
			all = all && (label == "" || strings.Contains(rest, label))
		}
		if !all {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return err
		}
		sum, found = sum+value, true
	}
	if !found {
		return fmt.Errorf("there is no %s", series)
	}
	if above && sum <= than || !above && sum != than {
		return fmt.Errorf("%s is %v", series, sum)
	}
	return nil
}

// among says whether an address is one of the endpoints ("all", "eu", "eu/1").
func (x *scenario) among(endpoints string, address netip.Addr) (bool, error) {
	name, number, one := strings.Cut(endpoints, "/")
	of, err := x.regionsOf(name)
	for _, e := range of {
		i := slices.Index(e.Addresses(address.Is6()), address)
		if i >= 0 && (!one || number == strconv.Itoa(i+1)) {
			return true, nil
		}
	}
	return false, err
}

// verdicts says whether a server has this verdict on all addresses of the endpoints ("all", "eu", "eu/1").
func (x *scenario) verdicts(r *lab.Region, endpoints, state string) error {
	var p lab.StatusPage
	if err := r.Server.Status(&p); err != nil {
		return err
	}
	is := map[netip.Addr]string{}
	for _, e := range p.Endpoints {
		for _, a := range e.Addresses {
			is[a.Address] = a.Verdict
		}
	}
	name, number, one := strings.Cut(endpoints, "/")
	of, err := x.regionsOf(name)
	if err != nil {
		return err
	}
	for _, e := range of {
		for _, six := range []bool{false, true} {
			if six && !x.w.Yard.IPv6 {
				continue
			}
			for i, a := range e.Addresses(six) {
				if one && number != strconv.Itoa(i+1) {
					continue
				}
				if is[a] != state {
					return fmt.Errorf("%s has %s %s", r.Server.Name, a, cmp.Or(is[a], "not at all"))
				}
			}
		}
	}
	return nil
}

// clockSaid checks whether a server's status says that the clock of a region's server is off.
func clockSaid(r *lab.Region, of, word string) error {
	var p lab.StatusPage
	if err := r.Server.Status(&p); err != nil {
		return err
	}
	said := ""
	for _, problem := range p.Problems {
		if problem.Resource == "vantages/server-"+of && problem.Field == "time" {
			said = problem.Message
		}
	}
	if off := word == "off"; (said != "") != off {
		return fmt.Errorf("it says %q of that clock", said)
	}
	return nil
}
