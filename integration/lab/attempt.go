//go:build linux

package lab

import (
	"fmt"
	"sync"
	"testing"
)

// Attempt stands in for a test that may be started anew. It keeps failures, and what must be cleaned up.
type Attempt struct {
	testing.TB
	mu       sync.Mutex
	Failures []string
	cleanups []func()
}

// over ends an attempt.
type over struct{}

func (a *Attempt) Run(f func()) {
	defer func() {
		for len(a.cleanups) > 0 {
			last := a.cleanups[len(a.cleanups)-1]
			a.cleanups = a.cleanups[:len(a.cleanups)-1]
			last()
		}
	}()
	defer func() {
		if r := recover(); r != nil && r != any(over{}) {
			panic(r)
		}
	}()
	f()
}

func (a *Attempt) Cleanup(f func()) { a.cleanups = append(a.cleanups, f) }

func (a *Attempt) Failed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.Failures) > 0
}

func (a *Attempt) Errorf(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Failures = append(a.Failures, fmt.Sprintf(format, args...))
}

func (a *Attempt) Fatalf(format string, args ...any) {
	a.Errorf(format, args...)
	panic(over{})
}

func (a *Attempt) Fatal(args ...any) { a.Fatalf("%s", fmt.Sprint(args...)) }
