package store

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leeward/zones"
	"leeward/zones/sourcetest"
)

// Whoever writes serials, in whatever order, the highest stays. Followers and listings get it.
func TestKeepSerials(t *testing.T) {
	m := startMember(t)
	writers := []*Store{dial(t, nil, m.url()), dial(t, nil, m.url()), dial(t, nil, m.url())}
	put(t, writers[0], "meta/serials/bad.test", "seven")
	r := sourcetest.Follow(t, dial(t, nil, m.url()).Follow)
	var wg sync.WaitGroup
	for i, e := range writers {
		wg.Go(func() {
			for n := int64(1); n <= 10; n++ {
				s := zones.Serials{
					Base: n * int64(i+1),
					Last: map[string]int64{"example.test": 100*n + int64(i), "bad.test": n},
				}
				if err := e.KeepSerials(t.Context(), s); err != nil {
					t.Errorf("writer %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	want := zones.Serials{Base: 30, Last: map[string]int64{"example.test": 1002, "bad.test": 10}}
	l := list(t, writers[0])
	if d := cmp.Diff(want, l.Serials); d != "" || len(l.Changes) != 0 {
		t.Errorf("listed, with %d resources: %s", len(l.Changes), d)
	}
	if err := writers[1].KeepSerials(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if again := list(t, writers[0]); again.Revision != l.Revision {
		t.Errorf("what is kept already was written again: revision %d after %d", again.Revision, l.Revision)
	}
	r.Revision(l.Revision)
	r.Mu.Lock()
	defer r.Mu.Unlock()
	got := &zones.Serials{}
	for _, b := range r.Batches {
		if b.Serials == nil {
			continue
		}
		if b.Serials.Base != 0 && b.Serials.Base < got.Base || b.Serials.Last["example.test"] != 0 &&
			b.Serials.Last["example.test"] < got.Last["example.test"] {
			t.Errorf("a number fell: %+v after %+v", b.Serials, got)
		}
		got = got.With(*b.Serials)
	}
	if d := cmp.Diff(&want, got); d != "" {
		t.Errorf("followed: %s", d)
	}
}
