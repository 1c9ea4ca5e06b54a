package store

import (
	"context"
	"errors"
	"hash/fnv"

	"leeward/zones/etcd"
)

// witness is the newest put that was seen in a history. Another history at the same revision does not have it: for
// example a backup that was restored under the same name and written to since.
type witness struct {
	name     string
	revision int64
	sum      uint64
}

func (w *witness) see(kv etcd.KV) {
	if kv.Revision > w.revision {
		*w = witness{kv.Name, kv.Revision, sum(kv.Value)}
	}
}

func sum(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}

// testimony is what a history says about a witness.
type testimony int

const (
	unproven testimony = iota // compacted, or nothing to ask for
	same
	other
)

// ask looks for the witness in the history that is here.
func (w witness) ask(ctx context.Context, c *etcd.Conn) (testimony, error) {
	if w.revision == 0 {
		return unproven, nil
	}
	held, _, err := c.GetAt(ctx, w.name, w.revision)
	switch {
	case errors.Is(err, etcd.ErrCompacted):
		return unproven, nil
	case errors.Is(err, etcd.ErrFuture):
		return other, nil
	case err != nil:
		return unproven, err
	case held != nil && held.Revision == w.revision && sum(held.Value) == w.sum:
		return same, nil
	}
	return other, nil
}
