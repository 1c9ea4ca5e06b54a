package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"

	"leeward/zones"
	"leeward/zones/pulse"
)

// watch hands on what etcd says of the keys that begin with a prefix after a point, until it ends, falls silent, loses
// its connection or shows another history, or until each returns an error.
func (f *follower) watch(ctx context.Context, c *clientv3.Client, prefix string, from Point, each func(clientv3.WatchResponse) error) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	// The client would resume a watch by itself over a new connection, perhaps to another history: a lost connection
	// ends the session, and the next one looks first.
	lost := make(chan struct{})
	conn := c.ActiveConnection()
	go func() {
		defer close(lost)
		conn.WaitForStateChange(ctx, connectivity.Ready)
	}()
	created := make(chan struct{}, 1)
	var unanswered atomic.Int64 // requests for progress in a row
	go f.prod(ctx, c, created, &unanswered)
	// Not in fragments: to find where one ends etcd (3.4 to 3.7) measures all of it again at each event, which takes 3
	// s and more for each 1.5 MB of a large delete, and tells nothing else meanwhile. The client puts them together
	// anyway.
	responses := c.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(from.Revision+1), clientv3.WithProgressNotify(),
		clientv3.WithCreatedNotify())
	silence := time.NewTimer(f.o.Silence)
	defer silence.Stop()
	// Spread, so that of many who hear nothing one asks first, and what it writes is heard by all.
	doubtful := time.Duration(float64(f.o.Silence) * (0.5 + f.o.Dice()/8))
	early := min(time.Duration(float64(2*caughtUp)*(1+f.o.Dice())), doubtful)
	doubt := time.NewTimer(doubtful)
	defer doubt.Stop()
	still := make(chan struct{}, 1)
	for {
		select {
		case r, ok := <-responses:
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case !ok:
				return errors.New("the watch ended")
			case r.Err() != nil:
				return r.Err()
			case r.Created && r.Header.ClusterId == 0:
				// etcd's proxy has joined this watch to one that it had already: this is no word of etcd's.
				f.behind = f.sighted
				created <- struct{}{}
				doubt.Reset(early)
				continue
			case r.Header.ClusterId != from.ClusterID || r.Header.Revision < from.Revision:
				return errHistory
			}
			if r.Created {
				created <- struct{}{} // the client says so once
			}
			if r.IsProgressNotify() {
				unanswered.Store(0)
			}
			if err := each(r); err != nil {
				return err
			}
			silence.Reset(f.o.Silence)
			if doubt.Reset(doubtful); r.Created {
				doubt.Reset(early)
			}
		case <-doubt.C:
			if prefix == f.o.Prefix { // else what is written is not where this watch is
				go f.prove(ctx, c, from.ClusterID, still)
			}
		case <-still:
			f.proven()
			silence.Reset(f.o.Silence)
			doubt.Reset(doubtful)
		case <-lost:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return errors.New("the connection was lost")
		case <-silence.C:
			return fmt.Errorf("%w for %v", errSilent, f.o.Silence)
		}
	}
}

// caughtUp is how long after a watch has begun it is first asked for its progress. etcd looks every 100 ms after
// watches that are behind, and before 3.4.25 and 3.5.8 it answers for them as if they were not.
const caughtUp = 250 * time.Millisecond

// prod asks for the watch's progress once it has begun, and again and again, less often where nobody answers. The
// request waits while the stream is not open, so that it has a goroutine to itself.
func (f *follower) prod(ctx context.Context, c *clientv3.Client, created <-chan struct{}, unanswered *atomic.Int64) {
	t := time.NewTicker(f.o.Progress)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-created:
			t.Reset(min(caughtUp, f.o.Progress))
		case <-t.C:
			t.Reset(pulse.Pause(f.o.Progress, int(unanswered.Add(1))))
			if c.RequestProgress(ctx) != nil {
				return
			}
		}
	}
}

// prove looks for a proof of what a watch that says nothing cannot tell: that it has missed nothing. Either nothing has
// happened in etcd, or it will have something to say.
func (f *follower) prove(ctx context.Context, c *clientv3.Client, cluster uint64, still chan<- struct{}) {
	ctx, cancel := context.WithTimeout(ctx, f.o.Silence/2)
	defer cancel()
	if nothing, err := pulse.Ask(ctx, c, f.o.Prefix, cluster, f.Known().Revision); nothing && err == nil {
		still <- struct{}{}
	}
}

// proven is called when all that has happened until now has been delivered.
func (f *follower) proven() {
	f.failures, f.again, f.behind, f.silent = 0, 0, 0, 0
	f.say(Following, nil)
}

// events delivers a response's events, one batch a revision. That a watch has begun says nothing of what it has yet to
// tell: it follows when it has told of what happened before, or says that there is nothing to tell.
func (f *follower) events(r clientv3.WatchResponse) error {
	known := f.Known()
	if r.Created && r.Header.Revision > known.Revision {
		f.behind = r.Header.Revision
		return nil
	}
	for i := 0; i < len(r.Events); {
		b := zones.Batch{Revision: r.Events[i].Kv.ModRevision, Accepted: f.accepted}
		for ; i < len(r.Events) && r.Events[i].Kv.ModRevision == b.Revision; i++ {
			ev := r.Events[i]
			deleted := ev.Type == clientv3.EventTypeDelete
			if !deleted {
				f.last.see(ev.Kv)
			}
			var kept zones.Serials
			if !deleted && f.serial(ev.Kv, &kept) {
				b.Serials = b.Serials.With(kept)
			}
			switch string(ev.Kv.Key) {
			case f.o.Prefix + accepted:
				if !deleted {
					b.Accepted = b.Revision
				}
			case f.o.Prefix + meant:
				b.Meant = !deleted
			}
			if k, ok := strings.CutPrefix(string(ev.Kv.Key), f.o.Prefix+granted); ok && !deleted {
				if b.AcceptedKeys == nil {
					b.AcceptedKeys = map[zones.Key]int64{}
				}
				b.AcceptedKeys[zones.Key(k)] = b.Revision
			}
			if c, ok := f.change(ev.Kv.Key, ev.Kv.Value, b.Revision, deleted); ok {
				b.Changes = append(b.Changes, c)
			}
		}
		known.Revision = b.Revision
		f.advance(known)
		if len(b.Changes) > 0 || b.Accepted != f.accepted || b.Serials != nil || b.AcceptedKeys != nil {
			f.accepted = b.Accepted
			f.deliver(b)
		}
	}
	if len(r.Events) > 0 && known.Revision < f.behind {
		return nil
	}
	f.proven()
	return nil
}
