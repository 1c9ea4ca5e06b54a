package screen

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"leeward/server/admin"
	"leeward/zones/steer"
)

// status makes the tables of a status.
type status struct{ *admin.Status }

// Wide writes all of a status for people: the headline, one table each for servers, vantages, regions, pools and
// endpoints with every vote, then what is wrong. Tables with nothing in them are left out.
func Wide(w io.Writer, of *admin.Status, colour bool) error {
	s := status{inOrder(of)}
	return s.write(w, colour, []section{
		{table: s.servers(true)},
		{title: "Servers that cannot do all they should", table: s.failing()},
		{table: s.watches()},
		{table: s.database()},
		{table: s.vantages()},
		{table: s.regions()},
		{table: s.pools()},
		{table: s.loads()},
		{table: s.endpoints(true)},
		{table: s.failover()},
		{table: s.overrides()},
		{table: s.planned()},
		{table: s.geo()},
		{table: s.secondaries()},
		{table: s.following()},
		{table: s.signing()},
		{title: "Problems: what is wrong with the newest version, and which one is in service", table: s.problems()},
		{title: "Held back: `leeward accept` lets these go", table: s.held()},
	})
}

// most is how many lines a table of Status has, so that a bad night with hundreds of endpoints down still fits on a
// screen or two. Wide and JSON have all lines.
const most = 12

// Status writes what somebody who is woken up wants to read of a status: the headline, then all that is wrong, then a
// line for each region and each server. What is well has no line of its own, and a long table says how much it leaves
// out.
func Status(w io.Writer, of *admin.Status, colour bool) error {
	of = inOrder(of)
	s, wrong := status{of}, status{of.Ailing()}
	// A pool that only carries too much has its line among the loads.
	out := status{of.Ailing()}
	out.Pools = slices.DeleteFunc(out.Pools, func(p admin.Pool) bool { return p.Answers() })
	down := len(wrong.Endpoints)
	wrong.Endpoints = wrong.Endpoints[:kept(down)]
	return s.write(w, colour, []section{
		few("Servers that cannot do all they should", s.failing()),
		few("Problems: what is wrong with the newest version, and which one is in service", wrong.problems()),
		few("Held back: `leeward accept` lets these go", s.held()),
		few("", s.overrides()),
		few("", s.planned()),
		few("", wrong.vantages()),
		few("", out.pools()),
		{table: wrong.endpoints(false), more: down - len(wrong.Endpoints)}, // an endpoint has a line for each address
		few("", wrong.loads()),
		few("", wrong.watches()),
		few("", wrong.database()),
		few("", wrong.geo()),
		few("", wrong.secondaries()),
		few("", wrong.following()),
		few("", wrong.signing()),
		few("", s.regions()),
		few("", s.servers(false)),
	})
}

// few is a section of the first rows of a table.
func few(title string, t *Table) section {
	all := len(t.Rows)
	t.Rows = t.Rows[:kept(all)]
	return section{title, t, all - len(t.Rows)}
}

// kept is how many of so many are written. One more than most is, as a line that says so would be as long.
func kept(all int) int {
	if all <= most+1 {
		return all
	}
	return most
}

// section is a table, what stands above it, and how many more there are than it has.
type section struct {
	title string
	table *Table
	more  int
}

func (s status) write(w io.Writer, colour bool, sections []section) error {
	written := false
	if s.Headline != "" {
		fmt.Fprintln(w, Paint(Printable(s.Headline), Bold, colour))
		written = true
	}
	for _, t := range sections {
		if len(t.table.Rows) == 0 {
			continue
		}
		if written {
			fmt.Fprintln(w)
		}
		written = true
		if t.title != "" {
			fmt.Fprintln(w, Paint(t.title, Red, colour))
		}
		if err := t.table.Write(w, colour); err != nil {
			return err
		}
		if t.more > 0 {
			fmt.Fprintln(w, Paint(fmt.Sprintf("and %d more: leeward status -o wide", t.more), Grey, colour))
		}
	}
	if !written {
		_, err := fmt.Fprintln(w, "nothing here yet: no server, no resource")
		return err
	}
	return nil
}

func stateColour(state string) Colour {
	switch state {
	case "up":
		return Green
	case "down":
		return Red
	}
	return Grey
}

func verdict(state string) Cell { return Cell{state, stateColour(state)} }

func word(override string) Cell { return Cell{override, Yellow} }

func family(f steer.FamilyStatus) Cell {
	switch {
	case f.Available:
		return Cell{"yes", Green}
	case f.Total > 0:
		return Cell{"out", Red}
	}
	return Cell{"-", Grey}
}

// why says why the pool is not in answers, once if the reason is the same for both families.
func why(p *admin.Pool) string {
	var parts []string
	for _, f := range []struct {
		name string
		steer.FamilyStatus
	}{{"A", p.IPv4}, {"AAAA", p.IPv6}} {
		if f.Available || f.Total == 0 {
			continue
		}
		if len(parts) > 0 && p.IPv4.Why == p.IPv6.Why {
			return p.IPv4.Why
		}
		parts = append(parts, f.name+": "+f.Why)
	}
	return strings.Join(parts, "; ")
}

func part(n, of int) Cell {
	c := Green
	switch {
	case n == 0 && of > 0:
		c = Red
	case n < of:
		c = Yellow
	}
	return Cell{fmt.Sprintf("%d/%d", n, of), c}
}

func count(n int) Cell {
	if n == 0 {
		return Cell{"0", Grey}
	}
	return Cell{strconv.Itoa(n), Red}
}
