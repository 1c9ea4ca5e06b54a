package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Each put leaves its value in etcd's history until that is compacted, and heartbeats are puts. An etcd that nobody
// compacts reaches its quota, and then refuses writes. So servers ask for compaction, one of them each time: a server
// changes the key meta/compacted if it is as it was at the server's last look. The others see the change, and wait on.

// compaction is the value of meta/compacted, for people to read.
type compaction struct {
	By   string    `json:"by"`
	Time time.Time `json:"time"`
}

// Compact asks etcd regularly, until ctx ends, to forget what is older than one interval, or two at most. Watches that
// were away for less go on where they were; others list everything again. Of all servers that do this, one asks each
// time. If the interval is zero or less, it does nothing.
func (c *Cluster) Compact(ctx context.Context, by string, every time.Duration) {
	if every <= 0 {
		return
	}
	failed := false
	var seen int64
	// Spread, so that servers that started at the same time do not all write at the same time.
	for Sleep(ctx, every+time.Duration(c.Options.Dice()*float64(every/10))) {
		next, err := c.compact(ctx, by, seen)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failed = false
		case !failed:
			failed = true
			c.Log().Warn("etcd: its history was not compacted; unless etcd does it itself (auto-compaction), it grows "+
				"to its quota", "err", err)
		}
		seen = next
	}
}

// compact is one round. seen is the revision of the key in the last round. compact returns its revision in this one.
func (c *Cluster) compact(ctx context.Context, by string, seen int64) (int64, error) {
	value, err := json.Marshal(compaction{By: by, Time: c.Options.Now().UTC().Round(time.Second)})
	if err != nil {
		return seen, err
	}
	now, err := c.Begin().At(compacted, seen).Put(compacted, value, 0).Commit(ctx)
	if errors.Is(err, ErrConflict) {
		held, _, err := c.Get(ctx, compacted, KeysOnly())
		switch {
		case err != nil:
			return seen, err
		case held == nil:
			return 0, nil
		}
		return held.Revision, nil
	}
	if err != nil || seen == 0 {
		return max(now, seen), err
	}
	call, cancel := c.call(ctx)
	defer cancel()
	// The key's own revision was etcd's revision at that time.
	if _, err = c.Client.Compact(call, seen); errors.Is(err, rpctypes.ErrCompacted) {
		err = nil
	}
	return now, err
}
