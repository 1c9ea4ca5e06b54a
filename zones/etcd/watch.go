package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"
)

// Why a watch ends although etcd has not ended it. ErrHistory: etcd now has another history than the one that the watch
// has delivered, or an older state of it. ErrSilent: nothing was heard for too long.
var (
	ErrHistory = errors.New("etcd's history is not the one that was followed")
	ErrSilent  = errors.New("the watch has been silent")
)

// Watch says what its caller wants to be told of.
//
//	begins ── etcd may be ahead ──▶ events … ──▶ has told of all before it began: News.All
//	  │                                             │
//	  └ asked for progress, first after caughtUp, then every third of Silence, rarer where nobody answers (a proxy)
//	                                                │
//	      ahead, or nothing for half of Silence ────┘ Conn.quiet proves that nothing was missed, or writes a pulse
//	      nothing for all of Silence: ErrSilent
//
// While etcd is ahead, its answers about progress do not count: before 3.4.25 and 3.5.8 it claims that a watch has been
// told of everything, although a million keys are still to come. Only an event shows how far a watch is, and the pulse
// is one. If no pulse can be seen or written (another range, a user who may only read, a full database), etcd's answer
// counts after all.
type Watch struct {
	Range Range
	After Point            // what is known; the first event is of a later revision
	Ahead int64            // a revision that etcd has reached, as the caller has seen; 0: none after After
	Told  func(News) error // called from the caller's goroutine; an error ends the watch
}

// News is what a watch delivers at one time.
type News struct {
	Events []Event // in order; all events of one revision are in one News
	All    bool    // with these, everything up to now has been delivered
}

// Event is a key that was put or deleted.
type Event struct {
	KV      // Revision is that of the event
	Deleted bool
}

// caughtUp is how long after its begin a watch is first asked for its progress. etcd looks after watches that are
// behind every 100 ms.
const caughtUp = 250 * time.Millisecond

// watching is a running watch.
type watching struct {
	Watch
	conn       *Conn
	silence    time.Duration
	told       Point        // what has been delivered; at first Watch.After
	behind     int64        // a revision that the watch still has to reach; 0: nothing was missed
	trusting   bool         // etcd's answers about progress count although the watch is behind
	begun      chan bool    // gets a value when the watch exists, and when progress is to be asked for soon
	unanswered atomic.Int64 // requests for progress, in a row
}

// Watch delivers what happens, until ctx ends, Told returns an error, or it returns ErrHistory, ErrSilent, ErrCompacted
// or the error of a lost connection. The caller then begins another watch, from what has been delivered.
func (c *Conn) Watch(ctx context.Context, w Watch) error {
	watcher := clientv3.NewWatcher(c.Client) // its own stream, which can be given up
	defer watcher.Close()
	ctx, cancel := context.WithCancel(Led(ctx))
	defer cancel() // before Close, which waits for it
	s := &watching{Watch: w, conn: c, silence: c.cluster.Options.Silence, told: w.After, begun: make(chan bool, 1)}
	// The client would resume a watch by itself over a new connection, perhaps to another history with lower revisions.
	// That watch would answer every request for progress, but deliver no change until the history had counted as far.
	// So a lost connection ends the watch, and whoever begins another looks first.
	lost := make(chan struct{})
	conn := c.Client.ActiveConnection()
	go func() {
		defer close(lost)
		conn.WaitForStateChange(ctx, connectivity.Ready)
	}()
	go s.ask(ctx, watcher)
	// Events are not sent in fragments. To find where a fragment ends, etcd (3.4 to 3.7) measures the rest again at
	// each event. That takes 3 s and more for each 1.5 MB of a large delete, and meanwhile etcd sends nothing else. The
	// client joins fragments anyway.
	from, to := c.cluster.ends(w.Range)
	var responses clientv3.WatchChan
	opened := make(chan clientv3.WatchChan, 1)
	go func() { // the client waits here until etcd has made the watch, however long that takes
		opened <- watcher.Watch(ctx, from, clientv3.WithRange(to), clientv3.WithRev(w.After.Revision+1),
			clientv3.WithProgressNotify(), clientv3.WithCreatedNotify())
	}()
	silence := time.NewTimer(s.silence)
	defer silence.Stop()
	due := time.Now().Add(s.silence)
	grace := func(d time.Duration) {
		silence.Reset(d)
		due = time.Now().Add(d)
	}
	// Spread out, so that of many that hear nothing one looks first, and all hear what it writes.
	doubtful := s.silence/2 + time.Duration(float64(s.silence)*c.cluster.Options.Dice()/8)
	doubt := time.NewTimer(doubtful)
	defer doubt.Stop()
	s.trusting = !w.Range.holds(pulse) // this watch would not see the pulse
	proofs := make(chan proof, 1)
	for {
		select {
		case responses = <-opened:
		case r, ok := <-responses:
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case !ok:
				return errors.New("the watch ended")
			case r.Err() != nil:
				return rpctypes.Error(r.Err())
			}
			heard, err := s.take(&r)
			if err != nil {
				return err
			}
			if heard {
				grace(s.silence)
				doubt.Reset(doubtful)
			}
			if r.Created {
				doubt.Reset(min(c.cluster.Spread(2*caughtUp), doubtful))
			}
		case <-doubt.C:
			if w.Range.holds(pulse) {
				go s.prove(ctx, s.told, proofs)
			}
		case p := <-proofs:
			switch p {
			case unproven:
				doubt.Reset(doubtful)
			case unprovable:
				s.trusting = true
				select {
				case s.begun <- true: // ask soon
				default:
				}
			case missedNothing:
				grace(s.silence)
				doubt.Reset(doubtful)
				if err := s.tell(News{All: true}); err != nil {
					return err
				}
			}
		case <-lost:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return errors.New("the connection was lost")
		case <-silence.C: // its value is when it was due, however late it arrives
			if time.Since(due) > s.silence/6 {
				// This process stood still. What has come meanwhile is still in the socket, and nothing was asked of
				// etcd either. A new list would not say how old others' reports are.
				grace(s.silence / 2)
				continue
			}
			return fmt.Errorf("%w for %v", ErrSilent, s.silence)
		}
	}
}

// take delivers what a response has. heard is false if it proves nothing about etcd. That a watch exists says nothing
// about what it still has to deliver.
func (s *watching) take(r *clientv3.WatchResponse) (heard bool, err error) {
	if r.Created {
		s.begun <- true              // the client says so once, before anything else
		if r.Header.ClusterId == 0 { // etcd's proxy has joined this watch to an older one
			s.behind = s.Ahead
			return false, nil
		}
		s.behind = r.Header.Revision
	}
	if r.Header.ClusterId != s.After.ClusterID || r.Header.Revision < s.After.Revision {
		return true, ErrHistory
	}
	if r.IsProgressNotify() {
		s.unanswered.Store(0)
		if s.behind > s.told.Revision && !s.trusting {
			return false, nil
		}
	}
	if r.Created && s.behind > s.told.Revision {
		return true, nil
	}
	n := News{All: true}
	if len(r.Events) > 0 {
		n.Events = make([]Event, len(r.Events))
		for i, e := range r.Events {
			n.Events[i] = Event{s.conn.cluster.kv(e.Kv), e.Type == clientv3.EventTypeDelete}
		}
		s.told.Revision = n.Events[len(n.Events)-1].Revision
		n.All = s.told.Revision >= s.behind
	}
	return true, s.tell(n)
}

func (s *watching) tell(n News) error {
	if n.All {
		s.behind = 0
	}
	return s.Told(n)
}

// ask asks for the watch's progress once it exists, and then again and again, less often while nobody answers. A
// request blocks while the stream is not open, so ask has a goroutine of its own.
func (s *watching) ask(ctx context.Context, w clientv3.Watcher) {
	t := time.NewTicker(s.silence / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.begun:
			t.Reset(min(caughtUp, s.silence/3))
		case <-t.C:
			t.Reset(rarer(s.silence/3, int(s.unanswered.Add(1))))
			if w.RequestProgress(ctx) != nil {
				return
			}
		}
	}
}

// prove looks for a proof that a silent watch has missed nothing. Either nothing has happened in etcd, or the watch
// will soon deliver something.
func (s *watching) prove(ctx context.Context, told Point, proofs chan<- proof) {
	ctx, cancel := context.WithTimeout(ctx, s.silence/2)
	defer cancel()
	select {
	case proofs <- s.conn.quiet(ctx, told):
	default: // there is one already
	}
}
