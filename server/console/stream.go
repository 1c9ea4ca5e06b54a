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

// Published says that answers may have changed. It does not wait for those who listen.
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

// An event stream says "changed" once in streamRest at most, and "alive" when nothing has changed for streamAlive. It
// ends after streamMost, so that a browser that comes back shows again that it may look.
const (
	streamRest  = time.Second
	streamAlive = 5 * time.Second
	streamMost  = 10 * time.Minute
	streamWrite = 10 * time.Second // that a reader may take for one event
)

// events is a stream of server-sent events that say only that a screen is worth fetching again.
func (c *console) events(w http.ResponseWriter, r *http.Request) {
	select {
	case c.streams <- struct{}{}:
		defer func() { <-c.streams }()
	default: // the page asks every few seconds instead
		w.Header().Set("Retry-After", "30")
		http.Error(w, "so many event streams are open that this one waits; the page asks again by itself",
			http.StatusServiceUnavailable)
		return
	}
	if c.Waits != nil {
		c.Waits(r)
	}
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
	for {
		event := "alive"
		select {
		case <-r.Context().Done():
			return
		case <-c.Stopped:
			return
		case <-end.C:
			return
		case <-timer.C:
		case <-changed:
			event, changed = "changed", c.Changes.wait()
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
			case <-time.After(streamRest):
			}
		}
	}
}
