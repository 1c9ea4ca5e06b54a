package screen

import (
	"fmt"
	"io"
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
		{"", s.servers(true)},
		{"Servers that cannot do all they should", s.failing()},
		{"", s.watches()},
		{"", s.database()},
		{"", s.vantages()},
		{"", s.regions()},
		{"", s.pools()},
		{"", s.loads()},
		{"", s.endpoints()},
		{"", s.failover()},
		{"", s.overrides()},
		{"", s.planned()},
		{"", s.geo()},
		{"", s.secondaries()},
		{"", s.following()},
		{"", s.signing()},
		{"Problems: what is wrong with the newest version, and which one is in service", s.problems()},
		{"Held back: `leeward accept` lets these go", s.held()},
	})
}

// Status writes what somebody who is woken up wants to read of a status: the headline, then all that is wrong, then a
// line for each region and each server. What is well has no line of its own.
func Status(w io.Writer, of *admin.Status, colour bool) error {
	of = inOrder(of)
	s, wrong := status{of}, status{of.Ailing()}
	return s.write(w, colour, []section{
		{"Servers that cannot do all they should", s.failing()},
		{"Problems: what is wrong with the newest version, and which one is in service", s.problems()},
		{"Held back: `leeward accept` lets these go", s.held()},
		{"", s.overrides()},
		{"", s.planned()},
		{"", wrong.vantages()},
		{"", wrong.pools()},
		{"", wrong.endpoints()},
		{"", wrong.loads()},
		{"", wrong.watches()},
		{"", wrong.database()},
		{"", wrong.geo()},
		{"", wrong.secondaries()},
		{"", wrong.following()},
		{"", wrong.signing()},
		{"", s.regions()},
		{"", s.servers(false)},
	})
}

// section is a table and what stands above it.
type section struct {
	title string
	table *Table
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
