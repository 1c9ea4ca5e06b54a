package process

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// crew is the goroutines that a server is made of, by what they do. As it ends it waits for them, and not for ever: a
// disk that hangs, or a build of a million records on a machine that is busy, is no reason to be killed before queries
// that have been received are answered.
type crew struct {
	done    sync.WaitGroup
	mu      sync.Mutex
	working []string
}

// start runs f in a goroutine.
func (c *crew) start(what string, f func()) {
	c.mu.Lock()
	c.working = append(c.working, what)
	c.mu.Unlock()
	c.done.Go(func() {
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			i := slices.Index(c.working, what)
			c.working = slices.Delete(c.working, i, i+1)
		}()
		f()
	})
}

// ended waits until all have ended, limit at most, and returns what goes on then, "" for nothing.
func (c *crew) ended(limit time.Duration) string {
	all := make(chan struct{})
	go func() { defer close(all); c.done.Wait() }()
	bound := time.NewTimer(limit)
	defer bound.Stop()
	select {
	case <-all:
		return ""
	case <-bound.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.working, ", ")
}
