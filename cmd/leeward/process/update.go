package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leeward/server/update"
	"leeward/zones"
	"leeward/zones/store"
)

// updates makes what dynamic updates are handed to. Where the resources are files there is nothing to write to, and
// they are refused.
func (r *run) updates() (*update.Updater, error) {
	o := update.Options{Now: time.Now, Log: r.Log, Registerer: r.registry}
	if r.Etcd != nil {
		o.Commit = r.commitUpdate
		o.Published = func(ctx context.Context, revision int64) {
			if !r.reached.await(ctx, revision, publishedWithin) {
				r.Log.Warn("an update is answered before it is served here", "revision", revision)
			}
		}
	}
	return update.New(o)
}

// UpdateOwner is to whom records belong that dynamic updates make, so that no apply --prune of others takes them away.
const UpdateOwner = "update"

// publishedWithin is how long the response to an update that is committed waits until this server answers from it. A
// server that is cut off from what it follows does not get there.
const publishedWithin = time.Second

// commitUpdate puts what an update changes into etcd. What it deletes was meant, and passes the guard; but who may
// update a name is not who may say that everything else that went away went on purpose.
func (r *run) commitUpdate(ctx context.Context, s update.Scope, plan func([]zones.Change) ([]zones.Edit, error)) (int64, error) {
	if r.strange.Load() {
		return 0, errors.New("etcd has another history than the one in service; see leeward accept")
	}
	unchanged, newest := false, int64(0)
	done, err := r.etcd.ChangeWithin(ctx, store.Scope(s), func(l *store.Listing) (store.Plan, error) {
		edits, err := plan(l.Changes)
		unchanged, newest = len(edits) == 0, 0
		for _, c := range l.Changes {
			newest = max(newest, c.Revision)
		}
		p := store.Plan{Edits: edits, OnPurpose: "update", Alone: true, By: r.ID, Owners: map[zones.Key]string{}}
		for _, e := range edits {
			if e.Old == nil { // what is added to somebody's RRset stays with it
				p.Owners[e.Key] = UpdateOwner
			}
		}
		return p, err
	})
	if errors.Is(err, store.ErrTooMuch) {
		err = fmt.Errorf("%w: %w", update.ErrTooMuch, err)
	}
	if unchanged {
		return newest, err // what was read is to be served, and heartbeats move etcd's own revision on
	}
	return done.Revision, err
}
