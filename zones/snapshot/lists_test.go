package snapshot_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// Zones come and go, become members of others' catalogs or catalogs themselves, and become unreadable. The catalog's
// texts come and go. Each time, a catalog zone made here equals one made from nothing, and a plain list of the zones.
// If a listed zone cannot be read, the catalog is not whole, and so is not transferred.
func TestCatalogIsWhatThereIs(t *testing.T) {
	const origin = rr.Name("\x03cat\x04test\x00")
	names := []string{"a.test", "b.test", "c.b.test", "d.test"}
	texts := []string{"*", "* group gold", "a.test", "b.test group gold", "e.test"}
	held := func(s *snapshot.Snapshot) map[string]string {
		all := map[string]string{}
		s.Zone(origin).Each(func(name []byte, typ rr.Type, _ int, wire []byte) bool {
			all[rr.Name(name).String()+" "+typ.String()] = string(wire)
			return true
		})
		return all
	}
	rapid.Check(t, func(t *rapid.T) {
		c := catalog.New(func() time.Time { return time.Time{} })
		builder := snapshot.NewBuilder(time.Now)
		state := map[string]string{}
		lists := []string{"*"}
		for rev := range int64(rapid.IntRange(1, 12).Draw(t, "revisions")) {
			b := zones.Batch{Revision: rev + 1, Full: rev == 0, Meant: true}
			if rev == 0 || rapid.IntRange(0, 3).Draw(t, "relist") == 0 {
				lists = rapid.SliceOfNDistinct(rapid.SampledFrom(texts), 1, 3, func(s string) string {
					return strings.Fields(s)[0]
				}).Draw(t, "lists")
				z := &zones.Zone{Origin: "cat.test", Transfer: &zones.Transfer{Members: lists}}
				b.Changes = append(b.Changes, zones.Change{Key: z.Key(), Resource: z, Revision: rev + 1})
			}
			for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 2, rapid.ID).Draw(t, "changed") {
				z := &zones.Zone{Origin: name, Nameservers: []string{"ns.example.net"}}
				c := zones.Change{Key: z.Key(), Revision: rev + 1}
				switch now := rapid.SampledFrom([]string{"plain", "gone", "broken", "brought", "lists"}).Draw(t,
					name); now {
				case "broken":
					c.Err = errors.New("it cannot be read")
					if state[name] == "" {
						state[name] = now
					} // otherwise its last good version stays
				case "brought":
					z.Nameservers, z.Transfer = nil, &zones.Transfer{
						Primaries: []string{"192.0.2.1"},
						Member:    "x.test l",
					}
					c.Resource, state[name] = z, now
				case "lists":
					z.Transfer = &zones.Transfer{Members: []string{"*"}}
					c.Resource, state[name] = z, now
				case "plain":
					c.Resource, state[name] = z, now
				case "gone":
					if rev == 0 {
						continue
					}
					delete(state, name)
				}
				b.Changes = append(b.Changes, c)
			}
			shot, _ := builder.Update(c, c.Apply(b), nil)
			fresh, _ := snapshot.NewBuilder(time.Now).Update(c, catalog.Delta{Full: true}, nil)
			got := held(shot)
			if diff := cmp.Diff(held(fresh), got); diff != "" {
				t.Fatalf("revision %d, from nothing (-) and change by change (+):\n%s", rev+1, diff)
			}
			var want, have []string
			whole := true
			for _, name := range names {
				group, listed := "", slices.Contains(lists, "*")
				if slices.Contains(lists, "* group gold") {
					group, listed = "gold", true
				}
				if slices.Contains(lists, name) {
					group, listed = "", true
				}
				if slices.Contains(lists, name+" group gold") {
					group, listed = "gold", true
				}
				if listed && state[name] == "plain" {
					want = append(want, strings.TrimSpace(name+" "+group))
				}
				whole = whole && !(listed && state[name] == "broken")
			}
			z := shot.Zone(origin)
			if z.Whole() != whole {
				t.Fatalf("revision %d: whole %t, want %t, with %v of %v", rev+1, z.Whole(), whole, lists, state)
			}
			if !whole {
				continue
			}
			for owner, wire := range got {
				if label, is := strings.CutSuffix(owner, ".zones.cat.test PTR"); is {
					target, _, err := rr.CutName([]byte(wire[12:]))
					if err != nil {
						t.Fatal(err)
					}
					group := got["group."+label+".zones.cat.test TXT"]
					if group != "" {
						group = " " + group[13:]
					}
					have = append(have, zones.NameText(target)+group)
				}
			}
			slices.Sort(want)
			slices.Sort(have)
			if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(have)); diff != "" {
				t.Fatalf("revision %d, wanted (-) and listed (+):\n%s", rev+1, diff)
			}
			if text := got["version.cat.test TXT"]; text[12:] != "\x012" {
				t.Fatalf("version %q", text)
			}
		}
	})
}
