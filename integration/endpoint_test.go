//go:build linux

package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// endpoint is an HTTP server on all addresses of an endpoint, in the test process: its mood is what a scenario changes.
type endpoint struct {
	host *host
	at   []string // addresses and ports

	mu       sync.Mutex
	mood     mood
	slow     pace
	servers  []*http.Server
	probed   int // requests so far
	flapping context.CancelFunc
	history  []turning
	header   func(http.Header) // what it says beside being well
}

// turning is a mood that began.
type turning struct {
	at time.Time
	to mood
}

// wellBetween says whether the endpoint was well at any time in a span.
func (e *endpoint) wellBetween(from, until time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, h := range e.history {
		if h.to == well && h.at.Before(until) && (i+1 == len(e.history) || e.history[i+1].at.After(from)) {
			return true
		}
	}
	return false
}

// pace is how long an endpoint takes to answer: each time another time between these.
type pace struct{ least, most time.Duration }

// mood is how an endpoint answers.
type mood int

const (
	well    mood = iota // 200 and ok, after slow
	failing             // 503
	hanging             // takes the connection and says nothing
	gone                // nothing listens
)

func newEndpoint(t testing.TB, h *host, at ...string) *endpoint {
	t.Helper()
	e := &endpoint{host: h, at: at, mood: gone}
	t.Cleanup(func() { e.turn(gone, pace{}) })
	if err := e.turn(well, pace{}); err != nil {
		t.Fatal(err)
	}
	return e
}

// turn changes the mood. A flapping endpoint no longer flaps.
func (e *endpoint) turn(to mood, slow pace) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.flapping != nil {
		e.flapping()
		e.flapping = nil
	}
	return e.become(to, slow)
}

// says has header add to the answers that say that it is well.
func (e *endpoint) says(header func(http.Header)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.header = header
}

// flap turns between well and failing, each for that long.
func (e *endpoint) flap(each time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.flapping != nil {
		e.flapping()
	}
	e.flapping = cancel
	go func() {
		tick := time.NewTicker(each)
		defer tick.Stop()
		for to := failing; ; to = well + failing - to {
			e.mu.Lock()
			if ctx.Err() == nil {
				e.become(to, pace{})
			}
			e.mu.Unlock()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
}

// become is turn with the mutex held.
func (e *endpoint) become(to mood, slow pace) error {
	was := e.mood
	e.mood, e.slow = to, slow
	e.history = append(e.history, turning{time.Now(), to})
	switch {
	case to == gone:
		for _, s := range e.servers {
			s.Close()
		}
		e.servers = nil
	case was == gone:
		for _, address := range e.at {
			var l net.Listener
			err := e.host.do(func() (err error) { l, err = net.Listen("tcp", address); return err })
			if err != nil {
				return fmt.Errorf("listen on %s: %w", address, err)
			}
			s := &http.Server{Handler: http.HandlerFunc(e.answer)}
			e.servers = append(e.servers, s)
			go s.Serve(l)
		}
	}
	return nil
}

func (e *endpoint) answer(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	mood, slow, header := e.mood, e.slow, e.header
	e.probed++
	e.mu.Unlock()
	if mood == hanging {
		<-r.Context().Done()
		return
	}
	if slow.most > 0 {
		wait := time.NewTimer(slow.least + rand.N(slow.most-slow.least+1))
		defer wait.Stop()
		select {
		case <-r.Context().Done():
			return
		case <-wait.C:
		}
	}
	if mood == failing {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if header != nil {
		header(w.Header())
	}
	fmt.Fprintln(w, "ok")
}
