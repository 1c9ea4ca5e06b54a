package etcd

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// etcd answers when a watch is asked for its progress. Its gRPC proxy does not: it has one watch for many, drops such
// requests and logs each, and a watch of its own that has died looks like one that has nothing to tell. So who hears
// nothing looks where etcd is. Where nothing has happened since what was told last, nothing was missed. Where something
// has, it may be none of the watch's business: then a key is written that the watch has to tell of, the pulse. It is
// below reports/, where the watches of resources and those of reports both look, and is neither.

// proof is what quiet has found.
type proof int

const (
	unproven      proof = iota // etcd did not say, or the watch has yet to tell of the pulse
	missedNothing              // nothing has happened that the watch has not told
	unprovable                 // etcd refuses the pulse: who asks may not write, or there is no space
)

// quiet looks whether nothing has happened in etcd after the revision up to which a watch has told everything. If
// something has, a pulse is written, unless another has written one since: of a thousand who wonder one writes.
func (c *Conn) quiet(ctx context.Context, told Point) proof {
	held, at, err := c.Get(ctx, pulse, KeysOnly())
	switch {
	case err != nil, at.ClusterID != told.ClusterID:
		return unproven
	case at.Revision == told.Revision:
		return missedNothing
	case at.Revision > told.Revision && (held == nil || held.Revision <= told.Revision):
		// Whether it is written, by this or by another, the watch shows.
		_, err = c.Begin().Calm(One(pulse), told.Revision).Put(pulse, nil, 0).Commit(ctx)
		if errors.Is(err, ErrDenied) || errors.Is(err, rpctypes.ErrNoSpace) {
			return unprovable
		}
	}
	return unproven
}

// rarer returns how long to wait until a watch is asked for its progress again, when so many requests in a row had no
// answer: at first as long as given, and longer and longer where nobody seems to answer, up to 128 times.
func rarer(first time.Duration, unanswered int) time.Duration {
	return first << min(max(unanswered-5, 0), 7)
}
