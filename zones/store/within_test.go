package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/etcd"
	"leeward/zones/sourcetest"
)

func text(origin, owner string, data ...string) *zones.Record {
	return &zones.Record{Origin: origin, Owner: owner, Type: "TXT", Data: data}
}

func scopeOf(owner string) Scope {
	return Scope{
		Keys:    []zones.Key{"zones/example.test", zones.Key("policies/" + owner + ".example.test")},
		Folders: []string{"records/example.test/" + owner + "/"},
	}
}

// TestChangeWithin: two writers that add to one set at once lose nothing.
func TestChangeWithin(t *testing.T) {
	m := startMember(t)
	writers := []*Store{dial(t, nil, m.url()), dial(t, nil, m.url())}
	const each = 30
	var wg sync.WaitGroup
	for w, e := range writers {
		wg.Go(func() {
			for i := range each {
				_, err := e.ChangeWithin(t.Context(), scopeOf("www"), func(l *Listing) (Plan, error) {
					edit := zones.Edit{New: text("example.test", "www", fmt.Sprintf(`"%d-%d"`, w, i))}
					for _, r := range l.Resources() {
						if was, ok := r.(*zones.Record); ok {
							edit.Old = was
							edit.New.(*zones.Record).Data = append(append([]string(nil), was.Data...),
								edit.New.(*zones.Record).Data...)
						}
					}
					edit.Key = edit.New.Key()
					return Plan{Edits: []zones.Edit{edit}}, nil
				})
				if err != nil {
					t.Errorf("writer %d, %d: %v", w, i, err)
				}
			}
		})
	}
	wg.Wait()
	all := list(t, writers[0]).Resources()
	if len(all) != 1 || len(all[0].(*zones.Record).Data) != 2*each {
		t.Fatalf("%d resources, want one with %d texts: %v", len(all), 2*each, all)
	}
}

// TestChangeWithinRelies: whatever in the scope changes between reading and writing, the change is planned again.
func TestChangeWithinRelies(t *testing.T) {
	m := startMember(t)
	e := dial(t, nil, m.url())
	www := text("example.test", "www", `"a"`)
	if _, err := commit(t, e, list(t, e), Plan{Edits: puts(www)}); err != nil {
		t.Fatal(err)
	}
	for name, meddle := range map[string]func(){
		"a record beside it":     func() { put(t, e, "records/example.test/www/A", `{"data":["192.0.2.1"]}`) },
		"a record is deleted":    func() { del(t, e, "records/example.test/www/A") },
		"the zone":               func() { put(t, e, "zones/example.test", `{"nameservers":["ns.example.test"]}`) },
		"a policy of that name":  func() { put(t, e, "policies/www.example.test", `{}`) },
		"the record is not left": func() { del(t, e, "records/example.test/www/TXT") },
	} {
		if name == "a record is deleted" {
			put(t, e, "records/example.test/www/A", `{"data":["192.0.2.1"]}`)
		}
		plans := 0
		_, err := e.ChangeWithin(t.Context(), scopeOf("www"), func(l *Listing) (Plan, error) {
			if plans++; plans == 1 {
				meddle()
			}
			return Plan{Edits: puts(text("example.test", "www", fmt.Sprintf(`"%s"`, name)))}, nil
		})
		if err != nil || plans != 2 {
			t.Errorf("%s: planned %d times, %v; want twice", name, plans, err)
		}
	}
	plans := 0
	_, err := e.ChangeWithin(t.Context(), scopeOf("www"), func(*Listing) (Plan, error) {
		if plans++; plans == 1 {
			put(t, e, "records/example.test/other/TXT", `{"data":["b"]}`)
		}
		return Plan{Edits: puts(text("example.test", "www", `"c"`))}, nil
	})
	if err != nil || plans != 1 {
		t.Errorf("another name's record: planned %d times, %v; want once", plans, err)
	}
}

// names returns a scope of n names, and a put at each of them.
func names(n int, word string) (Scope, []zones.Edit) {
	s := Scope{Keys: []zones.Key{"zones/example.test"}}
	var edits []zones.Edit
	for i := range n {
		owner := fmt.Sprintf("h%d", i)
		s.Keys = append(s.Keys, zones.Key("policies/"+owner+".example.test"))
		s.Folders = append(s.Folders, "records/example.test/"+owner+"/")
		edits = append(edits, puts(text("example.test", owner, word))...)
	}
	return s, edits
}

// TestChangeWithinMany: one change of any number of names is one revision, whatever etcd takes in one go. It relies
// upon every one of them. Whichever changes meanwhile, in whatever way, nothing is written, and everything is planned
// again.
func TestChangeWithinMany(t *testing.T) {
	m := startCluster(t, 1, patient)[0]
	word := 0
	rapid.Check(t, func(r *rapid.T) {
		word++
		e := dial(t, func(o *etcd.Options) { o.Prefix = fmt.Sprintf("/%d/", word) }, m.url())
		n := rapid.OneOf(rapid.IntRange(1, 130),
			rapid.SampledFrom([]int{40, 41, 127, 128, 129, 1000 / slower, 2000 / slower})).Draw(r, "names")
		s, edits := names(n, `"a"`)
		if _, err := e.ChangeWithin(t.Context(), s, func(*Listing) (Plan, error) {
			return Plan{Edits: edits}, nil
		}); err != nil {
			r.Fatalf("%d names: %v", n, err)
		}
		all := list(t, e)
		if len(all.Changes) != n || all.Changes[0].Revision != all.Changes[n-1].Revision {
			r.Fatalf("%d of %d names are written, of revisions %d and %d", len(all.Changes), n, all.Changes[0].Revision,
				all.Changes[n-1].Revision)
		}
		owner := fmt.Sprintf("h%d", rapid.IntRange(0, n-1).Draw(r, "which"))
		how := rapid.IntRange(0, 5).Draw(r, "how")
		want := 2
		if how == 5 {
			want = 1 // a change outside the names is in nobody's way
		}
		plans := 0
		_, edits = names(n, `"c"`)
		remove := rapid.Bool().Draw(r, "deletes")
		_, err := e.ChangeWithin(t.Context(), s, func(l *Listing) (Plan, error) {
			if plans++; plans == 1 {
				meddlings(t, e, owner)[how]()
			}
			if remove {
				var there []zones.Edit
				for _, c := range l.Changes {
					if c.Key.Kind() == zones.KindRecord {
						there = append(there, zones.Edit{Key: c.Key, Old: c.Resource})
					}
				}
				return Plan{Edits: there, OnPurpose: "update", Alone: true}, nil
			}
			return Plan{Edits: edits}, nil
		})
		if err != nil || plans != want {
			r.Fatalf("%d names, %s: planned %d times, %v; want %d times", n, owner, plans, err, want)
		}
		left := 0
		for _, c := range list(t, e).Changes {
			if c.Key.Kind() == zones.KindRecord && strings.HasSuffix(string(c.Key), "/TXT") &&
				!strings.Contains(string(c.Key), "/other/") {
				left++
				if got := c.Resource.(*zones.Record).Data[0]; got != `"c"` {
					r.Fatalf("%s is %s", c.Key, got)
				}
			}
		}
		if remove && left != 0 || !remove && left != n {
			r.Fatalf("%d of %d are left", left, n)
		}
	})
}

// meddlings are what others may do to a name in scope, and, last, to a name outside it.
func meddlings(t *testing.T, e *Store, owner string) []func() {
	return []func(){
		func() { put(t, e, "records/example.test/"+owner+"/A", `{"data":["192.0.2.1"]}`) },
		func() { put(t, e, "records/example.test/"+owner+"/TXT", `{"data":["b"]}`) },
		func() { del(t, e, "records/example.test/"+owner+"/TXT") },
		func() { put(t, e, "policies/"+owner+".example.test", `{}`) },
		func() { put(t, e, "zones/example.test", `{}`) },
		func() { put(t, e, "records/example.test/other/TXT", `{"data":["b"]}`) },
	}
}

// TestChangeWithinTooMuch: a change too large for one request is refused as a whole.
func TestChangeWithinTooMuch(t *testing.T) {
	m := startMember(t)
	e := dial(t, nil, m.url())
	for _, c := range []struct {
		n    int
		word string
	}{
		{etcd.MostWrites + 1, `"a"`},
		{300, `"` + strings.Repeat("x", 250) + `" "` + strings.Repeat(`x" "`, 1000) + `"`},
	} {
		s, edits := names(c.n, c.word)
		_, err := e.ChangeWithin(t.Context(), s, func(*Listing) (Plan, error) { return Plan{Edits: edits}, nil })
		if !errors.Is(err, ErrTooMuch) {
			t.Errorf("%d names: %v, want ErrTooMuch", c.n, err)
		}
		if n := len(list(t, e).Changes); n != 0 {
			t.Errorf("%d resources are written", n)
		}
	}
}

// TestRemovalsThatWereMeant: followers learn which removals a change made on purpose, and of no others.
func TestRemovalsThatWereMeant(t *testing.T) {
	m := startMember(t)
	e := dial(t, nil, m.url())
	www := text("example.test", "www", `"a"`)
	put(t, e, "records/example.test/other/TXT", `{"data":["b"]}`)
	if _, err := commit(t, e, list(t, e), Plan{Edits: puts(www)}); err != nil {
		t.Fatal(err)
	}
	r := sourcetest.Follow(t, dial(t, nil, m.url()).Follow)
	r.Revision(list(t, e).Revision)
	done, err := e.ChangeWithin(t.Context(), scopeOf("www"), func(*Listing) (Plan, error) {
		return Plan{Edits: deletes(www), OnPurpose: "update", Alone: true}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	del(t, e, "records/example.test/other/TXT")
	r.Revision(list(t, e).Revision)
	r.Mu.Lock()
	defer r.Mu.Unlock()
	for _, b := range r.Batches {
		if b.Meant != (b.Revision == done.Revision) || b.Accepted != 0 {
			t.Errorf("revision %d is said to be meant: %v, accepted: %d; the change was %d", b.Revision, b.Meant,
				b.Accepted, done.Revision)
		}
	}
}
