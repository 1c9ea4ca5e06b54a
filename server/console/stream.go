package console

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Changes tells event streams that answers may have changed.
type Changes struct {
	mu   sync.Mutex
	next chan struct{} // nil: nobody waits
}

// Published announces that answers may have changed. It does not wait for the streams.
func (c *Changes) Published() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		close(c.next)
		c.next = nil
	}
}

// wait returns a channel that is closed at the next change.
func (c *Changes) wait() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = make(chan struct{})
	}
	return c.next
}

// An event stream says "changed" at most once every streamRest, and "alive" when nothing has changed for streamAlive. A
// page fetched right after a change may have been made just before it for somebody else (keptFor). So "changed" is said
// once more after the rest; by then nothing older is kept. A stream ends after streamMost. The browser then comes back
// and must show again that it may look.
const (
	streamRest  = time.Second
	streamAlive = 5 * time.Second
	streamMost  = 10 * time.Minute
	streamWrite = 10 * time.Second // how long a reader may take for one event
)

// listeners are the open event streams, up to a largest number. If one too many comes, one is closed of the address
// that has the most. So no address can have all of them while others have none.
type listeners struct {
	most int

	mu   sync.Mutex
	open map[*listener]struct{}
	of   map[string]int // by address
}

// listener is one event stream.
type listener struct {
	from  string
	since time.Time
	end   chan struct{} // closed when the stream must make room
}

// admit takes in a stream. It returns nil if there is no room, and no address has at least two streams more than this
// one.
func (s *listeners) admit(from string) *listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= s.most {
		var worst *listener
		for l := range s.open {
			if worst == nil || s.of[l.from] > s.of[worst.from] ||
				s.of[l.from] == s.of[worst.from] && l.since.Before(worst.since) {
				worst = l
			}
		}
		if worst == nil || s.of[worst.from] < s.of[from]+2 {
			return nil
		}
		s.forget(worst)
		close(worst.end)
	}
	l := &listener{from: from, since: time.Now(), end: make(chan struct{})}
	s.open[l] = struct{}{}
	s.of[from]++
	return l
}

func (s *listeners) leave(l *listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(l)
}

// forget removes a stream. The caller holds the lock.
func (s *listeners) forget(l *listener) {
	if _, found := s.open[l]; !found {
		return
	}
	delete(s.open, l)
	if s.of[l.from]--; s.of[l.from] == 0 {
		delete(s.of, l.from)
	}
}

// events serves a stream of server-sent events. They say only that a screen is worth fetching again.
func (c *console) events(w http.ResponseWriter, r *http.Request) {
	stream := c.streams.admit(addressOf(r))
	if stream == nil { // the page asks every few seconds instead
		w.Header().Set("Retry-After", "30")
		http.Error(w, "so many event streams are open that this one waits; the page asks again by itself",
			http.StatusServiceUnavailable)
		return
	}
	defer c.streams.leave(stream)
	c.Waits(r)
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // nothing more is read; the server's deadline would end the stream
	secure(w.Header())
	w.Header().Set("Content-Type", "text/event-stream")
	say := func(event string) bool {
		_ = out.SetWriteDeadline(time.Now().Add(streamWrite))
		_, err := fmt.Fprintf(w, "event: %s\ndata:\n\n", event)
		return err == nil && out.Flush() == nil
	}
	if r.Method == http.MethodHead {
		return
	}
	changed := c.Changes.wait()
	if !say("alive") {
		return
	}
	end, timer := time.NewTimer(streamMost), time.NewTimer(streamAlive)
	defer end.Stop()
	defer timer.Stop()
	for more := false; ; { // more: the last change must be announced once more
		event := "alive"
		select {
		case <-r.Context().Done():
			return
		case <-c.Stopped:
			return
		case <-stream.end:
			return
		case <-end.C:
			return
		case <-timer.C:
			if more {
				event, more = "changed", false
			}
		case <-changed:
			event, changed, more = "changed", c.Changes.wait(), true
		}
		if !say(event) {
			return
		}
		timer.Reset(streamAlive)
		if event == "changed" {
			select {
			case <-r.Context().Done():
				return
			case <-c.Stopped:
				return
			case <-stream.end:
				return
			case <-time.After(streamRest):
			}
			if more {
				timer.Reset(0)
			}
		}
	}
}
