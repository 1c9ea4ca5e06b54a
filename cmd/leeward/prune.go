package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"leeward/zones"
	"leeward/zones/store"
)

// pruning is what --prune takes away: keys out of a set that has of resources.
type pruning struct {
	keys []zones.Key
	of   int
}

// rash returns what of a pruning nobody does by mistake without regretting it, one reason a line: zones, policies that
// are answering, more than a tenth of the set.
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
			why = append(why, fmt.Sprintf("%s would go, with %s", k, count(held[k.Name()], "record")))
		case answers[k]:
			why = append(why, fmt.Sprintf("%s would go, which is answering", k))
		}
	}
	if n := len(p.keys); n > 1 && 10*n > p.of {
		why = append(why, fmt.Sprintf("%d of %s would go, more than a tenth", n, count(p.of, "resource")))
	}
	return why
}

// mostReasons is how many reasons are printed.
const mostReasons = 20

// allow refuses what is rash, unless it is forced, and asks whoever sits at a terminal before anything is deleted. What
// goes is on the screen by then.
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
		return fmt.Errorf("nothing was written: --prune would delete more than it does without being told; see above, and add --force if it is meant")
	}
	if f.dryRun || !terminal(inv.in) {
		return nil
	}
	return inv.confirm(fmt.Sprintf("Delete %s?", count(len(p.keys), "resource")))
}

// confirm asks a question whose answer is no unless it is yes.
func (inv *invocation) confirm(question string) error {
	fmt.Fprintf(inv.told, "%s [y/N] ", question)
	answer, err := bufio.NewReader(inv.in).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return fmt.Errorf("nothing was written: the answer was not yes")
}
