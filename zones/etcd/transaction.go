package etcd

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
	mostOps = 128
	fan     = 40 // of each level of a tree: root, branches and leaves together stay below mostOps

	// MostOctets bounds what a transaction holds: keys, values, and AroundOp for each operation and each comparison,
	// which is the most that etcd's protocol puts around one that is nested.
	MostOctets = 1 << 20
	AroundOp   = 32

	// MostWrites and MostCompares bound how long one takes: etcd does nothing else while it makes it. Most of what fits
	// into its octets takes it some 100 ms.
	MostWrites   = 8192
	MostCompares = 2 * MostWrites
)

// ErrConflict says that a comparison did not hold: somebody else was faster. Nothing of that transaction was done.
var ErrConflict = errors.New("someone else changed the same resources, or what they refer to, meanwhile")

// Txn is a transaction: if all of its comparisons hold when it is made, all of its writes are, in one revision.
type Txn struct {
	conn     *Conn
	compares []clientv3.Cmp
	ops      []clientv3.Op
}

// Begin returns a transaction with nothing in it.
func (c *Conn) Begin() *Txn { return &Txn{conn: c} }

// At compares: the key was put at that revision, or is not there where that is 0.
func (t *Txn) At(name string, revision int64) *Txn {
	t.compares = append(t.compares, clientv3.Compare(clientv3.ModRevision(t.conn.cluster.Key(name)), "=", revision))
	return t
}

// Calm compares: nothing that is in the range was put after that revision. It does not see what was deleted.
func (t *Txn) Calm(r Range, revision int64) *Txn {
	from, to := t.conn.cluster.ends(r)
	t.compares = append(t.compares, clientv3.Compare(clientv3.ModRevision(from), "<", revision+1).WithRange(to))
	return t
}

// On compares: the key is there, and on that lease.
func (t *Txn) On(name string, l Lease) *Txn {
	value := clientv3.LeaseValue(t.conn.cluster.Key(name))
	t.compares = append(t.compares, clientv3.Compare(value, "=", clientv3.LeaseID(l)))
	return t
}

// Put sets a key. lease is zero for none.
func (t *Txn) Put(name string, value []byte, lease Lease) *Txn {
	var o []clientv3.OpOption
	if lease != 0 {
		o = append(o, clientv3.WithLease(clientv3.LeaseID(lease)))
	}
	t.ops = append(t.ops, clientv3.OpPut(t.conn.cluster.Key(name), string(value), o...))
	return t
}

// Delete removes all keys of a range.
func (t *Txn) Delete(r Range) *Txn {
	from, to := t.conn.cluster.ends(r)
	t.ops = append(t.ops, clientv3.OpDelete(from, clientv3.WithRange(to)))
	return t
}

// Writes returns how many puts and deletions there are.
func (t *Txn) Writes() int { return len(t.ops) }

// Commit makes the transaction, and returns its revision. ErrConflict: a comparison did not hold. After another error
// it is not known whether it was made.
//
// What is larger than etcd's limit for one transaction becomes a tree of nested ones. A comparison that fails within a
// nested transaction only chooses its other branch, while its siblings go on. So that other branch reads a revision
// that is yet to come: etcd looks whether all operations on the chosen path can be done before it does the first, and
// refuses the whole. Keys are compared one by one in this way however many there are, as in a small transaction: nobody
// who changes another name of the zone is in the way. A counter for each zone, say, would have to be written by
// everybody for the fence to hold, which who writes with etcdctl would not.
func (t *Txn) Commit(ctx context.Context) (int64, error) {
	ctx, cancel := t.conn.call(ctx)
	defer cancel()
	txn := t.conn.Client.Txn(ctx)
	if len(t.compares) <= mostOps && len(t.ops) <= mostOps {
		txn = txn.If(t.compares...).Then(t.ops...)
	} else {
		txn = txn.Then(t.tree()...)
	}
	answer, err := txn.Commit()
	switch err = rpctypes.Error(err); {
	case errors.Is(err, ErrFuture):
		return 0, ErrConflict
	case err != nil:
		return 0, err
	case !answer.Succeeded:
		return 0, ErrConflict
	}
	return answer.Header.Revision, nil
}

// tree puts comparisons and operations into nested transactions.
func (t *Txn) tree() []clientv3.Op {
	never := []clientv3.Op{clientv3.OpGet(t.conn.cluster.Prefix(), clientv3.WithRev(math.MaxInt64))}
	var nodes []clientv3.Op
	for some := range slices.Chunk(t.compares, fan) {
		nodes = append(nodes, clientv3.OpTxn(some, nil, never))
	}
	for some := range slices.Chunk(t.ops, fan) {
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
