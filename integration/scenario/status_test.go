//go:build linux

package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"leeward/integration/lab"
	"leeward/integration/script"
)

// page reads the status of a region's server.
func page(r *lab.Region) (p lab.StatusPage, err error) {
	err = r.Server.Status(&p)
	return p, err
}

func (x *scenario) sourceIs(r *lab.Region, a script.Args) error {
	p, err := page(r)
	if err != nil {
		return err
	}
	for _, s := range p.Servers {
		if s.ID != r.Server.Name {
			continue
		}
		if s.Source.State != a.Text(1) {
			return fmt.Errorf("it is %s: %s", s.Source.State, s.Source.Error)
		}
		return nil
	}
	return errors.New("it is not in its own status")
}

func (x *scenario) logSays(r *lab.Region, a script.Args) error {
	all := r.Server.Process.Out.String()
	x.mu.Lock()
	mark := min(x.marks[r.Name], len(all))
	x.mu.Unlock()
	if !strings.Contains(all[mark:], a.Text(1)) {
		return fmt.Errorf("the log has no %q since then", a.Text(1))
	}
	return nil
}

func (x *scenario) seesVantage(r *lab.Region, a script.Args) error {
	p, err := page(r)
	if err != nil {
		return err
	}
	for _, v := range p.Vantages {
		if v.ID != "server-"+a.Text(1) {
			continue
		}
		is := map[string]bool{"fresh": v.Fresh, "stale": !v.Fresh, "blind": v.Blind, "sighted": !v.Blind}
		if !is[a.Text(2)] {
			return fmt.Errorf("it is fresh=%v blind=%v", v.Fresh, v.Blind)
		}
		return nil
	}
	if a.Text(2) == "absent" {
		return nil
	}
	return errors.New("it is not in the status")
}

// clockIs checks how servers of the last regions see the clocks of the first ones.
func (x *scenario) clockIs(r *lab.Region, a script.Args) error {
	for _, asked := range x.regions(a.Text(2)) {
		p, err := page(asked)
		if err != nil {
			return fmt.Errorf("to server %s: %w", asked.Name, err)
		}
		said := ""
		for _, problem := range p.Problems {
			if problem.Resource == "vantages/server-"+r.Name && problem.Field == "time" {
				said = problem.Message
			}
		}
		if off := a.Text(1) == "off"; (said != "") != off {
			return fmt.Errorf("server %s says %q of its clock", asked.Name, said)
		}
	}
	return nil
}

func (x *scenario) holdsDown(r *lab.Region, a script.Args) error {
	p, err := page(r)
	if err != nil {
		return err
	}
	of := x.addresses(a.Text(1))
	for _, e := range p.Endpoints {
		for _, d := range e.Addresses {
			for _, v := range d.Votes {
				if of[d.Address] && v.State == "down" && v.Held != nil {
					return nil
				}
			}
		}
	}
	return fmt.Errorf("no vote on %s is held", a.Text(1))
}

func (x *scenario) holdsRemovals(r *lab.Region, _ script.Args) error {
	p, err := page(r)
	if err == nil && len(p.Held) == 0 {
		err = errors.New("nothing is held")
	}
	return err
}

func (x *scenario) holdsNothing(r *lab.Region, _ script.Args) error {
	p, err := page(r)
	if err == nil && len(p.Held) != 0 {
		err = fmt.Errorf("%d removals are held back", len(p.Held))
	}
	return err
}

// metricIs compares a series, as name{state="following"}, with a number, or with "above" a number.
func (x *scenario) metricIs(r *lab.Region, a script.Args) error {
	series, text, ok := strings.Cut(a.Text(1), " is ")
	text, above := strings.CutPrefix(text, "above ")
	than, err := strconv.ParseFloat(text, 64)
	if !ok || err != nil {
		return errors.New("write: metric of all name is 1")
	}
	name, labels, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	sum, found, err := r.Server.Samples(name, strings.Split(labels, ",")...)
	switch {
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("there is no %s", series)
	case above && sum <= than || !above && sum != than:
		return fmt.Errorf("%s is %v", series, sum)
	}
	return nil
}

// agree checks that all have the same verdicts on everything.
func (x *scenario) agree(a script.Args) error {
	all := x.regions(a.Text(0))
	first := ""
	for i, r := range all {
		p, err := page(r)
		if err != nil {
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
	return nil
}

// addresses returns the addresses of the endpoints in a word.
func (x *scenario) addresses(endpoints string) map[netip.Addr]bool {
	all := map[netip.Addr]bool{}
	for _, r := range x.w.Regions {
		for _, six := range []bool{false, true} {
			if six && !x.w.Yard.IPv6 {
				continue
			}
			for i, a := range r.Addresses(six) {
				if among(endpoints, r, i) {
					all[a] = true
				}
			}
		}
	}
	return all
}

func (x *scenario) verdictIs(r *lab.Region, a script.Args) error {
	return x.verdicts(r, a.Text(1), a.Text(2))
}

// verdicts checks that a server has this verdict on all addresses of the endpoints.
func (x *scenario) verdicts(r *lab.Region, endpoints, state string) error {
	p, err := page(r)
	if err != nil {
		return err
	}
	is := map[netip.Addr]string{}
	for _, e := range p.Endpoints {
		for _, a := range e.Addresses {
			is[a.Address] = a.Verdict
		}
	}
	for a := range x.addresses(endpoints) {
		if is[a] != state {
			return fmt.Errorf("%s has %s %s", r.Server.Name, a, cmp.Or(is[a], "not at all"))
		}
	}
	return nil
}
