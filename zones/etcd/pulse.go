package etcd

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// etcd answers when a watch asks for its progress, but etcd's gRPC proxy does not. The proxy serves many watches from
// one of its own, drops such requests and logs each. When its own watch dies, it seems that nothing happens any more.
//
// So a watch that hears nothing looks where etcd is. If nothing has happened since the last event, nothing was missed.
// If something has, it may be outside the watch's range. Then the watch writes a key that it must hear of: the pulse.
// The pulse is below reports/, where both the watches of resources and those of reports look, and belongs to neither.

// proof is the result of quiet.
type proof int

const (
	unproven      proof = iota // etcd did not say, or the watch has not heard of the pulse yet
	missedNothing              // the watch has delivered everything that happened
	unprovable                 // etcd refuses the pulse: the user may not write, or the database is full
)

// quiet finds out whether nothing has happened in etcd since the revision up to which a watch has delivered everything.
// If something has, it writes a pulse, unless another server has written one since. So of a thousand servers that
// wonder, one writes.
func (c *Conn) quiet(ctx context.Context, told Point) proof {
	held, at, err := c.Get(ctx, pulse, KeysOnly())
	switch {
	case err != nil, at.ClusterID != told.ClusterID:
		return unproven
	case at.Revision == told.Revision:
		return missedNothing
	case at.Revision > told.Revision && (held == nil || held.Revision <= told.Revision):
		// The watch will hear of it, whoever wrote it.
		_, err = c.Begin().Calm(One(pulse), told.Revision).Put(pulse, nil, 0).Commit(ctx)
		if errors.Is(err, ErrDenied) || errors.Is(err, rpctypes.ErrNoSpace) {
			return unprovable
		}
	}
	return unproven
}

// rarer returns how long to wait before a watch is asked for its progress again. It begins with first, and grows up to
// 128 times as long while requests stay unanswered.
func rarer(first time.Duration, unanswered int) time.Duration {
	return first << min(max(unanswered-5, 0), 7)
}
