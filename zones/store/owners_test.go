package store

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/etcd"
)

// TestOwners: however resources are written and deleted, a plain account knows their owners: whoever was given a
// resource last owns it, for as long as it exists.
func TestOwners(t *testing.T) {
	m := startMember(t)
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		e := dial(t, func(o *etcd.Options) { o.Prefix = fmt.Sprintf("/%d/", run) }, m.url())
		there, owner := map[string]bool{}, map[zones.Key]string{}
		for step := range rapid.IntRange(1, 25).Draw(r, "steps") {
			name := rapid.SampledFrom([]string{"a", "b"}).Draw(r, "name")
			key := zones.Key("records/example.test/" + name + "/TXT")
			said := text("example.test", name, fmt.Sprintf(`"%d"`, step))
			change := func(within bool, edits []zones.Edit, owners map[zones.Key]string) {
				var err error
				plan := func(*Listing) (Plan, error) { return Plan{Edits: edits, Owners: owners}, nil }
				if within {
					_, err = e.ChangeWithin(t.Context(), scopeOf(name), plan)
				} else {
					_, err = e.Change(t.Context(), plan)
				}
				if err != nil {
					r.Fatal(err)
				}
			}
			who := rapid.SampledFrom([]string{"", "team-a", "team-b"}).Draw(r, "who")
			how := rapid.SampledFrom([]string{
				"apply", "give", "delete", "update", "update deletes", "put by hand",
				"deleted by hand",
			}).Draw(r, "how")
			switch how {
			case "apply", "update":
				edits, owners := puts(said), map[zones.Key]string{}
				if how == "update" {
					if who = "update"; there[name] {
						who = ""
					}
				}
				if who != "" {
					owners[key], owner[key] = who, who
				}
				change(how == "update", edits, owners)
				there[name] = true
			case "give":
				if there[name] && who != "" {
					change(false, nil, map[zones.Key]string{key: who})
					owner[key] = who
				}
			case "delete", "update deletes":
				if there[name] {
					change(how != "delete", deletes(said), nil)
					if answer, err := e.Client.Get(t.Context(), e.Prefix()+string(markOf(key))); err != nil ||
						len(answer.Kvs) != 0 {
						r.Fatalf("a deletion leaves the mark: %v, %v", answer, err)
					}
				}
				delete(there, name)
				delete(owner, key)
			case "put by hand":
				put(t, e, string(key), `{"data":["x"]}`)
				there[name] = true
			case "deleted by hand":
				del(t, e, string(key))
				delete(there, name)
				delete(owner, key)
			}
			l := list(t, e)
			if len(l.Changes) != len(there) || !maps.Equal(l.Owners, owner) {
				r.Fatalf("after %s of %s by %q: %d resources, %v; want %v, %v", how, name, who, len(l.Changes),
					l.Owners, there, owner)
			}
			if some, err := e.List(t.Context(), zones.KindRecord); err != nil || !maps.Equal(some.Owners, owner) {
				r.Fatalf("of records alone: %v, %v; want %v", some.Owners, err, owner)
			}
		}
		for _, c := range list(t, e).Changes {
			if strings.HasPrefix(string(c.Key), etcd.Meta) {
				r.Fatalf("%s is delivered as a resource", c.Key)
			}
		}
	})
}

// TestOwnersConflict: two that take over the same resource at once do not both get it, although neither changes it.
func TestOwnersConflict(t *testing.T) {
	m := startMember(t)
	e := dial(t, nil, m.url())
	put(t, e, "regions/eu-west", regionEU)
	base := list(t, e)
	give := func(owner string) error {
		_, err := commit(t, e, base, Plan{Owners: map[zones.Key]string{"regions/eu-west": owner}})
		return err
	}
	if err := give("team-a"); err != nil {
		t.Fatal(err)
	}
	if err := give("team-b"); err == nil {
		t.Error("the second one has it as well")
	}
	if got := list(t, e).Owners["regions/eu-west"]; got != "team-a" {
		t.Errorf("it is %q's", got)
	}
	base = list(t, e)
	del(t, e, "regions/eu-west")
	if err := give("team-b"); err == nil {
		t.Error("what is not there any more was given away")
	}
}
