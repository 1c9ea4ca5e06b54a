package history

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
)

// A thousand changes and more remain after a night in which verdicts have pushed out everything else.
func TestChangesOutliveVerdicts(t *testing.T) {
	c := &clock{now: noon}
	o := Options{Folder: filepath.Join(t.TempDir(), "history"), Octets: 4 << 20, Now: c.Now}
	j := Open(o)
	j.book.open()
	j.changes.open()
	for i := range 1500 {
		j.add(Event{Kind: Changed, Revision: int64(i + 1), Time: noon, Changes: []Change{{
			Resource: fmt.Sprint("pools/", i%10), Revision: int64(i + 1), Is: []byte(`{"region":"eu"}`),
		}}})
	}
	turn := &Turn{Endpoint: "www-eu/lb-1", Why: fmt.Sprintf("%0500d", 1)}
	for range 10_000 {
		j.add(Event{Kind: Verdict, Time: noon, Turn: turn})
	}
	j.book.close()
	j.changes.close()
	k := Open(o)
	k.book.open()
	k.changes.open()
	r, err := k.Changes(context.Background(), 0, 0)
	if err != nil || len(r.Changes) != 1500 || r.Oldest != 1 || r.Newest != 1500 {
		t.Fatalf("%d changes from %d to %d, %v", len(r.Changes), r.Oldest, r.Newest, err)
	}
	if got := all(t, k, Query{Of: "change"}); len(got) != 0 {
		t.Fatalf("%d changes are among the events: this test does not push them out", len(got))
	}
	// With another history, counting begins anew. What a start finds again counts once.
	k.add(Event{Kind: Source, Anew: true, Time: noon})
	for range 2 {
		k.add(Event{Kind: Changed, Revision: 7, Time: noon, Changes: []Change{{Resource: "pools/1", Revision: 7}}})
	}
	if r, err = k.Changes(context.Background(), 0, 0); err != nil || len(r.Changes) != 1 || r.Oldest != 7 {
		t.Errorf("after another history: %+v, %v", r, err)
	}
	if r, err = k.Changes(context.Background(), 7, 0); err != nil || len(r.Changes) != 0 || r.Newest != 7 {
		t.Errorf("after revision 7: %+v, %v", r, err)
	}
}
