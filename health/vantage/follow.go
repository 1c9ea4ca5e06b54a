package vantage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"

	"leeward/health"
	"leeward/zones/pulse"
)

// Follow calls back with all that etcd holds of other vantages, and then with every change, in order and from one
// goroutine, until the context ends. This vantage's own keys are left out: a process trusts its own memory. A bystander
// has none among them.
//
// A watch that ends, falls behind a compaction, loses its connection or is silent for too long is begun anew with a
// list, which also tells what has gone meanwhile.
func (l *Link) Follow(ctx context.Context, f func(Event)) error {
	w := &follower{
		link: l, tell: f,
		from: l.options.Prefix + "reports/", end: clientv3.GetPrefixRangeEnd(l.options.Prefix + "vantages/"),
		keys: map[string]*key{}, vantages: map[string]*presence{}, rota: newRota(l.options.Members),
	}
	retry := newBackoff()
	for ctx.Err() == nil {
		revision, err := w.list(ctx)
		if err == nil {
			l.setFollowing(true, nil)
			l.hear()
			w.tell(Event{Revision: revision, Synced: true})
			var heard bool
			if heard, err = w.watch(ctx, revision); heard {
				retry.reset()
				w.rota.reset()
			}
		}
		if ctx.Err() != nil {
			break
		}
		l.setFollowing(false, err)
		wait := pace // another member is asked at once
		if w.rota.turn() {
			wait = retry.next()
		}
		sleep(ctx, wait)
	}
	return nil
}

// setFollowing keeps whether other vantages are heard, and logs when that turns.
func (l *Link) setFollowing(is bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status.Following == is {
		return
	}
	l.status.Following = is
	if is {
		l.options.Log.Info("following what other vantages report")
	} else {
		l.options.Log.Warn("other vantages are not heard; what is known of them stands until it goes stale", "error", err)
	}
}

// follower is one Follow and what it has told so far.
type follower struct {
	link      *Link
	tell      func(Event)
	from, end string // reports/ to vantages/: nothing of the kinds between them is read
	cluster   uint64
	revision  int64
	keys      map[string]*key
	vantages  map[string]*presence
	rota      rota // of who is read from
	listing   bool // what is put comes from a list
}

// key is one key of etcd as it was last told.
type key struct {
	vantage  string
	revision int64
	targets  []health.Target // of a report
	validFor time.Duration
	measured string // the pool of whose load it tells; "": it does not
	problem  bool
}

// presence is how many keys etcd holds of a vantage, and when one of them last moved.
type presence struct {
	keys  int
	moved time.Time
}

// list reads everything at one revision, and tells what has changed and what has gone since the last time.
func (w *follower) list(ctx context.Context) (int64, error) {
	w.link.metrics.lists.Inc()
	w.listing = true
	defer func() { w.listing = false }()
	listed := map[string]bool{}
	var revision int64
	from := w.from
	for {
		pageCtx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), patience)
		page, err := w.rota.client().Get(pageCtx, from, clientv3.WithRange(w.end), clientv3.WithLimit(pageSize), clientv3.WithRev(revision))
		cancel()
		if err != nil {
			return 0, fmt.Errorf("reading all reports: %w", err)
		}
		if revision == 0 {
			revision = page.Header.Revision
			if w.cluster != 0 && (w.cluster != page.Header.ClusterId || revision < w.revision) {
				w.rewind()
			}
			w.cluster, w.revision = page.Header.ClusterId, revision
		}
		for _, kv := range page.Kvs {
			listed[string(kv.Key)] = true
			w.put(kv)
		}
		if !page.More {
			break
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
	for name := range w.keys {
		if !listed[name] {
			w.remove(name, revision)
		}
	}
	return revision, nil
}

// rewind forgets the reports whose sequence is etcd's revision: this is another etcd, or an older state of it, and its
// revisions have begun anew.
func (w *follower) rewind() {
	w.link.options.Log.Warn("etcd's history has changed; external reports are read anew")
	for name, k := range w.keys {
		if k.validFor > 0 {
			w.remove(name, 0)
		}
	}
}

// watch tells what changes after the revision. It returns why it ended, and whether anything was heard at all.
func (w *follower) watch(ctx context.Context, revision int64) (heard bool, err error) {
	o := &w.link.options
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	// The client would resume a watch by itself over a new connection, perhaps to an etcd made anew, whose revisions
	// are lower: that one would answer every request for progress and tell of no change until it had counted that far.
	lost := make(chan struct{})
	conn := w.rota.client().ActiveConnection()
	go func() {
		defer close(lost)
		conn.WaitForStateChange(ctx, connectivity.Ready)
	}()
	watcher := clientv3.NewWatcher(w.rota.client()) // its own stream, which can be given up
	defer watcher.Close()
	changes := watcher.Watch(ctx, w.from, clientv3.WithRange(w.end), clientv3.WithRev(revision+1), clientv3.WithProgressNotify())
	ask := time.NewTicker(o.Silence / 4)
	defer ask.Stop()
	garbage := time.NewTicker(max(o.Garbage/24, time.Second))
	defer garbage.Stop()
	silence := time.NewTimer(o.Silence)
	defer silence.Stop()
	unanswered := 0  // requests for progress in a row
	told := revision // up to which everything has been told
	doubtful := time.Duration(float64(o.Silence) * (0.6 + rand.Float64()/8))
	doubt := time.NewTimer(doubtful)
	defer doubt.Stop()
	still := make(chan struct{}, 1)
	alive := func() {
		heard = true
		w.link.hear()
		silence.Reset(o.Silence)
		doubt.Reset(doubtful)
	}
	for {
		select {
		case <-ctx.Done():
			return heard, ctx.Err()
		case <-lost:
			if ctx.Err() != nil {
				return heard, ctx.Err()
			}
			return heard, errors.New("the connection was lost")
		case <-silence.C:
			return heard, fmt.Errorf("the watch was silent for %s", o.Silence)
		case <-doubt.C:
			go w.prove(ctx, w.rota.client(), w.cluster, told, still)
		case <-still:
			alive()
		case <-ask.C:
			unanswered++
			ask.Reset(pulse.Pause(o.Silence/4, unanswered))
			askCtx, cancel := context.WithTimeout(ctx, o.Silence/4)
			err := watcher.RequestProgress(askCtx)
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return heard, fmt.Errorf("asking the watch for its progress: %w", err)
			}
		case <-garbage.C:
			w.sweep(ctx)
		case r, ok := <-changes:
			if !ok {
				return heard, errors.New("the watch ended")
			}
			if err := r.Err(); err != nil {
				return heard, fmt.Errorf("watching reports: %w", err)
			}
			if r.Header.ClusterId != w.cluster || r.Header.Revision < revision {
				// Another history, or a member that lags behind the one that was read: the list tells which.
				return false, errors.New("etcd is not where it was when all reports were read")
			}
			alive()
			if r.IsProgressNotify() {
				unanswered = 0
			}
			w.revision = max(w.revision, r.Header.Revision)
			for _, e := range r.Events {
				told = e.Kv.ModRevision
				if e.Type == clientv3.EventTypeDelete {
					w.remove(string(e.Kv.Key), e.Kv.ModRevision)
				} else {
					w.put(e.Kv)
				}
			}
		}
	}
}

// prove looks for a proof of what a watch that says nothing cannot tell: that it has missed nothing. Either nothing has
// happened in etcd, or it will have something to say.
func (w *follower) prove(ctx context.Context, c *clientv3.Client, cluster uint64, told int64, still chan<- struct{}) {
	ctx, cancel := context.WithTimeout(ctx, w.link.options.Silence/3)
	defer cancel()
	if nothing, err := pulse.Ask(ctx, c, w.link.options.Prefix, cluster, told); nothing && err == nil {
		still <- struct{}{}
	}
}

// split takes a key apart; ok is whether it is another vantage's report (with a pool), heartbeat (without), or what it
// says of itself (as a server; about).
func (w *follower) split(name string) (vantage, pool string, about, ok bool) {
	rest := strings.TrimPrefix(name, w.link.options.Prefix)
	switch {
	case strings.HasPrefix(rest, "reports/"):
		vantage, pool, ok = strings.Cut(strings.TrimPrefix(rest, "reports/"), "/")
		ok = ok && pool != "" && !strings.Contains(pool, "/")
	case strings.HasPrefix(rest, "vantages/"):
		vantage, about = strings.CutSuffix(strings.TrimPrefix(rest, "vantages/"), aboutKey)
		ok = !strings.Contains(vantage, "/")
	}
	own := vantage == w.link.options.ID && !w.link.options.Bystander // beside one a vantage may have its name
	return vantage, pool, about, ok && vantage != "" && !own
}

// put tells what a key says now.
func (w *follower) put(kv *mvccpb.KeyValue) {
	name := string(kv.Key)
	vantage, pool, about, ok := w.split(name)
	if !ok {
		return
	}
	w.link.metrics.events.Inc()
	k := w.keys[name]
	if k == nil {
		k = &key{vantage: vantage}
		w.keys[name] = k
		if w.vantages[vantage] == nil {
			w.vantages[vantage] = &presence{}
		}
		w.vantages[vantage].keys++
	}
	if k.revision != kv.ModRevision {
		w.vantages[vantage].moved = w.link.options.Now()
	}
	k.revision = kv.ModRevision
	e := Event{Key: strings.TrimPrefix(name, w.link.options.Prefix), Revision: kv.ModRevision, Vantage: vantage, Listed: w.listing}
	var err error
	switch {
	case about && !json.Valid(kv.Value):
		err = errors.New("not what a server says of itself: no JSON")
	case about:
		e.Server = kv.Value
	case pool == "":
		e.Heartbeat, err = readHeartbeat(vantage, kv.Value)
	default:
		err = k.read(&e, pool, kv)
	}
	if err != nil {
		e.Problem = err.Error()
	}
	w.mark(k, err != nil)
	w.tell(e)
}

// read puts a report's value into the event: what it says, and what earlier values said and it does not.
func (k *key) read(e *Event, pool string, kv *mvccpb.KeyValue) error {
	reports, measure, bad, err := readPool(k.vantage, pool, kv.Value, kv.ModRevision)
	if err != nil && len(bad) == 0 {
		return err // nothing can be read: all that was told stands
	}
	told := make(map[health.Target]bool, len(reports))
	var targets []health.Target
	k.validFor = 0
	for i := range reports {
		told[reports[i].Target] = true
		targets = append(targets, reports[i].Target)
		k.validFor = reports[i].ValidFor
	}
	for _, t := range k.targets {
		switch {
		case told[t]:
		case slices.Contains(bad, t.Endpoint):
			targets = append(targets, t)
		case !slices.Contains(e.Withdrawn, t.Endpoint):
			e.Withdrawn = append(e.Withdrawn, t.Endpoint)
		}
	}
	k.targets = targets
	e.Reports, e.Measure = reports, measure
	if measure != nil {
		k.measured = pool
	} else {
		e.Unsaid, k.measured = k.measured, ""
	}
	return err
}

// remove tells that a key is gone.
func (w *follower) remove(name string, revision int64) {
	k := w.keys[name]
	if k == nil {
		return
	}
	delete(w.keys, name)
	w.mark(k, false)
	e := Event{
		Key: strings.TrimPrefix(name, w.link.options.Prefix), Revision: revision, Vantage: k.vantage, Removed: true, Unsaid: k.measured,
	}
	for _, t := range k.targets {
		e.Withdrawn = append(e.Withdrawn, t.Endpoint)
	}
	slices.Sort(e.Withdrawn)
	e.Withdrawn = slices.Compact(e.Withdrawn)
	if w.vantages[k.vantage].keys--; w.vantages[k.vantage].keys == 0 {
		delete(w.vantages, k.vantage)
		e.Gone = true
	}
	w.tell(e)
}

// mark keeps how many keys have a problem.
func (w *follower) mark(k *key, problem bool) {
	if problem != k.problem {
		k.problem = problem
		if problem {
			w.link.metrics.problems.Inc()
		} else {
			w.link.metrics.problems.Dec()
		}
	}
}

// sweep removes the keys of vantages that have not moved for a day: whoever comes first does it, and a key that moves
// at that very moment stays.
func (w *follower) sweep(ctx context.Context) {
	o := &w.link.options
	for name, k := range w.keys {
		still := o.Now().Sub(w.vantages[k.vantage].moved)
		if still < max(o.Garbage, k.validFor) {
			continue
		}
		sweepCtx, cancel := context.WithTimeout(ctx, patience)
		_, err := w.rota.client().Txn(sweepCtx).
			If(clientv3.Compare(clientv3.ModRevision(name), "=", k.revision)).
			Then(clientv3.OpDelete(name)).Commit()
		cancel()
		if err != nil {
			o.Log.Warn("a key that nobody moves could not be removed; it is tried again later", "key", name, "error", err)
			return
		}
		o.Log.Info("removed a key that its vantage has not moved", "key", name, "for", still.Round(time.Second))
	}
}
