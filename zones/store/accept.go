package store

import (
	"context"
	"errors"
	"fmt"

	"leeward/zones"
	"leeward/zones/etcd"
)

// Accept records that all removals up to now were made on purpose, and that the history of this cluster is the right
// one. It returns the revision of that record.
func (e *Store) Accept(ctx context.Context, by string) (int64, error) {
	if err := e.Reach(ctx); err != nil {
		return 0, err
	}
	_, at, err := e.Get(ctx, etcd.Accepted)
	if err != nil {
		return 0, e.Explain(ctx, err)
	}
	word := acceptance{By: by, Time: e.Options.Now(), Cluster: fmt.Sprintf("%x", at.ClusterID)}
	var revision int64
	err = e.Persist(ctx, func() (err error) {
		// It covers those that were accepted one by one, too.
		t := e.Begin().Put(etcd.Accepted, word.value(), 0).Delete(etcd.Folder(etcd.AcceptedKeys))
		revision, err = t.Commit(ctx)
		return err
	})
	if err != nil {
		return 0, e.Explain(ctx, err)
	}
	return revision, nil
}

// ErrThere says that a resource exists whose removal was to be accepted.
var ErrThere = errors.New("some of these are there, and nothing of them is held back")

// AcceptKeys records that these removals were made on purpose. It says nothing of others, or of histories. All of the
// keys must be gone; otherwise it returns ErrThere.
func (e *Store) AcceptKeys(ctx context.Context, by string, keys ...zones.Key) (int64, error) {
	if err := e.Reach(ctx); err != nil {
		return 0, err
	}
	word := acceptance{By: by, Time: e.Options.Now()}.value()
	var revision int64
	err := e.Persist(ctx, func() (err error) {
		t := e.Begin()
		for _, k := range keys {
			t.At(string(k), 0).Put(etcd.AcceptedKeys+string(k), word, 0)
		}
		revision, err = t.Commit(ctx)
		return err
	})
	switch {
	case errors.Is(err, etcd.ErrConflict):
		return 0, ErrThere
	case err != nil:
		return 0, e.Explain(ctx, err)
	}
	return revision, nil
}
