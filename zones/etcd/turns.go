package etcd

import (
	"context"
	"time"
)

// Pauses between attempts: after each member that fails, and longer and longer ones after all have failed.
const (
	pace    = 20 * time.Millisecond
	longest = 2 * time.Second
)

// Turns says which member of etcd to speak to: one until it fails, then the next.
type Turns struct {
	cluster *Cluster
	at      int
	failed  int // failures in a row
	rounds  int // long pauses in a row
}

// Turns begins with a random member, so that not all processes speak to the same one.
func (c *Cluster) Turns() Turns {
	n := len(c.Endpoints)
	return Turns{cluster: c, at: min(int(c.Options.Dice()*float64(n)), n-1)}
}

// Member returns the number of the member whose turn it is.
func (t *Turns) Member() int { return t.at }

// Worked says that this member does its work.
func (t *Turns) Worked() { t.failed, t.rounds = 0, 0 }

// Next goes on to the next member after a failure: at once, unless all have failed. It returns false if ctx ends first.
func (t *Turns) Next(ctx context.Context) bool {
	t.at = (t.at + 1) % len(t.cluster.Endpoints)
	if t.failed++; t.failed%len(t.cluster.Endpoints) == 0 {
		return t.Rest(ctx)
	}
	return Sleep(ctx, pace)
}

// Rest waits before the same member is asked again, each time twice as long, up to 2 s. The pauses are spread, so that
// not all processes come back at the same time. It returns false if ctx ends first.
func (t *Turns) Rest(ctx context.Context) bool {
	t.rounds++
	d := min(pace<<min(t.rounds, 7), longest)
	return Sleep(ctx, t.cluster.Spread(d/2))
}

// Spread returns a random time between d and twice d.
func (c *Cluster) Spread(d time.Duration) time.Duration {
	return d + time.Duration(float64(d)*c.Options.Dice())
}

// Sleep waits. It returns false if ctx ends first.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
