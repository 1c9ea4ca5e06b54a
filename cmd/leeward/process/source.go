package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"leeward/health/vantage"
	"leeward/zones"
	"leeward/zones/etcd"
	"leeward/zones/folder"
	"leeward/zones/snapshot"
	"leeward/zones/store"
)

// source prepares to read the resources. It does not wait for etcd.
func (r *run) source() error {
	var err error
	if r.Etcd == nil {
		r.files, err = folder.Open(r.Files, r.Log)
		if !errors.Is(err, fs.ErrNotExist) || r.State == "" {
			return err
		}
		if _, _, unusable := snapshot.Load(r.starting, r.State); unusable != nil {
			return fmt.Errorf("%w, and there is no copy of an earlier run to serve instead: %w", err, unusable)
		}
		r.Log.Warn("files: the folder of resources is not there: going on with the copy on disk until it is",
			"dir", r.Files, "state", r.State)
		r.files, err = folder.Expect(r.Files, r.Log)
		return err
	}
	o := *r.Etcd
	o.Log = r.Log
	if r.etcd, err = store.Dial(o); err != nil {
		return err
	}
	r.bystanders = bystanders{etcd: r.etcd, log: r.Log}
	r.link, err = vantage.New(vantage.Options{
		Etcd: r.etcd.Cluster, Bystander: r.NoProbe, Marked: len(r.Listen) > 0, ID: r.ID,
		Region: r.Region, Log: r.Log, Registerer: r.registry,
	})
	if err != nil {
		return err
	}
	since := func(heard time.Time) time.Time {
		if heard.IsZero() {
			return r.started
		}
		return heard
	}
	r.lags = []lag{
		{"reports", func() time.Time { return since(r.link.Heard()) }},
		{"resources", func() time.Time {
			if at := r.heard.Load(); at != nil {
				return *at
			}
			return r.started
		}},
	}
	r.drilled = newDrilled()
	if err := r.registry.Register(r.drilled); err != nil {
		return err
	}
	if err := r.database.register(r.registry); err != nil {
		return err
	}
	return registerLags(r.registry, r.lags, time.Now)
}

// resumeWait is how long following the source is put off at most while the first snapshot is made from the copy on
// disk. Reading a large source takes all processors, and queries would go without an answer for that much longer.
const resumeWait = 10 * time.Second

// resume hands over the copy on disk, if there is one, and reports whether there is.
func (r *run) resume(ctx context.Context) (resumed bool) {
	if r.keeper == nil {
		return false
	}
	batch, meta, err := r.keeper.load(ctx)
	if err != nil && ctx.Err() == nil {
		r.Log.Warn("no copy of the last good snapshot; waiting for the source", "err", err)
	}
	if batch == nil {
		return false
	}
	if now := time.Now(); meta.Time.After(now) {
		meta.Time = now // a clock is or was wrong, so nobody knows how old the copy is
	}
	r.Log.Info("serving the last good snapshot from disk until the source is read", "revision", meta.Revision,
		"resources", meta.Count, "age", time.Since(meta.Time).Round(time.Second))
	r.loop.Condition(zones.Condition{State: zones.SavedCopy, Since: r.started, Heard: meta.Time})
	r.loop.Batch(*batch)
	if r.etcd != nil {
		r.etcd.Resume(etcd.Point{ClusterID: meta.Cluster, Revision: meta.Revision})
	} else {
		r.files.Resume(meta.Revision)
	}
	return true
}

// follow hands the source's changes to the loop until the context ends. The copy on disk, if there is one, is published
// first.
func (r *run) follow(ctx context.Context, resumed bool) error {
	if resumed {
		select {
		case <-r.first:
		case <-time.After(resumeWait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	tell := func(c zones.Condition) {
		r.strange.Store(c.State == zones.HistoryChanged)
		if !c.Heard.IsZero() {
			r.heard.Store(&c.Heard)
		}
		if r.keeper != nil && r.etcd != nil {
			r.keeper.at(r.etcd.Known())
		}
		r.loop.Condition(c)
	}
	deliver := func(b zones.Batch) {
		if r.keeper != nil && r.etcd != nil {
			r.keeper.at(r.etcd.Known())
		}
		if r.keyring != nil {
			if r.keyring.take(&b) && r.roller != nil {
				defer r.roller.again()
			}
		}
		if r.edge != nil {
			b.Sealed = nil
			r.edge.gate.batch(b)
			return
		}
		r.loop.Batch(b)
	}
	if r.etcd != nil {
		return r.etcd.Follow(ctx, deliver, tell)
	}
	r.files.Pace(paceHeap)
	return r.files.Follow(ctx, deliver, tell)
}
