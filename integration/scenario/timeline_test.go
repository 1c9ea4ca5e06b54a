//go:build linux

package scenario

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// timeline collects what happened when, by the clock of the test process or of the servers, which is the same
// machine's.
type timeline struct {
	mu     sync.Mutex
	zero   time.Time
	events []event
}

type event struct {
	at         time.Time
	what, whom string
}

// add notes an event.
func (l *timeline) add(at time.Time, what, whom string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, event{at, what, whom})
}

// String prints the events in order as a table, in seconds after zero.
func (l *timeline) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.SortStableFunc(l.events, func(a, b event) int { return a.at.Compare(b.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "| %9s | %-44s | %-22s |\n|----------:|%s|%s|\n", "s", "event", "of", strings.Repeat("-", 46),
		strings.Repeat("-", 24))
	for _, e := range l.events {
		fmt.Fprintf(&b, "| %9.3f | %-44s | %-22s |\n", e.at.Sub(l.zero).Seconds(), e.what, e.whom)
	}
	return b.String()
}
