package etcd

import (
	"context"
	"errors"
	"math"
	"slices"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// What etcd allows. It counts operations and comparisons (--max-txn-ops, 128) along each path through a transaction and
// those nested in it. So a tree of nested transactions, each with few operations, can have as many as fit into its
// octets. --max-request-bytes is 1.5 MiB; the encoding around keys and values needs a part of it.
const (
	mostOps = 128
	fan     = 40 // for each level of a tree: root, branches and leaves together stay below mostOps

	// MostOctets bounds a transaction: keys, values, and AroundOp for each operation and comparison, which is the most
	// that etcd's protocol adds to a nested one.
	MostOctets = 1 << 20
	AroundOp   = 32

	// MostWrites and MostCompares bound how long a transaction takes, as etcd does nothing else meanwhile. What fits
	// into MostOctets usually takes some 100 ms.
	MostWrites   = 8192
	MostCompares = 2 * MostWrites
)

// ErrConflict is returned if a comparison failed: somebody else was faster. Nothing of the transaction was done.
var ErrConflict = errors.New("someone else changed the same resources, or what they refer to, in the meantime")

// Txn is a transaction. If all its comparisons hold, all its writes are made, in one revision.
type Txn struct {
	conn     *Conn
	compares []clientv3.Cmp
	ops      []clientv3.Op
}

// Begin returns an empty transaction.
func (c *Conn) Begin() *Txn { return &Txn{conn: c} }

// At compares: the key was last put at that revision, or does not exist if that is 0.
func (t *Txn) At(name string, revision int64) *Txn {
	t.compares = append(t.compares, clientv3.Compare(clientv3.ModRevision(t.conn.cluster.Key(name)), "=", revision))
	return t
}

// Calm compares: nothing that is in the range was put after that revision. It does not notice deletions.
func (t *Txn) Calm(r Range, revision int64) *Txn {
	from, to := t.conn.cluster.ends(r)
	t.compares = append(t.compares, clientv3.Compare(clientv3.ModRevision(from), "<", revision+1).WithRange(to))
	return t
}

// On compares: the key exists and has that lease.
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

// Writes returns the number of puts and deletions.
func (t *Txn) Writes() int { return len(t.ops) }

// Commit makes the transaction and returns its revision, or ErrConflict if a comparison failed. After any other error
// it is not known whether the transaction was made.
//
// A transaction above etcd's limit becomes a tree of nested ones. A comparison that fails in a nested transaction only
// chooses its other branch, while its siblings go on. So that other branch reads a revision in the future: etcd checks
// all operations on the chosen path before it does the first, and refuses the whole.
//
// In this way any number of keys is compared one by one, as in a small transaction, and nobody who changes another name
// of the zone interferes. A counter for each zone would have to be written by everybody to protect anything, and people
// with etcdctl would not.
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

// tree arranges comparisons and operations as nested transactions.
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
