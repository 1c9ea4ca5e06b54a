package steer

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Moment returns Unix seconds for times with a wall clock only. Times that the process took differ by the monotonic
// clock.
func TestMoment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := started.Round(0).Add(time.Duration(rapid.Int64Range(-int64(1e18), int64(1e18)).Draw(t, "after")))
		if got := Moment(at); got != at.Unix() {
			t.Fatalf("%v is %d, want %d", at, got, at.Unix())
		}
		after := started.Add(time.Duration(rapid.Int64Range(0, int64(1e18)).Draw(t, "later")))
		if got := Moment(after); got != after.Unix() {
			t.Fatalf("%v is %d, want %d", after, got, after.Unix())
		}
	})
}
