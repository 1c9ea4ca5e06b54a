package etcd

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Turns stays with one member until it fails, and then goes to the others at once. When all have failed, the pauses
// grow up to 2 s. A success makes them short again.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dice := 0.5
		c := &Cluster{Endpoints: []string{"a", "b", "c"}, Options: Options{Dice: func() float64 { return dice }}}
		turns := c.Turns()
		if turns.Member() != 1 {
			t.Errorf("it begins with %d", turns.Member())
		}
		next := func() time.Duration {
			t.Helper()
			before, began := turns.Member(), time.Now()
			if !turns.Next(t.Context()) || turns.Member() != (before+1)%3 {
				t.Errorf("from %d to %d", before, turns.Member())
			}
			return time.Since(began)
		}
		var last time.Duration
		for round := range 10 {
			if a, b := next(), next(); a != pace || b != pace {
				t.Errorf("round %d: %v and %v until another member is asked", round, a, b)
			}
			rest := next()
			if rest < last || rest > longest || round == 0 && rest > 2*pace || round == 9 && rest < longest/2 {
				t.Errorf("round %d: a rest of %v after one of %v", round, rest, last)
			}
			last = rest
		}
		turns.Worked()
		if a, b, rest := next(), next(), next(); a != pace || b != pace || rest > 2*pace {
			t.Errorf("after what worked: %v, %v, %v", a, b, rest)
		}
		dice = 0.99 // nearly the highest number: it still selects a member
		if turns := c.Turns(); turns.Member() != 2 {
			t.Errorf("it begins with %d", turns.Member())
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if turns.Next(ctx) || turns.Rest(ctx) {
			t.Error("it goes on after the end")
		}
	})
}
