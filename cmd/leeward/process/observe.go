package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/geo"
	"leeward/health/resolve"
	"leeward/health/vantage"
	"leeward/server/admin"
	"leeward/server/answer"
	"leeward/zones"
	"leeward/zones/etcd"
	"leeward/zones/folder"
	"leeward/zones/store"
)

// Observer is a control loop that answers no queries. It reads and judges as a server does.
type Observer struct {
	loop       *control.Loop
	etcd       *store.Store // nil: files
	bystanders bystanders
	database   database // used only by the goroutine that calls Status
	stop       context.CancelFunc
	done       sync.WaitGroup
}

// Observe reads the resources and, with etcd, the reports of the vantages. It returns once it has read everything. It
// fails if that takes longer than limit, or if etcd keeps refusing for longer than hopeless.
func Observe(ctx context.Context, s Settings, limit time.Duration) (*Observer, error) {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	watcher, err := geo.NewWatcher(s.GeoDB, "", s.Log)
	if err != nil {
		return nil, err // somebody who looks only once is better off with an error than with a wrong picture
	}
	o := &Observer{}
	names, err := resolve.New(resolve.Options{Servers: s.Resolvers, OnAnswer: func(a resolve.Answer) {
		o.loop.Resolved(a)
	}})
	if err != nil {
		return nil, err
	}
	o.loop = control.NewLoop(control.LoopOptions{
		Log: s.Log, Now: time.Now, Geo: watcher.Table(), Sources: watcher.Sources, ByClock: true,
		Publish: func(answer.State) {},
		Names:   names.Answer,
	})
	inner, stop := context.WithCancel(ctx)
	o.stop = stop
	conditions := make(chan zones.Condition, 1)
	tell := func(c zones.Condition) {
		o.loop.Condition(c)
		select {
		case <-conditions:
		default:
		}
		conditions <- c
	}
	synced := make(chan struct{})
	var once sync.Once
	if s.Etcd == nil {
		files, err := folder.Open(s.Files, s.Log)
		if err != nil {
			stop()
			return nil, err
		}
		o.done.Go(func() { files.Follow(inner, o.loop.Batch, tell) })
		close(synced)
	} else {
		options := *s.Etcd
		options.Log = s.Log
		if o.etcd, err = store.Dial(options); err != nil {
			stop()
			return nil, err
		}
		o.bystanders = bystanders{etcd: o.etcd, log: s.Log}
		link, err := vantage.New(vantage.Options{Etcd: o.etcd.Cluster, Bystander: true, Log: s.Log})
		if err != nil {
			o.Close()
			return nil, err
		}
		o.done.Go(func() { o.etcd.Follow(inner, o.loop.Batch, tell) })
		o.done.Go(func() {
			link.Follow(inner, func(all []vantage.Event) {
				o.loop.Events(all...)
				if slices.ContainsFunc(all, func(e vantage.Event) bool { return e.Synced }) {
					once.Do(func() { close(synced) })
				}
			})
		})
	}
	o.done.Go(func() { o.loop.Run(inner) })
	if err := o.ready(ctx, conditions, synced, limit); err != nil {
		o.Close()
		return nil, err
	}
	if err := o.resolve(ctx, names); err != nil {
		o.Close()
		return nil, err
	}
	return o, nil
}

// resolveLimit is how long an Observer waits for the hostnames of endpoints.
const resolveLimit = 3 * time.Second

// resolve looks up the hostnames of endpoints once. The status shows those that do not resolve.
func (o *Observer) resolve(ctx context.Context, names *resolve.Resolver) error {
	state := o.loop.State()
	if state == nil {
		return nil
	}
	hostnames := state.Snapshot.Program().Hostnames()
	if len(hostnames) == 0 {
		return nil
	}
	names.Assign(hostnames)
	limited, stop := context.WithTimeout(ctx, resolveLimit)
	defer stop()
	names.Once(limited)
	return o.loop.Do(ctx, func(control.Inside) {}) // the answers have now been applied
}

// hopeless is how long an Observer keeps trying what etcd refuses. For an etcd that is only busy, it waits longer.
const hopeless = 10 * time.Second

// ready waits until the resources and reports are read, or until the source says that it cannot read them.
func (o *Observer) ready(ctx context.Context, conditions <-chan zones.Condition, synced <-chan struct{},
	limit time.Duration,
) error {
	if o.etcd != nil {
		defer o.etcd.Late(limit)()
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	early := time.NewTicker(min(limit, hopeless))
	defer early.Stop()
	var last zones.Condition
	for last.State != zones.Following || synced != nil {
		select {
		case last = <-conditions:
			switch {
			case last.State != zones.CutOff:
			case o.etcd == nil:
				return last.Err
			case etcd.Refused(last.Err):
				return fmt.Errorf("the resources cannot be read: %w", last.Err)
			}
		case <-synced:
			synced = nil
		case <-early.C:
			early.Reset(time.Second)
			if last.State == zones.CutOff && !etcd.Busy(last.Err) {
				return fmt.Errorf("the resources cannot be read: %w", last.Err)
			}
		case <-timer.C:
			if last.Err != nil {
				return fmt.Errorf("the resources cannot be read: %w", last.Err)
			}
			return fmt.Errorf("the resources are not read within %v", limit)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return o.loop.Do(ctx, func(control.Inside) {}) // everything has now been applied
}

// Settle watches vantages that seem gone until all have moved. It watches for one and a half times the longest
// heartbeat interval among them, but for no longer than settleMost. It looks every settleEvery.
const (
	settleMost  = 20 * time.Second
	settleEvery = 20 * time.Millisecond
)

// Settle decides which vantages are alive, as servers that have watched all along would. A vantage is alive if its last
// heartbeat is recent by its own clock. Settle watches the others for a heartbeat. If none comes, the vantage is gone;
// if one comes, its clock is wrong. Settle returns a sentence about what it watched, or "" if it watched nobody.
func (o *Observer) Settle(ctx context.Context) (string, error) {
	var left []string
	var every time.Duration
	look := func() error {
		return o.loop.Do(ctx, func(i control.Inside) {
			left, every = i.Still(time.Now())
		})
	}
	if err := look(); err != nil || len(left) == 0 {
		return "", err
	}
	watched := len(left)
	began := time.Now()
	end := time.NewTimer(min(every+every/2+settleEvery, settleMost))
	defer end.Stop()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for waiting := true; waiting && len(left) > 0; {
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-end.C:
			waiting = false
		case <-tick.C:
		}
		if err := look(); err != nil {
			return "", err
		}
	}
	text := fmt.Sprintf("watched %d vantages for %.1f s, as their last heartbeats are not recent by their clocks",
		watched, time.Since(began).Seconds())
	if len(left) > 0 {
		return fmt.Sprintf("%s; these have not moved and do not count: %s", text, strings.Join(left, ", ")), nil
	}
	return text + "; all of them live", nil
}

// Status judges what there is now. With etcd, it also asks for the size of the database. An Observer is not a server,
// so the status has no part about itself.
func (o *Observer) Status(ctx context.Context) (*admin.Status, error) {
	var summary *control.Summary
	if err := o.loop.Do(ctx, func(i control.Inside) { summary = i.Summary(time.Now()) }); err != nil {
		return nil, err
	}
	s := summary.Status()
	o.bystanders.tell(ctx, s)
	if o.etcd != nil {
		o.database.once(ctx, o.etcd)
		o.database.tell(s)
	}
	s.Elsewhere()
	s.Headline = s.Say()
	return s, nil
}

// Narrowed returns the part of Status that concerns one target, see admin.Status.Narrow.
func (o *Observer) Narrowed(ctx context.Context, target string) (*admin.Status, error) {
	s, err := o.Status(ctx)
	if err != nil {
		return nil, err
	}
	return s.Narrow(target, control.PoolsOf(o.loop.State(), target))
}

// Explain says why a client gets its answer. Its arguments and errors are those of answer.Explain.
func (o *Observer) Explain(name, qtype, client string) (*answer.Explanation, error) {
	state := o.loop.State()
	if state == nil {
		return nil, errors.New("there are no resources: nothing is answered")
	}
	return o.loop.Explain(context.Background(), name, qtype, client)
}

// Drill describes how a drill of the target goes.
func (o *Observer) Drill(ctx context.Context, target string) (w *control.Watched, err error) {
	status, err := o.Status(ctx)
	if err != nil {
		return nil, err
	}
	err = o.loop.Do(ctx, func(i control.Inside) { w = i.Drill(target, status.Servers) })
	if err == nil {
		w.Status = status
	}
	return w, err
}

// Foresee makes a forecast from the clients that all servers have counted.
func (o *Observer) Foresee(ctx context.Context, q control.Question) (*control.Forecast, error) {
	status, err := o.Status(ctx)
	if err != nil {
		return nil, err
	}
	var at *control.Foresight
	if err := o.loop.Do(ctx, func(i control.Inside) { at = i.Foresight() }); err != nil {
		return nil, err
	}
	return at.Foresee(ctx, q, status.Servers)
}

// Close stops observing and waits until everything has ended.
func (o *Observer) Close() {
	o.stop()
	o.loop.Close()
	o.done.Wait()
	if o.etcd != nil {
		o.etcd.Close()
	}
}
