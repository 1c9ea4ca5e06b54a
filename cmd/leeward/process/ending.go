package process

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// crew is a group of named goroutines. When the server ends, it waits for them, but only for a limited time. A hanging
// disk, or a build of a million records on a busy machine, must not get the server killed before it has answered the
// queries that it has received.
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

// ended waits until all have ended, but no longer than limit. It returns the names of those still running.
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
