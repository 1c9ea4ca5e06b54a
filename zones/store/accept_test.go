package store

import (
	"errors"
	"testing"

	"leeward/zones"
	"leeward/zones/sourcetest"
)

// TestAcceptKeys: removals that were accepted by name are delivered as such, to followers and to later listings, until
// everything is accepted. A resource that exists cannot be accepted as removed.
func TestAcceptKeys(t *testing.T) {
	m := startMember(t)
	e := dial(t, nil, m.url())
	put(t, e, "regions/eu-west", regionEU)
	r := sourcetest.Follow(t, e.Follow)
	r.State(zones.Following, 0)
	if _, err := e.AcceptKeys(t.Context(), "me", "regions/gone", "regions/eu-west"); !errors.Is(err, ErrThere) {
		t.Errorf("a region that is there: %v", err)
	}
	revision, err := e.AcceptKeys(t.Context(), "me", "regions/gone", "pools/gone")
	if err != nil {
		t.Fatal(err)
	}
	r.Revision(revision)
	late := sourcetest.Follow(t, e.Follow)
	late.State(zones.Following, 0)
	for name, reader := range map[string]*sourcetest.Reader{"who follows": r, "who lists": late} {
		reader.Mu.Lock()
		told := map[zones.Key]int64{}
		for _, b := range reader.Batches {
			for k, at := range b.AcceptedKeys {
				told[k] = at
			}
			if b.Accepted != 0 {
				t.Errorf("%s is told that all is accepted", name)
			}
		}
		reader.Mu.Unlock()
		if len(told) != 2 || told["regions/gone"] != revision || told["pools/gone"] != revision {
			t.Errorf("%s is told %v", name, told)
		}
	}
	if _, err := e.Accept(t.Context(), "me"); err != nil {
		t.Fatal(err)
	}
	if l := list(t, e); len(l.Granted) != 0 || l.Accepted == 0 {
		t.Errorf("after all was accepted: %v, %d", l.Granted, l.Accepted)
	}
}
