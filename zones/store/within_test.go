package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"leeward/zones"
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
	writers := []*Etcd{dial(t, nil, m.url()), dial(t, nil, m.url())}
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
							edit.New.(*zones.Record).Data = append(append([]string(nil), was.Data...), edit.New.(*zones.Record).Data...)
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

// TestChangeWithinRelies: whatever of the scope changes between reading and writing, the change is planned again.
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

func TestChangeWithinTooMuch(t *testing.T) {
	m := startMember(t)
	e := dial(t, nil, m.url())
	var s Scope
	var edits []zones.Edit
	for i := range 100 {
		owner := fmt.Sprintf("h%d", i)
		s.Folders = append(s.Folders, "records/example.test/"+owner+"/")
		edits = append(edits, puts(text("example.test", owner, `"a"`))...)
	}
	_, err := e.ChangeWithin(t.Context(), s, func(*Listing) (Plan, error) { return Plan{Edits: edits}, nil })
	if !errors.Is(err, ErrTooMuch) {
		t.Errorf("100 names: %v, want ErrTooMuch", err)
	}
	if n := len(list(t, e).Changes); n != 0 {
		t.Errorf("%d resources are written", n)
	}
	s.Folders, edits = s.Folders[:30], edits[:30]
	if done, err := e.ChangeWithin(t.Context(), s, func(*Listing) (Plan, error) { return Plan{Edits: edits}, nil }); err != nil || len(done.Keys) != 30 {
		t.Errorf("30 names: %+v, %v", done, err)
	}
}

// TestRemovalsThatWereMeant: followers are told which removals a change made on purpose, and that of these only.
func TestRemovalsThatWereMeant(t *testing.T) {
	m := startMember(t)
	e := dial(t, nil, m.url())
	www := text("example.test", "www", `"a"`)
	put(t, e, "records/example.test/other/TXT", `{"data":["b"]}`)
	if _, err := commit(t, e, list(t, e), Plan{Edits: puts(www)}); err != nil {
		t.Fatal(err)
	}
	r := read(t, dial(t, nil, m.url()).Follow)
	r.revision(list(t, e).Revision)
	done, err := e.ChangeWithin(t.Context(), scopeOf("www"), func(*Listing) (Plan, error) {
		return Plan{Edits: deletes(www), OnPurpose: "update", Alone: true}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	del(t, e, "records/example.test/other/TXT")
	r.revision(list(t, e).Revision)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.batches {
		if b.Meant != (b.Revision == done.Revision) || b.Accepted != 0 {
			t.Errorf("revision %d is said to be meant: %v, accepted: %d; the change was %d", b.Revision, b.Meant, b.Accepted, done.Revision)
		}
	}
}
