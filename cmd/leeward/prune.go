package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"leeward/zones"
	"leeward/zones/store"
)

// pruning is what --prune deletes: keys, out of a set of so many resources.
type pruning struct {
	keys []zones.Key
	of   int
}

// rash returns reasons to refuse a pruning that would do great harm if it is a mistake: zones, policies that answer,
// more than a tenth of the set.
func (p pruning) rash(base *store.Listing) []string {
	held, filled := map[string]int{}, map[string]bool{}
	answers := map[zones.Key]bool{}
	for _, c := range base.Changes {
		switch c.Key.Kind() {
		case zones.KindRecord:
			origin, _, _ := strings.Cut(c.Key.Name(), "/")
			held[origin]++
		case zones.KindEndpoint:
			pool, _, _ := strings.Cut(c.Key.Name(), "/")
			filled[pool] = true
		}
	}
	for _, c := range base.Changes {
		if policy, ok := c.Resource.(*zones.Policy); ok {
			for _, pool := range policy.PoolNames() {
				answers[c.Key] = answers[c.Key] || filled[pool]
			}
		}
	}
	var why []string
	for _, k := range p.keys {
		switch {
		case k.Kind() == zones.KindZone:
			why = append(why, fmt.Sprintf("%s would be deleted, with %s", k, count(held[k.Name()], "record")))
		case answers[k]:
			why = append(why, fmt.Sprintf("%s would be deleted, which answers queries", k))
		}
	}
	if n := len(p.keys); n > 1 && 10*n > p.of {
		why = append(why, fmt.Sprintf("%d of %s would be deleted, more than a tenth", n, count(p.of, "resource")))
	}
	return why
}

// mostReasons is how many reasons are printed.
const mostReasons = 20

// allow refuses a rash pruning, unless it is forced, and asks on a terminal before any other. What would be deleted has
// been printed by then.
func (p pruning) allow(inv *invocation, base *store.Listing, f changeFlags) error {
	if len(p.keys) == 0 || f.force {
		return nil
	}
	if why := p.rash(base); len(why) > 0 {
		for _, text := range why[:min(len(why), mostReasons)] {
			fmt.Fprintln(inv.told, text)
		}
		if more := len(why) - mostReasons; more > 0 {
			fmt.Fprintf(inv.told, "and %d more\n", more)
		}
		return fmt.Errorf("nothing was written: --prune would delete too much; see above, and add --force if that is " +
			"right")
	}
	if f.dryRun || !terminal(inv.in) {
		return nil
	}
	return inv.confirm(fmt.Sprintf("Delete %s?", count(len(p.keys), "resource")))
}

// confirm asks a question. Every answer but yes is an error.
func (inv *invocation) confirm(question string) error {
	fmt.Fprintf(inv.told, "%s [y/N] ", question)
	answer, err := bufio.NewReader(inv.heed(inv.in)).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return fmt.Errorf("nothing was written, because the answer was not yes")
}
