package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/zones"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// version is a zone as a primary has it. Each line is a record: owner, relative to the origin, type and data.
func version(t *testing.T, origin string, lines ...string) *snapshot.Version {
	t.Helper()
	apex, err := rr.ParseName(origin)
	if err != nil {
		t.Fatal(err)
	}
	e := snapshot.NewEdition(apex)
	for _, line := range append([]string{"@ SOA . . 1 3600 600 86400 60", "@ NS invalid."}, lines...) {
		f := strings.SplitN(line, " ", 3)
		owner, err := rr.ParseRelative(f[0], apex)
		if err != nil {
			t.Fatal(err)
		}
		typ, _ := rr.ParseType(f[1])
		data, err := rr.ParseData(typ, f[2], apex)
		if err != nil {
			t.Fatal(line, err)
		}
		add := e.Add
		if typ == rr.TypeSOA {
			add = e.SetSOA
		}
		if err := add(rr.Record{Owner: owner, Type: typ, Class: 1, Data: data}); err != nil {
			t.Fatal(line, err)
		}
	}
	v, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// catalogZone is a catalog zone of those lines, and its version.
func catalogZone(t *testing.T, origin string, lines ...string) *snapshot.Version {
	t.Helper()
	return version(t, origin, append(lines, `version TXT "2"`)...)
}

// listed returns the lines for members m0.test, m1.test and so on.
func listed(n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf("l%d.zones PTR m%d.test.", i, i))
	}
	return lines
}

const catalogs = `kind: Zone
name: cat.test
transfer: {primaries: [192.0.2.1 key xfer], catalog: true, allow: [192.0.2.9]}
---
kind: Zone
name: second.test
transfer: {primaries: [192.0.2.2], catalog: true}
`

// members returns the zones in service other than catalogs, each with the catalog and label that list it.
func (b *bench) members() (all []string) {
	b.t.Helper()
	synctest.Wait()
	b.State().Snapshot.EachZone(func(z *snapshot.Zone) bool {
		text := zones.NameText(z.Origin())
		if text == "cat.test" || text == "second.test" {
			return true
		}
		if z.Transfer() != nil && z.Transfer().Member != "" {
			text += " " + z.Transfer().Member
		}
		all = append(all, text)
		return true
	})
	slices.Sort(all)
	return all
}

// standing returns the problems, and what is held back.
func (b *bench) standing() (problems, held string) {
	b.t.Helper()
	if err := b.Do(b.t.Context(), func(i control.Inside) {
		s := i.Summary(time.Now()).Status()
		for _, p := range s.Problems {
			problems += fmt.Sprintln(p.Resource, p.Message)
		}
		for _, h := range s.Held {
			held += fmt.Sprintln(h.Resource)
		}
	}); err != nil {
		b.t.Fatal(err)
	}
	return problems, held
}

func (b *bench) transferred(v *snapshot.Version) {
	b.Transferred(zones.NameText(v.Origin()), snapshot.Transferred{Version: v})
}

// A catalog zone brings its members and removes them. A broken one changes nothing.
func TestCatalogZone(t *testing.T) {
	for _, x := range []struct {
		name    string
		then    []string // lines of the catalog after that which lists m0.test to m3.test
		want    string   // what has gone, come or changed
		problem string
	}{
		{"one comes", append(listed(4), "n.zones PTR New.test.", `version TXT "2"`), "+new.test cat.test n", ""},
		{"one goes", append(listed(3), `version TXT "2"`), "-m3.test cat.test l3", ""},
		{"half goes", append(listed(2), `version TXT "2"`), "-m2.test cat.test l2 -m3.test cat.test l3", ""},
		{"most go", append(listed(1), `version TXT "2"`), "", ""},
		{"all go", []string{`version TXT "2"`}, "", ""},
		{
			"another label", append(listed(3), "x.zones PTR m3.test.", `version TXT "2"`),
			"+m3.test cat.test x -m3.test cat.test l3", "",
		},
		{
			"unknown properties", append(listed(4), "group.l0.zones TXT x", "a.ext.l1.zones PTR a.", `version TXT "2"`),
			"", "",
		},
		{"no version", listed(3), "", "there is no version.cat.test"},
		{"version 1", append(listed(3), `version TXT "1"`), "", "does not have the single TXT"},
		{"two versions", append(listed(3), `version TXT "2"`, `version TXT "3"`), "", "does not have the single TXT"},
		{"two PTR", append(listed(3), "l0.zones PTR m9.test.", `version TXT "2"`), "", "l0.zones.cat.test has 2 PTR"},
		{"twice", append(listed(3), "x.zones PTR m0.test.", `version TXT "2"`), "", "m0.test is a member twice"},
		{
			"two coo", append(listed(3), "coo.l0.zones PTR a.", "coo.l0.zones PTR b.", `version TXT "2"`), "",
			"coo.l0.zones.cat.test has 2 PTR",
		},
		{
			"itself", append(listed(4), "x.zones PTR cat.test.", `version TXT "2"`), "",
			"cat.test is configured here by itself",
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t)
				b.Batch(zones.Batch{Revision: 5, Full: true, Accepted: 5, Changes: changes(t, catalogs, 5)})
				b.transferred(catalogZone(t, "cat.test", listed(4)...))
				before := b.members()
				if len(before) != 4 {
					t.Fatalf("%q", before)
				}
				b.transferred(version(t, "cat.test", x.then...))
				after := b.members()
				var got []string
				for _, z := range after {
					if !slices.Contains(before, z) {
						got = append(got, "+"+z)
					}
				}
				for _, z := range before {
					if !slices.Contains(after, z) {
						got = append(got, "-"+z)
					}
				}
				if strings.Join(got, " ") != x.want {
					t.Errorf("%q, want %q", got, x.want)
				}
				problems, held := b.standing()
				if (x.problem == "") != (problems == "") || !strings.Contains(problems, x.problem) {
					t.Errorf("problems: %q, want %q", problems, x.problem)
				}
				if doubt := strings.HasSuffix(x.name, " go"); doubt != (held != "") {
					t.Errorf("held: %q", held)
				}
			})
		})
	}
}

// If a catalog zone loses many members, they stay until that is accepted, whatever was accepted before. Reading the
// source again changes nothing about members.
func TestCatalogZoneThatShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		full := zones.Batch{Revision: 5, Full: true, Accepted: 5, Changes: changes(t, catalogs, 5)}
		full.AcceptedKeys = map[zones.Key]int64{zones.KeyOf(zones.KindZone, "m0.test"): 4}
		b.Batch(full)
		for _, n := range []int{4, 3, 2, 0} { // a little at a time, but within a minute
			b.transferred(catalogZone(t, "cat.test", listed(n)...))
			b.members()
		}
		for range 2 {
			if got := b.members(); len(got) != 2 {
				t.Errorf("%q, want the two that the catalog has lost at once", got)
			}
			full.Changes = changes(t, catalogs, 5)
			b.Batch(full)
		}
		b.Batch(zones.Batch{Revision: 6, Accepted: 6})
		if got := b.members(); len(got) != 0 {
			t.Errorf("%q although it was accepted", got)
		}
		b.transferred(catalogZone(t, "cat.test", listed(2)...))
		b.Batch(zones.Batch{Revision: 7, Full: true, Changes: changes(t, catalogs, 5)})
		if got := b.members(); len(got) != 2 {
			t.Errorf("%q after the source was read again", got)
		}
	})
}

// A configured zone goes before one that a catalog lists. Of two catalogs, the first keeps a member unless it gives it
// away.
func TestCatalogZoneRivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		own := "---\nkind: Zone\nname: m0.test\nnameservers: [ns.other.test]\n"
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, catalogs+own, 5)})
		b.transferred(catalogZone(t, "second.test", "s.zones PTR m1.test."))
		b.members() // it is the first
		b.transferred(catalogZone(t, "cat.test", listed(3)...))
		want := func(problem string, want ...string) {
			t.Helper()
			if got := b.members(); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			if problems, _ := b.standing(); !strings.Contains(problems, problem) {
				t.Errorf("problems: %q, want %q", problems, problem)
			}
		}
		want("m0.test is configured here by itself", "m0.test", "m1.test second.test s", "m2.test cat.test l2")
		want("stays with second.test", "m0.test", "m1.test second.test s", "m2.test cat.test l2")
		b.transferred(catalogZone(t, "second.test", "s.zones PTR m1.test.", "coo.s.zones PTR cat.test."))
		want("", "m0.test", "m1.test cat.test l1", "m2.test cat.test l2")
		b.Batch(zones.Batch{
			Revision: 6,
			Changes:  []zones.Change{{Key: zones.KeyOf(zones.KindZone, "m0.test"), Revision: 6}},
		})
		want("", "m0.test cat.test l0", "m1.test cat.test l1", "m2.test cat.test l2")
		if problems, _ := b.standing(); problems != "" {
			t.Error(problems)
		}
	})
}

// A catalog zone is answered to nobody, except its SOA to those who may transfer it.
func TestCatalogZoneIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, catalogs, 5)})
		b.transferred(catalogZone(t, "cat.test", listed(1)...))
		b.transferred(catalogZone(t, "second.test", listed(1)...))
		synctest.Wait()
		for _, x := range []struct {
			name string
			typ  rr.Type
			want snapshot.Outcome
		}{
			{"cat.test", rr.TypeSOA, snapshot.Positive},
			{"cat.test", rr.TypeNS, snapshot.Refused},
			{"l0.zones.cat.test", rr.TypePTR, snapshot.Refused},
			{"nothing.cat.test", rr.TypeSOA, snapshot.Refused},
			{"second.test", rr.TypeSOA, snapshot.Refused}, // nobody may transfer it
		} {
			var a snapshot.Answer
			name, _ := rr.ParseName(x.name)
			b.State().Snapshot.Lookup([]byte(name), uint16(x.typ), 1, &a)
			if a.Outcome != x.want {
				t.Errorf("%s %s: %v, want %v", x.name, x.typ, a.Outcome, x.want)
			}
		}
	})
}
