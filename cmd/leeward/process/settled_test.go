package process

import (
	"strings"
	"testing"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/server/answer"
	"leeward/zones"
	"leeward/zones/document"
)

// A server that ends does not wait for a loop that is applying the copy on disk or a list, which cannot be interrupted.
// It does wait for a loop that is doing less, as that may have something to save.
func TestEndDoesNotWaitForWhatIsLarge(t *testing.T) {
	busy, finish := make(chan bool), make(chan bool)
	l := control.NewLoop(control.LoopOptions{Now: time.Now, Publish: func(answer.State) { busy <- true; <-finish }})
	var core crew
	core.start("loop", func() { l.Run(t.Context()) })
	docs, problems := document.Read("a.yaml", strings.NewReader("{kind: Zone, name: a.test, nameservers: "+
		"[ns.a.test]}"))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	zone := zones.Change{Key: docs[0].Resource.Key(), Resource: docs[0].Resource, Revision: 1}
	for _, x := range []struct {
		what  string
		batch zones.Batch
		lost  bool
	}{
		{"the copy on disk", zones.Batch{Revision: 1, Full: true, Copy: true, Changes: []zones.Change{zone}}, false},
		{"a list", zones.Batch{Revision: 2, Full: true, Changes: []zones.Change{zone}}, false},
		{"many changes", zones.Batch{Revision: 3, Changes: make([]zones.Change, control.LargeBatch)}, false},
		{"one change", zones.Batch{
			Revision: 4,
			Changes:  []zones.Change{{Key: zone.Key, Resource: zone.Resource, Revision: 4}},
		}, true},
	} {
		l.Batch(x.batch)
		<-busy
		if lost := settled(&core, l, 10*time.Millisecond, time.Millisecond) != ""; lost != x.lost {
			t.Errorf("in the middle of %s: something that is lost %t, want %t", x.what, lost, x.lost)
		}
		finish <- true
	}
}
