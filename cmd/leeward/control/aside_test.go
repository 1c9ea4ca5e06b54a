package control_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/health"
	"leeward/zones"
)

// gate is an unreadable value whose reader waits until it is open, so that a batch takes as long to apply as a test
// wants.
type gate chan struct{}

func (g gate) Error() string { <-g; return "unreadable" }

// heavy returns a batch of very many changes, and the gate that holds up the last one.
func heavy(revision int64) (zones.Batch, gate) {
	b := zones.Batch{Revision: revision}
	for i := range 20_000 {
		r := &zones.Record{Origin: "example.test", Owner: fmt.Sprint("h", i), Type: "TXT", Data: []string{"x"}}
		b.Changes = append(b.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: revision})
	}
	g := make(gate)
	b.Changes = append(b.Changes, zones.Change{Key: "records/example.test/zzz/TXT", Err: g, Revision: revision})
	return b, g
}

// While a large batch is being applied, verdicts that turn are served at once, nothing of the batch is, and whoever
// asks about the catalog waits. Then all of it is served as one revision, with what came after it.
func TestVerdictsDoNotWaitForALargeBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		b.say("fra", "www-eu/lb-1", "192.0.2.1", health.Up, 1)
		if got := b.answer("www.example.test"); got != "192.0.2.1" {
			t.Fatalf("answer %q, want the first pool's", got)
		}
		large, open := heavy(6)
		b.Batch(large)
		asked := make(chan int64, 1) // perhaps taken up in the same turn as the batch
		go b.Do(t.Context(), func(i control.Inside) { asked <- i.Catalog().VersionOf("records/example.test/h7/TXT") })
		synctest.Wait()
		if len(asked) > 0 {
			t.Error("somebody has seen a catalog that is being changed")
		}
		b.Batch(zones.Batch{Revision: 7, Changes: changes(t, "kind: Endpoint\nname: www-us/lb-1\naddresses: "+
			"[192.0.2.9]\n", 7)})
		b.Condition(zones.Condition{State: zones.Following, Since: time.Now(), Heard: time.Now()})
		b.say("fra", "www-eu/lb-1", "192.0.2.1", health.Down, 2)
		if got := b.answer("www.example.test"); got != "192.0.2.2" {
			t.Errorf("the first pool is down and the answer is %q", got)
		}
		if r, n := b.State().Snapshot.Revision(), b.State().Snapshot.Stats().Records; r != 5 || n > 100 {
			t.Errorf("revision %d with %d records is served while 6 is being applied", r, n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Do(ctx, func(control.Inside) {}); err == nil {
			t.Error("somebody has seen a catalog that is being changed")
		}
		time.Sleep(time.Minute) // what is due by itself goes on
		before := len(b.published)
		close(open)
		if got := b.answer("www.example.test"); got != "192.0.2.9" {
			t.Errorf("answer %q, want what came last", got)
		}
		for _, s := range b.published[before:] {
			if r, n := s.Snapshot.Revision(), s.Snapshot.Stats().Records; r == 6 && n < 20_000 || r < 6 {
				t.Errorf("revision %d with %d records was served", r, n)
			}
		}
		if v := <-asked; v != 6 {
			t.Errorf("who asked meanwhile saw version %d of a record, want 6", v)
		}
		if r := b.State().Snapshot.Revision(); r != 7 {
			t.Errorf("revision %d, want 7", r)
		}
	})
}

// A loop that ends while a large batch is being applied keeps the whole of it.
func TestEndDuringALargeBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		synctest.Wait()
		large, open := heavy(6)
		b.Batch(large)
		synctest.Wait()
		b.stop()
		synctest.Wait()
		close(open)
		if kept := b.saved(); len(kept) == 0 || kept[len(kept)-1] != 6 {
			t.Errorf("kept %v, want 6 last", kept)
		}
	})
}
