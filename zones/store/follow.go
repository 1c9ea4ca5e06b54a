package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/zones"
)

// State is how well a source is followed.
type State string

// The states of a source.
const (
	Syncing        State = "syncing"         // reading everything; nothing has been missed yet
	Following      State = "following"       // changes arrive as they are made
	CutOff         State = "cut off"         // the last good state stays in service; trying on
	HistoryChanged State = "history changed" // the source has another history than the one that was followed: held until accepted
)

// Condition is how a source is doing.
type Condition struct {
	State     State
	Since     time.Time // of this state
	Err       error     // why it is not Following; nil when it is
	Endpoint  string    // the member of etcd that was spoken to last, or the folder
	Heard     time.Time // when the source last proved that nothing was missed; zero: never
	Revision  int64     // up to which everything has been delivered
	ClusterID uint64    // of the history that is in service; 0 for a folder
	Other     Point     // the history that is held, where State is HistoryChanged
}

// Resume tells which history the receiver of Follow already has, from a copy on disk: if etcd has another one, it is
// held until accepted. Call it before Follow.
func (e *Etcd) Resume(p Point) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.known = p
}

// Known returns the history that the receiver of Follow has, to be kept beside a copy on disk.
func (e *Etcd) Known() Point {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.known
}

// Follow delivers everything there is, then every change as it is made, until ctx ends; it returns ctx's error and no
// other. Both functions are called from the calling goroutine, batches in the order of their revisions; the changes of
// one revision are in one batch. While etcd is away, Follow keeps trying.
func (e *Etcd) Follow(ctx context.Context, deliver func(zones.Batch), tell func(Condition)) error {
	f := &follower{Etcd: e, deliver: deliver, tell: tell, next: int(e.o.Dice() * float64(len(e.endpoints)))}
	f.condition.Since = e.o.Now()
	f.say(Syncing, nil)
	for {
		endpoint := e.endpoints[f.next%len(e.endpoints)]
		f.condition.Endpoint = endpoint
		err := f.session(ctx, endpoint)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errAgain) {
			if f.again++; f.again <= 3 {
				continue
			}
			// Whatever it is never content with (it may stand between it and etcd) is not to keep both busy.
		}
		f.next++
		if f.condition.State != HistoryChanged {
			f.say(CutOff, fmt.Errorf("%s: %w", endpoint, err))
		}
		if !f.pause(ctx) {
			return ctx.Err()
		}
		f.failures++
	}
}

// follower is one run of Follow.
type follower struct {
	*Etcd
	deliver func(zones.Batch)
	tell    func(Condition)

	condition Condition
	failures  int     // sessions in a row that came to nothing
	again     int     // sessions in a row that were over at once, and asked for another
	next      int     // whose turn it is
	last      witness // of the history in service
	accepted  int64   // as delivered last
	started   bool    // a Full batch of the history in service has been delivered by this run
	noticed   Point   // where the other history was when it was noticed; zero: there is none
	sighted   int64   // where etcd was when this session began
	behind    int64   // a revision that the watch has still to reach; 0: nothing was missed
	silent    int64   // the revision at which a watch fell silent last
	relist    bool    // the next session is to list everything, whatever it can prove
}

var (
	errAgain   = errors.New("session over, begin another at once")
	errHistory = errors.New("etcd's history is not the one that was followed")
	errSilent  = errors.New("the watch has been silent")
)

// pause waits before the next session: nothing to speak of until every member has been tried, then longer and longer up
// to 5 s, spread so that servers do not come back all at once. It returns false when ctx ends.
func (f *follower) pause(ctx context.Context) bool {
	d := min(100*time.Millisecond<<min(f.failures/len(f.endpoints), 6), 5*time.Second)
	t := time.NewTimer(time.Duration(float64(d) * (0.5 + f.o.Dice())))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// say tells the condition, if there is something new to it.
func (f *follower) say(s State, err error) {
	c := f.condition
	known := f.Known()
	c.Revision, c.ClusterID = known.Revision, known.ClusterID
	c.Other = Point{}
	if s == HistoryChanged {
		c.Other = f.noticed
	}
	if s == Following {
		c.Heard = f.o.Now()
	}
	if s != c.State {
		c.Since = f.o.Now()
		level := slog.LevelInfo
		if s == CutOff || s == HistoryChanged {
			level = slog.LevelWarn
		}
		f.log.Log(context.Background(), level, "etcd: "+string(s), "member", c.Endpoint, "revision", c.Revision, "err", err)
	}
	c.State, c.Err = s, err
	f.condition = c
	f.tell(c)
}

// session follows one member over one connection until something ends it.
func (f *follower) session(ctx context.Context, endpoint string) error {
	c, err := f.open(endpoint)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := connect(ctx, c, f.o.Silence/2); err != nil {
		return err
	}
	here, err := f.look(ctx, c)
	if err != nil {
		if f.Known().Revision == 0 {
			return f.stale(ctx, c, err)
		}
		return err
	}
	f.sighted = here.Revision
	proof, err := f.compare(ctx, c, here.Point)
	switch {
	case err != nil:
		return err
	case proof == other:
		return f.hold(ctx, c, here)
	case !f.started || proof == unproven || f.relist:
		f.noticed = Point{}
		if err := f.everything(ctx, c, here); err != nil {
			return err
		}
		f.relist = false
	default:
		f.noticed = Point{}
	}
	err = f.watch(ctx, c, f.o.Prefix, f.Known(), f.events)
	if errors.Is(err, rpctypes.ErrCompacted) {
		// What changed since is no longer told one by one.
		f.last = witness{}
		return errAgain
	}
	switch at := f.Known().Revision; {
	case errors.Is(err, errHistory):
		return fmt.Errorf("%w (%w)", err, errAgain)
	case errors.Is(err, errSilent) && f.silent == at:
		// What comes next is more than a watch can tell in time, or it kills who tells it: a list goes past it.
		f.relist, f.silent = true, 0
		f.log.Warn("etcd: the watch fell silent twice at one revision; everything is read anew", "revision", at)
	case errors.Is(err, errSilent):
		f.silent = at
	}
	return err
}

// sight is what one look at etcd shows.
type sight struct {
	Point
	accepted int64 // revision of meta/accepted, 0 if there is none
	word     acceptance
}

// acceptance is the value of meta/accepted.
type acceptance struct {
	By      string    `json:"by,omitempty"`
	Time    time.Time `json:"time"`
	For     string    `json:"for,omitempty"`     // "delete" or "apply --prune": accepts these removals, not another history
	Cluster string    `json:"cluster,omitempty"` // of "leeward accept": the cluster it was meant for, in hexadecimal
}

// look asks the cluster (a quorum of it, not only this member) where it is.
func (f *follower) look(ctx context.Context, c *clientv3.Client) (sight, error) {
	ctx, cancel := context.WithTimeout(ctx, f.o.Silence/2)
	defer cancel()
	answer, err := c.Get(ctx, f.o.Prefix+accepted)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = errors.New("no answer that a quorum agrees on; is there a leader?")
		}
		return sight{}, err
	}
	s := sight{Point: Point{answer.Header.ClusterId, answer.Header.Revision}}
	for _, kv := range answer.Kvs {
		s.accepted = kv.ModRevision
		_ = json.Unmarshal(kv.Value, &s.word) // anything put there by hand accepts as well
	}
	return s, nil
}

// compare tells whether the history here is the one in service.
func (f *follower) compare(ctx context.Context, c *clientv3.Client, here Point) (testimony, error) {
	known := f.Known()
	switch {
	case known.Revision == 0:
		return unproven, nil
	case known.ClusterID != 0 && known.ClusterID != here.ClusterID, here.Revision < known.Revision:
		return other, nil
	}
	return f.ask(ctx, c, f.last)
}

// everything lists and delivers. If an operator has accepted removals since what is in service, the list is of that
// very revision where etcd still has it, so that the removals in it are known to be the accepted ones.
func (f *follower) everything(ctx context.Context, c *clientv3.Client, here sight) error {
	if f.condition.State != CutOff || !f.started {
		f.say(Syncing, f.condition.Err)
	}
	var l *Listing
	var err error = rpctypes.ErrCompacted
	if known := f.Known().Revision; known != 0 && here.accepted > known {
		l, err = f.list(ctx, c, here.accepted, everything)
	}
	if errors.Is(err, rpctypes.ErrCompacted) {
		l, err = f.list(ctx, c, 0, everything)
	}
	if err != nil {
		return err
	}
	f.full(l, l.Accepted, false)
	return nil
}

func (f *follower) full(l *Listing, accepted int64, anew bool) {
	f.last, f.accepted, f.started = l.last, accepted, true
	f.advance(l.Point)
	f.deliver(zones.Batch{Revision: l.Revision, Full: true, Changes: l.Changes, Accepted: accepted, AcceptedKeys: l.Granted, Serials: &l.Serials, Anew: anew})
}

func (f *follower) advance(p Point) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = p
}

// stale delivers what this member has although no quorum stands behind it, where there is nothing at all to serve: it
// is the true history up to some revision.
func (f *follower) stale(ctx context.Context, c *clientv3.Client, why error) error {
	l, err := f.list(ctx, c, 0, everything, clientv3.WithSerializable())
	if err != nil || len(l.Changes) == 0 {
		return why
	}
	f.full(l, l.Accepted, false)
	return fmt.Errorf("%w (serving what this member has, which may be old)", why)
}

// hold waits until an operator accepts the history that is here in place of the one in service.
func (f *follower) hold(ctx context.Context, c *clientv3.Client, here sight) error {
	known := f.Known()
	if f.noticed.ClusterID != here.ClusterID || here.Revision < f.noticed.Revision {
		f.noticed = here.Point
	}
	if f.taken(here, known) {
		f.log.Info("etcd: the other history was accepted", "by", here.word.By, "revision", here.accepted)
		l, err := f.list(ctx, c, here.accepted, everything)
		if errors.Is(err, rpctypes.ErrCompacted) {
			l, err = f.list(ctx, c, 0, everything)
		}
		if err != nil {
			return err
		}
		f.noticed = Point{}
		f.full(l, l.Revision, true)
		return errAgain
	}
	why := fmt.Errorf("%w: it was at revision %d of cluster %x and is at %d of cluster %x. What was served before stays; "+
		"if this etcd is right (restored, or made anew), say so with: leeward accept",
		errHistory, known.Revision, known.ClusterID, here.Revision, here.ClusterID)
	f.failures = 0
	f.say(HistoryChanged, why)
	return f.watch(ctx, c, f.o.Prefix+accepted, here.Point, func(r clientv3.WatchResponse) error {
		if len(r.Events) > 0 {
			return errAgain
		}
		f.say(HistoryChanged, why)
		return nil
	})
}

// taken reports whether an operator has accepted the history that is here: after it was noticed, or naming this very
// cluster. What delete and apply --prune write there accepts their own removals only.
func (f *follower) taken(here sight, known Point) bool {
	switch {
	case here.accepted == 0 || here.word.For != "":
		return false
	case here.word.Cluster != "" && known.ClusterID != here.ClusterID:
		return here.word.Cluster == fmt.Sprintf("%x", here.ClusterID)
	}
	return here.accepted > f.noticed.Revision
}
