package etcd

import (
	"context"
	"time"
)

// Pauses between attempts: after each member that fails, and after all of them have failed, when they become longer and
// longer.
const (
	pace    = 20 * time.Millisecond
	longest = 2 * time.Second
)

// Turns is whose turn it is among the members of etcd: one is spoken to until it fails, then the next.
type Turns struct {
	cluster *Cluster
	at      int
	failed  int // in a row
	rounds  int // pauses that were for longer, in a row
}

// Turns begins anywhere, so that not all who begin at once speak to the same member.
func (c *Cluster) Turns() Turns {
	n := len(c.Endpoints)
	return Turns{cluster: c, at: min(int(c.Options.Dice()*float64(n)), n-1)}
}

// Member returns the number of the member whose turn it is.
func (t *Turns) Member() int { return t.at }

// Worked tells that this member does what it is asked for.
func (t *Turns) Worked() { t.failed, t.rounds = 0, 0 }

// Next goes on to the next member after a failure, at once unless all have failed. It returns false if ctx ends first.
func (t *Turns) Next(ctx context.Context) bool {
	t.at = (t.at + 1) % len(t.cluster.Endpoints)
	if t.failed++; t.failed%len(t.cluster.Endpoints) == 0 {
		return t.Rest(ctx)
	}
	return Sleep(ctx, pace)
}

// Rest waits before the same member is asked again, twice as long each time up to 2 s. The pauses of many are spread,
// so that they do not come back all at once. It returns false if ctx ends first.
func (t *Turns) Rest(ctx context.Context) bool {
	t.rounds++
	d := min(pace<<min(t.rounds, 7), longest)
	return Sleep(ctx, t.cluster.Spread(d/2))
}

// Spread returns a time between that and twice as much.
func (c *Cluster) Spread(d time.Duration) time.Duration {
	return d + time.Duration(float64(d)*c.Options.Dice())
}

// Sleep waits, and returns false if ctx ends first.
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
