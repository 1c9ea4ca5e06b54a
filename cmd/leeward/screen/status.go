package screen

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"leeward/server/admin"
	"leeward/zones/steer"
)

// status lays out what is known in tables.
type status struct{ *admin.Status }

// Status writes the status for people: one table each for servers, vantages, regions, pools and endpoints, then what is
// wrong. Tables with nothing in them are left out.
func Status(w io.Writer, of *admin.Status, colour bool) error {
	s := status{of}
	tables := []struct {
		title string
		table *Table
	}{
		{"", s.servers()},
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
		{"Problems: what is wrong with the newest version, and which one is in service", s.problems()},
		{"Held back: `leeward accept` lets these go", s.held()},
	}
	first := true
	if of.Headline != "" {
		fmt.Fprintln(w, Paint(Printable(of.Headline), Bold, colour))
		first = false
	}
	for _, t := range tables {
		if len(t.table.Rows) == 0 {
			continue
		}
		if !first {
			fmt.Fprintln(w)
		}
		first = false
		if t.title != "" {
			fmt.Fprintln(w, Paint(t.title, Red, colour))
		}
		if err := t.table.Write(w, colour); err != nil {
			return err
		}
	}
	if first {
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

// why says what keeps the pool out of answers, once where it is the same for both families.
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
