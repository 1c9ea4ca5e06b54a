package screen

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"leeward/server/answer"
)

// Counts prints what was asked and answered, what counts most lately first. wide adds each policy's rules and
// their pools.
func Counts(w io.Writer, c *answer.Counts, wide, colour bool) error {
	rate := func(n uint64, window int) string { return perSecond(n, c.Windows[window]) }
	figures := func(n answer.Count) []Cell {
		return []Cell{
			{Text: rate(n.LastMinute, 0)}, {Text: rate(n.LastFiveMinutes, 1)}, {Text: strconv.FormatUint(n.Total, 10)},
		}
	}
	fmt.Fprintf(w, "%s: %s queries a second in the last minute, %s of them steered. All counts are since %s.\n",
		Printable(c.Server), rate(c.Queries.LastMinute, 0), share(c.Steered.LastMinute, c.Queries.LastMinute),
		c.Since.Format(time.DateTime))
	if n := c.FailOpen.LastMinute; n > 0 {
		fmt.Fprintf(w, "%s answers a second fail open: nothing is healthy there.\n", rate(n, 0))
	}
	heads := func(name string) []string { return []string{name, "A SECOND (1 MIN)", "(5 MIN)", "TOTAL"} }
	list := func(t *Table) error {
		if len(t.Rows) == 0 {
			return nil
		}
		fmt.Fprintln(w)
		return t.Write(w, colour)
	}
	kinds := &Table{Heads: heads("TYPE")}
	for _, n := range c.Types {
		kinds.Add(append([]Cell{{n.Type, Bold}}, figures(n.Count)...)...)
	}
	pools := &Table{Heads: heads("POOL")}
	for _, n := range c.Pools {
		pools.Add(append([]Cell{{Printable(n.Pool), Bold}}, figures(n.Count)...)...)
	}
	policies := &Table{Heads: heads("POLICY")}
	countries := &Table{Heads: heads("COUNTRY")}
	for _, n := range c.Countries {
		name := n.Country
		if name == "" {
			name = "not known"
		}
		countries.Add(append([]Cell{{name, Bold}}, figures(n.Count)...)...)
	}
	for i := range c.Policies {
		p := &c.Policies[i]
		policies.Add(append([]Cell{{Printable(p.Policy), Bold}}, figures(p.Count)...)...)
		if !wide {
			continue
		}
		for _, r := range p.Rules {
			name := fmt.Sprintf("  rule %d: %s", r.Rule+1, Printable(r.When))
			if r.Rule < 0 {
				name = "  no rule held"
			}
			policies.Add(append([]Cell{{Text: name}}, figures(r.Count)...)...)
			for _, n := range r.Pools {
				pool := Printable(n.Pool)
				if pool == "" {
					pool = "(without a pool)"
				}
				policies.Add(append([]Cell{{Text: "    " + pool}}, figures(n.Count)...)...)
			}
		}
		if n := p.FailOpen; n.Total > 0 {
			policies.Add(append([]Cell{{"  failed open", Yellow}}, figures(n)...)...)
		}
	}
	for _, t := range []*Table{kinds, pools, countries, policies} {
		if err := list(t); err != nil {
			return err
		}
	}
	if n := c.Left.Policies + c.Left.Pools; n > 0 {
		_, err := fmt.Fprintf(w, "\n%d more policies and %d more pools: see them with --most.\n",
			c.Left.Policies, c.Left.Pools)
		return err
	}
	return nil
}

// perSecond spells a rate.
func perSecond(n uint64, seconds float64) string {
	switch rate := float64(n) / max(seconds, 1e-9); {
	case n == 0:
		return "0"
	case rate < 0.01:
		return "<0.01"
	case rate < 10:
		return strings.TrimSuffix(strconv.FormatFloat(rate, 'f', 2, 64), ".00")
	default:
		return strconv.FormatFloat(rate, 'f', 0, 64)
	}
}

// share spells a part of a whole.
func share(n, of uint64) string {
	if of == 0 {
		return "none"
	}
	return strconv.FormatFloat(100*float64(n)/float64(of), 'f', 0, 64) + " %"
}
