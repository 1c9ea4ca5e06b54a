package vantage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"leeward/health"
	"leeward/zones/etcd"
)

// Follow calls f with all that etcd holds of other vantages, and then with every change, in order and from its own
// goroutine, until the context ends. It leaves out this vantage's own keys, as a process trusts its own memory; a
// bystander has none among them.
//
// Each call has all of a list, or all that a watch has brought at once. It must be judged as a whole: a heartbeat makes
// the votes count that were known before, and the newer ones may come right behind it.
//
// When a watch ends, falls behind a compaction, loses its connection or is silent for too long, Follow lists again and
// begins another. The list also shows what has gone meanwhile.
func (l *Link) Follow(ctx context.Context, f func([]Event)) error {
	w := newFollower(l, f)
	for ctx.Err() == nil {
		at, err := w.list(ctx)
		if err == nil {
			l.setFollowing(true, nil)
			l.hear()
			w.add(Event{Revision: at.Revision, Synced: true})
			w.flush()
			err = w.watch(ctx, at)
		}
		if ctx.Err() != nil {
			break
		}
		if !errors.Is(err, etcd.ErrCompacted) { // then a list goes past what etcd has forgotten
			l.setFollowing(false, err)
		}
		w.turns.Next(ctx)
	}
	return nil
}

func newFollower(l *Link, tell func([]Event)) *follower {
	return &follower{
		link: l, tell: tell, turns: l.etcd.Turns(), keys: map[string]*key{}, vantages: map[string]*presence{},
	}
}

// setFollowing records whether other vantages are heard, and logs when that changes.
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
		l.options.Log.Warn("other vantages are not heard; what is known of them stands until it goes stale",
			"error", err)
	}
}

// follower is one Follow and what it has told so far.
type follower struct {
	link     *Link
	tell     func([]Event)
	untold   []Event    // what tell is called with next
	at       etcd.Point // up to which everything was told
	keys     map[string]*key
	vantages map[string]*presence
	turns    etcd.Turns // which member is read from
	listing  bool       // put is called from list
	back     bool       // a key that is listed has a lower revision than it had
	swept    time.Time  // when sweep was called last
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

// list reads everything at one revision, and tells what has changed or gone since the last time.
func (w *follower) list(ctx context.Context) (at etcd.Point, err error) {
	w.link.metrics.lists.Inc()
	w.listing = true
	defer func() {
		w.listing = false
		w.flush() // also after an error, as keys has what was read before it
	}()
	err = etcd.Anew(func() error {
		w.back = false
		at, err = w.read(ctx)
		return err
	})
	if err == nil && w.back {
		// No key's revision ever sinks in one history, so this is another one, which has counted past the one that was
		// followed. What was told since may have counted as old.
		w.rewind()
		w.back = false
		at, err = w.read(ctx)
	}
	return at, err
}

// read is one reading of list.
func (w *follower) read(ctx context.Context) (at etcd.Point, err error) {
	c := w.link.etcd.Member(w.turns.Member()).Within(patience)
	defer func() {
		if err != nil {
			err = fmt.Errorf("reading all reports: %w", err)
		}
	}()
	if at, err = c.Here(etcd.Led(ctx)); err != nil {
		return at, err
	}
	if w.at.ClusterID != 0 && (w.at.ClusterID != at.ClusterID || at.Revision < w.at.Revision) {
		w.rewind()
	}
	w.at = at
	listed := map[string]bool{}
	// Heartbeats first: they say how old the reports are. Nothing of the kinds between them is read.
	both := []etcd.Range{etcd.Folder(etcd.Vantages), etcd.Folder(etcd.Reports)}
	if _, err = c.Read(etcd.Led(ctx), at.Revision, both, func(kv etcd.KV) {
		listed[kv.Name] = true
		w.put(kv)
	}); err != nil {
		return at, err
	}
	for name := range w.keys {
		if !listed[name] {
			w.remove(name, at.Revision)
		}
	}
	return at, nil
}

// rewind forgets reports whose sequence is a revision of etcd: this is another etcd, or an older state of it, which
// counts its revisions anew.
func (w *follower) rewind() {
	w.link.options.Log.Warn("etcd's history has changed; external reports are read again")
	for name, k := range w.keys {
		if k.validFor > 0 {
			w.remove(name, 0)
		}
	}
}

// watch tells what changes after a point, and returns why it ended.
func (w *follower) watch(ctx context.Context, after etcd.Point) error {
	// One watch of all between the two folders: split leaves out the resources there.
	both := etcd.Range{From: etcd.Reports, To: etcd.Folder(etcd.Vantages).To}
	c := w.link.etcd.Member(w.turns.Member())
	return c.Watch(ctx, etcd.Watch{Range: both, After: after, Told: func(n etcd.News) error {
		for _, e := range n.Events {
			w.at.Revision = e.Revision
			if e.Deleted {
				w.remove(e.Name, e.Revision)
			} else {
				w.put(e.KV)
			}
		}
		w.flush()
		w.link.hear()
		w.turns.Worked()
		w.sweep(ctx)
		return nil
	}})
}

// split takes a name apart. ok is false unless it is another vantage's report (with a pool), its heartbeat (without),
// or what it says of itself as a server (about).
func (w *follower) split(name string) (vantage, pool string, about, ok bool) {
	if rest, report := strings.CutPrefix(name, etcd.Reports); report {
		vantage, pool, ok = strings.Cut(rest, "/")
		ok = ok && pool != "" && !strings.Contains(pool, "/")
	} else if rest, of := strings.CutPrefix(name, etcd.Vantages); of {
		vantage, about = strings.CutSuffix(rest, etcd.Server)
		ok = !strings.Contains(vantage, "/")
	}
	own := vantage == w.link.options.ID && !w.link.options.Bystander // a vantage may have a bystander's name
	return vantage, pool, about, ok && vantage != "" && !own
}

// put tells what a key says now.
func (w *follower) put(kv etcd.KV) {
	name := kv.Name
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
	w.back = w.back || w.listing && kv.Revision < k.revision
	if k.revision != kv.Revision {
		w.vantages[vantage].moved = w.link.options.Now()
	}
	k.revision = kv.Revision
	e := Event{Key: name, Revision: kv.Revision, Vantage: vantage, Listed: w.listing}
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
	w.add(e)
}

// add has an event told with the next flush.
func (w *follower) add(e Event) { w.untold = append(w.untold, e) }

func (w *follower) flush() {
	if len(w.untold) > 0 {
		w.tell(w.untold)
		w.untold = nil
	}
}

// read puts a report's value into the event: what it says, and what earlier values said but it does not.
func (k *key) read(e *Event, pool string, kv etcd.KV) error {
	reports, measure, bad, err := readPool(k.vantage, pool, kv.Value, kv.Revision)
	if err != nil && len(bad) == 0 {
		return err // nothing can be read: what was told stays
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
	e := Event{Key: name, Revision: revision, Vantage: k.vantage, Removed: true, Unsaid: k.measured}
	for _, t := range k.targets {
		e.Withdrawn = append(e.Withdrawn, t.Endpoint)
	}
	slices.Sort(e.Withdrawn)
	e.Withdrawn = slices.Compact(e.Withdrawn)
	if w.vantages[k.vantage].keys--; w.vantages[k.vantage].keys == 0 {
		delete(w.vantages, k.vantage)
		e.Gone = true
	}
	w.add(e)
}

// mark counts the keys that have a problem.
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

// abandoned returns the keys of vantages that have not moved for Options.Garbage, heartbeats last.
func (w *follower) abandoned() (names []string) {
	o := &w.link.options
	var beats []string
	for name, k := range w.keys {
		switch {
		case o.Now().Sub(w.vantages[k.vantage].moved) < max(o.Garbage, k.validFor):
		case name == etcd.Vantages+k.vantage:
			beats = append(beats, name)
		default:
			names = append(names, name)
		}
	}
	return append(names, beats...)
}

// sweep removes, now and then, the keys of vantages that have not moved for Options.Garbage. Whoever comes first does
// it, and a key that moves at that very moment stays.
func (w *follower) sweep(ctx context.Context) {
	o := &w.link.options
	if time.Since(w.swept) < max(o.Garbage/24, time.Second) {
		return
	}
	w.swept = time.Now()
	for _, name := range w.abandoned() {
		k := w.keys[name]
		still := o.Now().Sub(w.vantages[k.vantage].moved)
		c := w.link.etcd.Member(w.turns.Member()).Within(patience)
		t := c.Begin().At(name, k.revision).Delete(etcd.One(name))
		if beat := etcd.Vantages + k.vantage; name != beat {
			// It may have moved since: what it has said before stands for as long as it lives. A process that stood
			// still has not heard of that yet.
			last := int64(0)
			if b := w.keys[beat]; b != nil {
				last = b.revision
			}
			t.At(beat, last)
		}
		_, err := t.Commit(ctx)
		if err != nil && !errors.Is(err, etcd.ErrConflict) {
			o.Log.Warn("an abandoned key was not removed; it is tried again later", "key", name, "error", err)
			return
		}
		o.Log.Info("removed an abandoned key", "key", name, "unchanged for", still.Round(time.Second))
	}
}
