package screen

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"leeward/server/admin"
)

func (s status) geo() *Table {
	t := &Table{Heads: []string{"GEO DATABASE", "TYPE", "BUILT", "NETWORKS", ""}}
	for _, g := range s.Geo {
		built := ""
		if !g.Built.IsZero() {
			built = g.Built.UTC().Format(time.DateOnly)
		}
		t.Add(Cell{Text: g.File}, Cell{Text: g.Type}, Cell{Text: built}, Cell{Text: strconv.Itoa(g.Networks)},
			Cell{g.Error, Red})
	}
	return t
}

func (s status) secondaries() *Table {
	t := &Table{Heads: []string{"ZONE", "SECONDARY", "SERIAL", "TOLD"}}
	for _, x := range s.Secondaries {
		told := Cell{admin.Age(s.Time.Sub(x.Since).Seconds()) + " ago", Green}
		switch {
		case x.Pending:
			told = Cell{"no answer yet", Yellow}
		case x.Error != "":
			told = Cell{x.Error, Red}
		}
		t.Add(Cell{x.Zone, Bold}, Cell{Text: x.Server}, Cell{Text: strconv.FormatUint(uint64(x.Serial), 10)}, told)
	}
	return t
}

func (s status) following() *Table {
	t := &Table{Heads: []string{"ZONE", "PRIMARY", "SERIAL", "RECORDS", "STATE", "CHECKED", "EXPIRES", ""}}
	for _, x := range s.Following {
		state, colour := x.State, map[string]Colour{
			"current": Green, "failing": Yellow, "expired": Red,
			"waiting": Yellow,
		}[x.State]
		if x.Refreshing {
			state += ", refreshing"
		}
		primary, serial, checked, expires := strings.Join(x.Primaries, ", "), "", "never", ""
		if x.From != "" {
			primary = x.From
		}
		if x.Expires != nil {
			serial, expires = strconv.FormatUint(uint64(x.Serial), 10), "in "+admin.Age(x.Expires.Sub(s.Time).Seconds())
			if !x.Expires.After(s.Time) {
				expires = admin.Age(s.Time.Sub(*x.Expires).Seconds()) + " ago"
			}
		}
		if x.Checked != nil {
			checked = admin.Age(s.Time.Sub(*x.Checked).Seconds()) + " ago"
		}
		t.Add(Cell{x.Zone, Bold}, Cell{Text: primary}, Cell{Text: serial}, Cell{Text: strconv.Itoa(x.Records)},
			Cell{state, colour},
			Cell{Text: checked}, Cell{Text: expires}, Cell{x.Error, Red})
	}
	return t
}

func (s status) signing() *Table {
	t := &Table{Heads: []string{"SIGNED ZONE", "BY", "STATE", "EXPIRES", "SIGNATURES", "KEYS", "PARENT", ""}}
	if s.Signing == nil {
		return t
	}
	parents := slices.ContainsFunc(s.Signing.List, func(z admin.SignedZone) bool { return z.Parent != nil })
	if !parents {
		t.Heads = slices.Delete(t.Heads, 6, 7)
	}
	add := func(cells ...Cell) {
		if !parents {
			cells = slices.Delete(cells, 6, 7)
		}
		t.Add(cells...)
	}
	for i := range s.Signing.List {
		z := &s.Signing.List[i]
		colour := map[string]Colour{
			admin.SignedCurrent: Green, admin.SignedPrepared: Green, admin.SignedLate: Yellow,
			admin.SignedNear: Red, admin.SignedExpired: Red,
		}[z.State]
		expires, count := "never", ""
		if z.Expires != nil {
			expires = "in " + admin.Age(z.Expires.Sub(s.Time).Seconds())
			if !z.Expires.After(s.Time) {
				expires = admin.Age(s.Time.Sub(*z.Expires).Seconds()) + " ago"
			}
		}
		if z.Signer != admin.SignerPrimary {
			count = strconv.Itoa(z.Signatures)
		}
		keys := make([]string, 0, len(z.Keys))
		for _, k := range z.Keys {
			keys = append(keys, fmt.Sprintf("%d %s", k.Tag, k.State))
		}
		say := z.Remedy()
		if z.Error != "" {
			say = z.Error + ". " + say
		}
		add(Cell{z.Zone, Bold}, Cell{Text: z.Signer}, Cell{z.State, colour}, Cell{expires, colour}, Cell{Text: count},
			Cell{Text: strings.Join(keys, ", ")}, s.parent(z.Parent), Cell{say, Red})
	}
	if e := s.Signing.KeptError; e != "" {
		add(Cell{"(all)", Bold}, Cell{}, Cell{"not kept", Yellow}, Cell{}, Cell{}, Cell{}, Cell{},
			Cell{"signatures cannot be kept on disk: " + e, Red})
	}
	return t
}

// parent says whether a zone's parent has the DS that CDS ask for, and whether it was told of them.
func (s status) parent(p *admin.Parent) Cell {
	if p == nil {
		return Cell{}
	}
	return Cell{p.Words(s.Time), map[string]Colour{
		admin.ParentFits: Green, admin.ParentTold: Yellow, admin.ParentFailed: Red,
	}[p.State]}
}

func (s status) problems() *Table {
	t := &Table{Heads: []string{"RESOURCE", "IN SERVICE", "WHAT IS WRONG"}}
	for _, p := range s.Problems {
		where := p.Resource
		if p.File != "" {
			where = fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Resource)
		}
		if p.Field != "" {
			where += " " + p.Field
		}
		t.Add(Cell{where, Bold}, Cell{Text: p.InService}, Cell{Text: p.Message})
	}
	return t
}

func (s status) held() *Table {
	t := &Table{}
	for _, h := range s.Held {
		t.Add(Cell{h.Resource, Bold}, Cell{Text: h.Why})
	}
	return t
}
