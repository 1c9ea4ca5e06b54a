package store

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/zones"
)

// Accept says that what went away up to now went away on purpose, and that the history of this cluster is the right
// one. It returns the revision of the word.
func (e *Etcd) Accept(ctx context.Context, by string) (int64, error) {
	if err := e.reach(ctx); err != nil {
		return 0, err
	}
	at, err := e.get(ctx, e.client, e.o.Prefix+accepted)
	if err != nil {
		return 0, e.why(ctx, err)
	}
	word := acceptance{By: by, Time: e.o.Now(), Cluster: fmt.Sprintf("%x", at.Header.ClusterId)}
	all := e.o.Prefix + granted // this word holds for them too
	revision, err := e.transaction(ctx, nil, []clientv3.Op{
		clientv3.OpPut(e.o.Prefix+accepted, word.value()), clientv3.OpDelete(all, clientv3.WithRange(after(all))),
	})
	if err != nil {
		return 0, e.why(ctx, err)
	}
	return revision, nil
}

// ErrThere says that a resource whose removal was to be accepted is there.
var ErrThere = errors.New("some of these are there, and nothing of them is held back")

// AcceptKeys says that these went away on purpose, and nothing of others, nor of which history is the right one. They
// must be gone: ErrThere if one is not.
func (e *Etcd) AcceptKeys(ctx context.Context, by string, keys ...zones.Key) (int64, error) {
	if err := e.reach(ctx); err != nil {
		return 0, err
	}
	var compares []clientv3.Cmp
	var ops []clientv3.Op
	word := acceptance{By: by, Time: e.o.Now()}.value()
	for _, k := range keys {
		compares = append(compares, clientv3.Compare(clientv3.CreateRevision(e.path(k)), "=", 0))
		ops = append(ops, clientv3.OpPut(e.path(granted+k), word))
	}
	revision, err := e.transaction(ctx, compares, ops)
	switch {
	case errors.Is(err, ErrConflict):
		return 0, ErrThere
	case err != nil:
		return 0, e.why(ctx, err)
	}
	return revision, nil
}
