package store

import (
	"context"
	"errors"
	"math"
	"slices"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// What etcd takes. It counts operations and comparisons (--max-txn-ops, 128) along each path through a transaction and
// those that are nested in it, so that a tree of nested transactions, of which each holds few, holds as many as its
// octets allow (--max-request-bytes is 1.5 MiB; what is around keys and values needs some of it).
const (
	mostOps    = 128
	fan        = 40 // of each level of a tree: root, branches and leaves together stay below mostOps
	mostOctets = 1 << 20

	// etcd does nothing else while it makes a transaction: most of what fits into its octets takes it some 100 ms.
	mostWrites   = 8192
	mostCompares = 2 * mostWrites
)

// transaction makes all of the operations if all of the comparisons hold, and else none and returns ErrConflict.
//
// A comparison that fails within a nested transaction only chooses its other branch, while its siblings go on. So that
// other branch reads a revision that is yet to come: etcd looks whether all operations on the chosen path can be done
// before it does the first, and refuses the whole. Keys are compared one by one in this way however many there are, as
// in a small transaction: nobody who changes another name of the zone is in the way, and nothing else need be written
// by everybody (a counter a zone, say) for the fence to hold, which who writes with etcdctl would not.
func (e *Etcd) transaction(ctx context.Context, compares []clientv3.Cmp, ops []clientv3.Op) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, e.o.Timeout)
	defer cancel()
	var answer *clientv3.TxnResponse
	var err error
	if len(compares) <= mostOps && len(ops) <= mostOps {
		answer, err = e.client.Txn(ctx).If(compares...).Then(ops...).Commit()
	} else {
		answer, err = e.client.Txn(ctx).Then(e.tree(compares, ops)...).Commit()
	}
	switch {
	case errors.Is(rpctypes.Error(err), rpctypes.ErrFutureRev):
		return 0, ErrConflict
	case err != nil:
		return 0, err
	case !answer.Succeeded:
		return 0, ErrConflict
	}
	return answer.Header.Revision, nil
}

// tree puts comparisons and operations into nested transactions.
func (e *Etcd) tree(compares []clientv3.Cmp, ops []clientv3.Op) []clientv3.Op {
	never := []clientv3.Op{clientv3.OpGet(e.o.Prefix, clientv3.WithRev(math.MaxInt64))}
	var nodes []clientv3.Op
	for some := range slices.Chunk(compares, fan) {
		nodes = append(nodes, clientv3.OpTxn(some, nil, never))
	}
	for some := range slices.Chunk(ops, fan) {
		nodes = append(nodes, clientv3.OpTxn(nil, some, nil))
	}
	for len(nodes) > fan {
		var parents []clientv3.Op
		for some := range slices.Chunk(nodes, fan) {
			parents = append(parents, clientv3.OpTxn(nil, some, nil))
		}
		nodes = parents
	}
	return nodes
}
