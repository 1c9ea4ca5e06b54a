//go:build linux

package scenario

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"leeward/integration/lab"
	"leeward/integration/script"
)

// language is the lines of scenarios. README.md explains each line: to add one, add it here and there.
//
// R is a region, several as eu,us, or all. M is members of etcd in the same form, or by role, such as leader. E is
// endpoints, as eu, eu/1 or all.
var language = script.Language[*story, *scenario]{Settings: settings, Commands: commands, Known: known}

type command = script.Command[*scenario]

var commands = []command{
	// Bad values in etcd.
	{Line: "put N bad values", Do: (*scenario).putBadValues},
	{Line: "put a value of N bytes at KEY", Do: (*scenario).putLongValue},

	// The processes of servers and members of etcd.
	{Line: "kill server R", Do: each((*scenario).killServer)},
	{Line: "stop server R", Do: each((*scenario).stopServer)},
	{Line: "start server R", Do: each((*scenario).startServer)},
	{Line: "pause server R", Do: each((*scenario).pauseServer)},
	{Line: "resume server R", Do: each((*scenario).resumeServer)},
	{Line: "nobody reads the log of server R", Do: each((*scenario).unreadLog)},
	{Line: "clock of server R is D", Do: each((*scenario).setClock)},
	{Line: "server R exits with N", Check: each((*scenario).hasExited)},
	{Line: "kill etcd M", Do: eachMember((*scenario).killEtcd)},
	{Line: "start etcd M", Do: eachMember((*scenario).startEtcd)},
	{Line: "pause etcd M", Do: eachMember((*scenario).pauseEtcd)},
	{Line: "resume etcd M", Do: eachMember((*scenario).resumeEtcd)},
	{Line: "etcd of M works", Check: eachMember((*scenario).etcdWorks)},

	// The links between the regions.
	{Line: "isolate R", Do: each((*scenario).isolate)},
	{Line: "rejoin R", Do: each((*scenario).rejoin)},
	{Line: "cut R and R", Do: (*scenario).cutBoth},
	{Line: "cut R to R", Do: (*scenario).cutOneWay},
	{Line: "join R and R", Do: (*scenario).join},
	{Line: "cut R from etcd", Do: (*scenario).cutFromEtcd},
	{Line: "join R to etcd", Do: (*scenario).joinToEtcd},
	{Line: "probes from R are lost", Do: (*scenario).loseProbes},
	{Line: "IPv6 probes from R are lost", Do: (*scenario).loseIPv6Probes},
	{Line: "probes from R arrive", Do: (*scenario).passProbes},
	{Line: "between R and R lose P delay D", Do: (*scenario).worsenLink},

	// The probed load balancers.
	{Line: "endpoints E fail", Do: eachEndpoint(failEndpoint)},
	{Line: "endpoints E hang", Do: eachEndpoint(hangEndpoint)},
	{Line: "endpoints E are gone", Do: eachEndpoint(removeEndpoint)},
	{Line: "endpoints E are well", Do: eachEndpoint(healEndpoint)},
	{Line: "endpoints E answer after D", Do: eachEndpoint(slowEndpoint)},
	{Line: "endpoints E answer after D to D", Do: eachEndpoint(unevenEndpoint)},
	{Line: "endpoints E flap every D", Do: eachEndpoint(flapEndpoint)},

	// The content of etcd.
	{Line: "note …", Do: (*scenario).putNote, Quiet: true},
	{Line: "put KEY …", Do: (*scenario).putKey},
	{Line: "delete everything in etcd", Do: (*scenario).deleteEverything},
	{Line: "etcdctl …", Do: (*scenario).etcdctl},
	{Line: "run leeward …", Do: (*scenario).runLeeward},
	{Line: "begin leeward …", Do: (*scenario).beginLeeward},
	{Line: "the operator says …", Check: (*scenario).operatorSays},
	{Line: "the operator is gone", Do: (*scenario).killOperator},
	{Line: "time is kept as NAME", Do: (*scenario).keepTime, Quiet: true},
	{Line: "revision of KEY is kept as NAME", Do: (*scenario).keepRevision, Quiet: true},
	{Line: "leeward at R …", Check: each((*scenario).says)},
	{Line: "apply the resources again", Do: (*scenario).applyAgain},
	{Line: "back up etcd", Do: (*scenario).backUp, Quiet: true},
	{Line: "wipe etcd", Do: (*scenario).wipe},
	{Line: "restore etcd", Do: (*scenario).restore},
	{Line: "compact etcd", Do: (*scenario).compact, Quiet: true},

	// The space and the disks of etcd.
	{Line: "etcd is out of space", Do: (*scenario).fillEtcd},
	{Line: "etcd has space", Do: (*scenario).freeEtcd},
	{Line: "disk under etcd M takes D", Do: (*scenario).slowDisk},
	{Line: "disk under etcd M is quick", Do: (*scenario).quickDisk},

	// The answers to clients.
	{Line: "clients of R get …", Check: (*scenario).clientsGet, Promise: (*scenario).promiseClients},
	{Line: "R answers", Check: each((*scenario).answers), Promise: (*scenario).promiseAnswers},
	{Line: "clients ask R N times a second", Do: each((*scenario).askMore), Quiet: true},
	{Line: "R may be silent", Do: each((*scenario).maySilence), Quiet: true},
	{Line: "note at R is …", Check: each((*scenario).noteIs)},

	// What servers report about themselves.
	{Line: "source of R is …", Check: each((*scenario).sourceIs)},
	{Line: "log of R says …", Check: each((*scenario).logSays)},
	{Line: "verdict of R on E is STATE", Check: each((*scenario).verdictIs)},
	{Line: "R see vantage V as STATE", Check: each((*scenario).seesVantage)},
	{Line: "clock of R is STATE to R", Check: each((*scenario).clockIs)},
	{Line: "R hold E down", Check: each((*scenario).holdsDown)},
	{Line: "R hold back removals", Check: each((*scenario).holdsRemovals)},
	{Line: "R hold back nothing", Check: each((*scenario).holdsNothing)},
	{Line: "metric of R …", Check: each((*scenario).metricIs)},
	{Line: "R agree", Check: (*scenario).agree},

	// The copies of the last good snapshot under --state.
	{Line: "disk of R is full", Do: each((*scenario).fillDisk), Quiet: true},
	{Line: "disk of R has room", Do: each((*scenario).freeDisk), Quiet: true},
	{Line: "disk of R is read-only", Do: each((*scenario).protectDisk), Quiet: true},
	{Line: "disk of R is writable", Do: each((*scenario).unprotectDisk), Quiet: true},
	{Line: "state of R is cut short", Do: each((*scenario).cutState), Quiet: true},
	{Line: "state of R has a flipped bit", Do: each((*scenario).flipState), Quiet: true},
	{Line: "state of R is of a newer version", Do: each((*scenario).newerState), Quiet: true},
	{Line: "state of R holds …", Check: each((*scenario).stateHolds)},

	// What servers share: descriptors, memory, the processor.
	{Line: "N idle clients crowd server R", Do: (*scenario).crowdServers},
	{Line: "the crowd leaves server R", Do: each((*scenario).crowdLeaves)},
	{Line: "N busy loops run beside", Do: (*scenario).burn},
	{Line: "the busy loops end", Do: (*scenario).stopBurning},
	{Line: "N records are applied", Do: (*scenario).applyRecords},
	{Line: "server R lives", Check: each((*scenario).lives)},

	// Servers of other versions.
	{Line: "server R is upgraded", Do: each((*scenario).upgrade)},
	{Line: "server R is downgraded", Do: each((*scenario).downgrade)},

	// Very many endpoints at once.
	{Line: "N more endpoints are configured", Do: (*scenario).configureMass},
	{Line: "the more endpoints fail", Do: (*scenario).failMass},
	{Line: "the more endpoints are well", Do: (*scenario).healMass},
	{Line: "the writes of etcd are counted", Do: (*scenario).countWrites, Quiet: true},
	{Line: "etcd was written N times at most", Check: (*scenario).writtenAtMost},
}

// known checks the names in a text before it is played.
func known(kind, text string) error {
	regions := lab.NewRegions()
	switch kind {
	case "R":
		if text == "client" { // a link may end there
			return nil
		}
	case "M":
		if _, ok := strings.CutPrefix(text, "watched-by-"); ok ||
			slices.Contains([]string{"leader", "follower", "followers", "same"}, text) {
			return nil
		}
	case "E":
	default:
		return nil
	}
	if text == "all" {
		return nil
	}
	for name := range strings.SplitSeq(text, ",") {
		if kind == "E" {
			name, _, _ = strings.Cut(name, "/")
		}
		if !slices.ContainsFunc(regions, func(r *lab.Region) bool { return r.Name == name }) {
			return fmt.Errorf("%q is no region; there are eu, us and ap", name)
		}
	}
	return nil
}

// regions returns the regions of a word: "eu", "eu,us" or "all".
func (x *scenario) regions(text string) (all []*lab.Region) {
	for _, r := range x.w.Regions {
		if text == "all" || slices.Contains(strings.Split(text, ","), r.Name) {
			all = append(all, r)
		}
	}
	return all
}

// each does something for each region in a line's R. If several words of the line are in capitals, the first R counts:
// "verdict of R on E" is about R.
func each(do func(x *scenario, r *lab.Region, a script.Args) error) func(*scenario, script.Args) error {
	return func(x *scenario, a script.Args) error {
		for _, r := range x.regions(a.Text(0)) {
			if err := do(x, r, a); err != nil {
				return fmt.Errorf("server %s: %w", r.Name, err)
			}
		}
		return nil
	}
}

// eachMember does something for each member of etcd in a line's M.
func eachMember(do func(x *scenario, r *lab.Region) error) func(*scenario, script.Args) error {
	return func(x *scenario, a script.Args) error {
		all, err := x.members(a.Text(0))
		if err != nil {
			return err
		}
		for _, r := range all {
			if err := do(x, r); err != nil {
				return fmt.Errorf("etcd %s: %w", r.Name, err)
			}
		}
		return nil
	}
}

// eachEndpoint does something for each endpoint in a line's E.
func eachEndpoint(do func(e *lab.Endpoint, a script.Args) error) func(*scenario, script.Args) error {
	return func(x *scenario, a script.Args) error {
		for _, r := range x.w.Regions {
			for i, e := range r.Endpoints {
				if !among(a.Text(0), r, i) {
					continue
				}
				if err := do(e, a); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// among says whether a word includes the i-th endpoint of a region: "all", "eu", "eu,us/1".
func among(endpoints string, r *lab.Region, i int) bool {
	return slices.ContainsFunc(strings.Split(endpoints, ","), func(part string) bool {
		return part == "all" || part == r.Name || part == fmt.Sprintf("%s/%d", r.Name, i+1)
	})
}

// members returns the regions whose members of etcd a word names.
func (x *scenario) members(text string) (all []*lab.Region, err error) {
	switch text {
	case "same":
		if all, _ = x.kept["members"].([]*lab.Region); all == nil {
			return nil, errors.New("no step before has named a member")
		}
		return all, nil
	case "leader", "follower", "followers":
		leader, followers := x.w.Led(x.t)
		switch text {
		case "leader":
			all = []*lab.Region{leader}
		case "follower":
			all = followers[:1]
		default:
			all = followers
		}
	default:
		if name, ok := strings.CutPrefix(text, "watched-by-"); ok {
			if text, err = x.watched(name); err != nil {
				return nil, err
			}
		}
		all = x.regions(text)
	}
	x.mu.Lock()
	x.kept["members"] = all
	x.mu.Unlock()
	return all, nil
}

// watched returns the region whose member of etcd a server follows, by its log.
func (x *scenario) watched(name string) (string, error) {
	const following = `"etcd: following" member=`
	for _, r := range x.regions(name) {
		log := r.Server.Process.Out.String()
		i := strings.LastIndex(log, following)
		for j, url := range x.w.URLs {
			if i >= 0 && strings.HasPrefix(log[i+len(following):], url+" ") {
				return x.w.Regions[j].Name, nil
			}
		}
	}
	return "", fmt.Errorf("server %s follows no member that its log names", name)
}
