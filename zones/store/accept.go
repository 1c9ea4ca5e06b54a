package store

import (
	"context"
	"errors"
	"fmt"

	"leeward/zones"
	"leeward/zones/etcd"
)

// Accept says that what went away up to now went away on purpose, and that the history of this cluster is the right
// one. It returns the revision of the word.
func (e *Etcd) Accept(ctx context.Context, by string) (int64, error) {
	if err := e.Reach(ctx); err != nil {
		return 0, err
	}
	_, at, err := e.Get(ctx, etcd.Accepted)
	if err != nil {
		return 0, e.Explain(ctx, err)
	}
	word := acceptance{By: by, Time: e.Options.Now(), Cluster: fmt.Sprintf("%x", at.ClusterID)}
	// This word holds for those that were accepted one by one, too.
	revision, err := e.Begin().Put(etcd.Accepted, word.value(), 0).Delete(etcd.Folder(etcd.AcceptedKeys)).Commit(ctx)
	if err != nil {
		return 0, e.Explain(ctx, err)
	}
	return revision, nil
}

// ErrThere says that a resource whose removal was to be accepted is there.
var ErrThere = errors.New("some of these are there, and nothing of them is held back")

// AcceptKeys says that these went away on purpose, and nothing of others, nor of which history is the right one. They
// must be gone: ErrThere if one is not.
func (e *Etcd) AcceptKeys(ctx context.Context, by string, keys ...zones.Key) (int64, error) {
	if err := e.Reach(ctx); err != nil {
		return 0, err
	}
	t := e.Begin()
	word := acceptance{By: by, Time: e.Options.Now()}.value()
	for _, k := range keys {
		t.At(string(k), 0).Put(etcd.AcceptedKeys+string(k), word, 0)
	}
	revision, err := t.Commit(ctx)
	switch {
	case errors.Is(err, etcd.ErrConflict):
		return 0, ErrThere
	case err != nil:
		return 0, e.Explain(ctx, err)
	}
	return revision, nil
}
