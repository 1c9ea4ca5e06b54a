package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leeward/server/update"
	"leeward/zones"
	"leeward/zones/rr"
	"leeward/zones/store"
)

// updates makes the handler of dynamic updates (RFC 2136). It refuses them if the resources are files, since there is
// nothing to write to.
func (r *run) updates() (*update.Updater, error) {
	o := update.Options{Now: time.Now, Log: r.Log, Registerer: r.registry, Made: r.madeBySigning}
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

// madeBySigning returns the RRset that signing adds at the apex of a zone.
func (r *run) madeBySigning(origin rr.Name, typ rr.Type) [][]byte {
	s := r.epochs.snapshot.Load()
	if s == nil {
		return nil
	}
	z := s.Zone(origin)
	if z == nil {
		return nil
	}
	return z.MadeBySigning(typ)
}

// UpdateOwner owns the records that dynamic updates make, so that apply --prune of other owners keeps them.
const UpdateOwner = "update"

// publishedWithin is how long the response to a committed update waits until this server answers from it. A server that
// is cut off from etcd may not get there.
const publishedWithin = time.Second

// commitUpdate writes the changes of an update to etcd. What the update itself deletes was meant and passes the guard.
// But a client that may update one name cannot vouch for other removals that the guard holds back.
func (r *run) commitUpdate(ctx context.Context, s update.Scope, plan func([]zones.Change) ([]zones.Edit, error)) (int64,
	error,
) {
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
			if e.Old == nil { // records added to somebody's RRset stay theirs
				p.Owners[e.Key] = UpdateOwner
			}
		}
		return p, err
	})
	if errors.Is(err, store.ErrTooMuch) {
		err = fmt.Errorf("%w: %w", update.ErrTooMuch, err)
	}
	if unchanged {
		return newest, err // what was read must be served; etcd's own revision moves on with heartbeats
	}
	return done.Revision, err
}
