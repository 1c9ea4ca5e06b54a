//go:build linux

package lab

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

// Endpoint is an HTTP server on all addresses of an endpoint, in the test process. A scenario changes its mood.
type Endpoint struct {
	host *Host
	at   []string // addresses and ports

	mu       sync.Mutex
	mood     Mood
	slow     Pace
	servers  []*http.Server
	probed   int // requests so far
	flapping context.CancelFunc
	history  []turning
	header   func(http.Header) // what it says beside being well
}

// turning is a mood that began.
type turning struct {
	at time.Time
	to Mood
}

// WellBetween says whether the endpoint was well at any time in a span.
func (e *Endpoint) WellBetween(from, until time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, h := range e.history {
		if h.to == Well && h.at.Before(until) && (i+1 == len(e.history) || e.history[i+1].at.After(from)) {
			return true
		}
	}
	return false
}

// Pace is how long an endpoint takes to answer: a random time between these two.
type Pace struct{ Least, Most time.Duration }

// Mood is how an endpoint answers.
type Mood int

const (
	Well    Mood = iota // 200 and ok, after slow
	Failing             // 503
	Hanging             // accepts the connection and says nothing
	Gone                // nothing listens
)

func NewEndpoint(t testing.TB, h *Host, at ...string) *Endpoint {
	t.Helper()
	e := &Endpoint{host: h, at: at, mood: Gone}
	t.Cleanup(func() { e.Turn(Gone, Pace{}) })
	if err := e.Turn(Well, Pace{}); err != nil {
		t.Fatal(err)
	}
	return e
}

// Turn changes the mood. It ends flapping.
func (e *Endpoint) Turn(to Mood, slow Pace) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.flapping != nil {
		e.flapping()
		e.flapping = nil
	}
	return e.become(to, slow)
}

// Says has header change the answers that say that the endpoint is well.
func (e *Endpoint) Says(header func(http.Header)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.header = header
}

// Flap alternates between well and failing, each for that long.
func (e *Endpoint) Flap(each time.Duration) {
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
		for to := Failing; ; to = Well + Failing - to {
			e.mu.Lock()
			if ctx.Err() == nil {
				e.become(to, Pace{})
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

// become is Turn. The caller holds the mutex.
func (e *Endpoint) become(to Mood, slow Pace) error {
	was := e.mood
	e.mood, e.slow = to, slow
	e.history = append(e.history, turning{time.Now(), to})
	switch {
	case to == Gone:
		for _, s := range e.servers {
			s.Close()
		}
		e.servers = nil
	case was == Gone:
		for _, address := range e.at {
			var l net.Listener
			err := e.host.Do(func() (err error) { l, err = net.Listen("tcp", address); return err })
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

func (e *Endpoint) answer(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	mood, slow, header := e.mood, e.slow, e.header
	e.probed++
	e.mu.Unlock()
	if mood == Hanging {
		<-r.Context().Done()
		return
	}
	if slow.Most > 0 {
		wait := time.NewTimer(slow.Least + rand.N(slow.Most-slow.Least+1))
		defer wait.Stop()
		select {
		case <-r.Context().Done():
			return
		case <-wait.C:
		}
	}
	if mood == Failing {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if header != nil {
		header(w.Header())
	}
	fmt.Fprintln(w, "ok")
}
