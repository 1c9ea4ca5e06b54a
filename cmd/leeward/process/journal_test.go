package process

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/geo"
	"leeward/health/resolve"
	"leeward/server/answer"
	"leeward/server/transfer"
	"leeward/zones"
	"leeward/zones/document"
	"leeward/zones/steer"
)

// hanging is a writer that blocks until it is released.
type hanging struct {
	gone chan struct{}

	mu   sync.Mutex
	text bytes.Buffer
}

func (h *hanging) Write(b []byte) (int, error) {
	<-h.gone
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(b)
}

func (h *hanging) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

func plain(w io.Writer) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
}

// A log that nobody reads holds up nobody. Lines that do not fit are counted, and reported once somebody reads.
func TestJournalNobodyReads(t *testing.T) {
	w := &hanging{gone: make(chan struct{})}
	j, log := NewJournal(w, plain)
	log.Info("the first")
	const lines = 50_000 // of at least 40 octets each: more than fit
	for i := range lines {
		log.Info("a line of the log", "number", i)
	}
	dropped := j.Dropped()
	if dropped == 0 || dropped >= lines {
		t.Fatalf("%d of %d lines dropped", dropped, lines)
	}
	if j.Flush(time.Millisecond) {
		t.Error("all is said to be written, and nobody has read anything")
	}
	close(w.gone)
	if !j.Flush(time.Minute) {
		t.Fatal("not written although it is read")
	}
	text := w.String()
	if n := uint64(strings.Count(text, "a line of the log")); n+dropped != lines {
		t.Errorf("%d lines written and %d dropped, of %d", n, dropped, lines)
	}
	for _, want := range []string{"the first", "lines of this log are lost", fmt.Sprintf("lines=%d", dropped)} {
		if !strings.Contains(text, want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	log.Info("the last")
	if !j.Flush(time.Minute) || !strings.Contains(w.String(), "the last") {
		t.Error("what comes later is not written")
	}
}

// Nothing in a turn waits for a pipe, a disk or a socket. Here all of the loop's writers hang. Each change is still
// published, thousands of problems are logged, and the loop ends when asked.
func TestTurnWaitsForNoWriter(t *testing.T) {
	w := &hanging{gone: make(chan struct{})}
	defer close(w.gone)
	_, log := NewJournal(w, plain)
	// None of these has a goroutine that takes jobs: each stands as if it hung in its first write.
	keeper := newKeeper(t.TempDir(), log, time.Now)
	serials := newSerialKeeper(nil, log, rand.Float64)
	memory := newMemory(t.TempDir(), log)
	r := &run{programs: make(chan *steer.Program, 1)}
	published := make(chan int64, 1)
	loop := control.NewLoop(control.LoopOptions{
		Log: log, Now: time.Now, Own: "fra",
		Publish: func(s answer.State) {
			select {
			case <-published:
			default:
			}
			published <- s.Snapshot.Revision()
		},
		Assign: r.assign, Owed: serials.owes, Keep: keeper.keep, Recall: memory.keep,
		Follow:  func([]transfer.Assignment) {},
		Sources: func() []geo.Source { return nil },
		Names:   func(string) (resolve.Answer, bool) { return resolve.Answer{}, false },
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); loop.Run(ctx) }()
	limited, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	region := func(revision int64) zones.Change {
		key := zones.Key(fmt.Sprintf("regions/r%d", revision))
		_, err := document.Decode(key, []byte(fmt.Sprintf(`{"unknown%d": "%s"}`, revision, strings.Repeat("x", 4000))))
		if err == nil {
			t.Fatal("an unknown field is no problem")
		}
		return zones.Change{Key: key, Err: fmt.Errorf("%w %s", err, strings.Repeat("long ", 800)), Revision: revision}
	}
	loop.Batch(zones.Batch{Revision: 1, Full: true})
	const changes = 600
	for revision := int64(2); revision < 2+changes; revision++ {
		loop.Batch(zones.Batch{Revision: revision, Changes: []zones.Change{region(revision)}})
		if err := loop.Do(limited, func(control.Inside) {}); err != nil {
			t.Fatalf("the loop stands still at revision %d: %v", revision, err)
		}
		if at := <-published; at != revision {
			t.Fatalf("revision %d is published, want %d", at, revision)
		}
	}
	stop()
	select {
	case <-done:
	case <-limited.Done():
		t.Error("the loop does not end")
	}
}
