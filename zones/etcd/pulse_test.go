package etcd

import (
	"testing"
	"time"
)

// Requests that are answered now and then come as often as at first. Without any answer they become rare, and never
// stop.
func TestRarer(t *testing.T) {
	for unanswered, want := range map[int]time.Duration{
		0: 2 * time.Second, 1: 2 * time.Second, 5: 2 * time.Second, 6: 4 * time.Second, 12: 256 * time.Second,
		13:      256 * time.Second,
		1 << 40: 256 * time.Second,
	} {
		if got := rarer(2*time.Second, unanswered); got != want {
			t.Errorf("after %d without an answer: %v, want %v", unanswered, got, want)
		}
	}
}
