package etcd

import (
	"context"
	"errors"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Option changes what is read.
type Option = clientv3.OpOption

// KeysOnly leaves out values.
func KeysOnly() Option { return clientv3.WithKeysOnly() }

// Alone lets one member answer by itself, without a quorum. The answer may be old, and etcd's proxy caches such answers
// for ever, whatever others write.
func Alone() Option { return clientv3.WithSerializable() }

// Since leaves out what was put before a revision.
func Since(revision int64) Option { return clientv3.WithMinModRev(revision) }

// Led makes calls and watches fail at once on a member that has no leader.
func Led(ctx context.Context) context.Context { return clientv3.WithRequireLeader(ctx) }

// Why a revision cannot be read: etcd has compacted it, or has not reached it yet.
var (
	ErrCompacted = rpctypes.ErrCompacted
	ErrFuture    = rpctypes.ErrFutureRev
)

// FirstPage is how many keys are read first. Later pages have as many as fill pageBytes. For each page etcd walks its
// index to the end of the range, whatever the limit is. So a million keys take minutes in pages of a thousand, and
// seconds in pages of some MiB, and neither side has to hold much more than the keys themselves.
const (
	FirstPage = 1000
	pageBytes = 4 << 20
	pageMost  = 50_000
)

// Read calls each for all keys in some ranges, in their order, at one revision: the given one, or the newest if it is
// 0. It reads in pages, with a call for each. It returns the revision.
func (c *Conn) Read(ctx context.Context, at int64, ranges []Range, each func(KV), o ...Option) (Point, error) {
	point := Point{Revision: at}
	for _, r := range ranges {
		from, to := c.cluster.ends(r)
		for limit := FirstPage; ; {
			var answer *clientv3.GetResponse
			err := c.Persist(ctx, func() (err error) {
				answer, err = c.page(ctx, from, append([]Option{
					clientv3.WithRange(to), clientv3.WithLimit(int64(limit)), clientv3.WithRev(point.Revision),
				}, o...))
				return err
			})
			if err != nil {
				return Point{}, err
			}
			point.pin(answer.Header)
			size := 1
			for _, kv := range answer.Kvs {
				size += len(kv.Key) + len(kv.Value)
				each(c.cluster.kv(kv))
			}
			if !answer.More || len(answer.Kvs) == 0 {
				break
			}
			from = string(answer.Kvs[len(answer.Kvs)-1].Key) + "\x00"
			limit = min(max(FirstPage, len(answer.Kvs)*pageBytes/size), pageMost)
		}
	}
	return point, nil
}

// mostAnew is how often Anew reads.
const mostAnew = 3

// Anew reads the newest revision in several pages. If etcd forgets that revision before the last page, it reads again:
// another server, or etcd itself, may compact while a large list is read.
func Anew(read func() error) error {
	err := read()
	for n := 1; n < mostAnew && errors.Is(err, ErrCompacted); n++ {
		err = read()
	}
	return err
}

func (c *Conn) page(ctx context.Context, from string, o []Option) (*clientv3.GetResponse, error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	answer, err := c.Client.Get(ctx, from, o...)
	return answer, rpctypes.Error(err)
}

// pin takes the cluster and the revision from an answer, unless they are known already.
func (p *Point) pin(h *pb.ResponseHeader) {
	if p.ClusterID == 0 {
		p.ClusterID = h.ClusterId
	}
	if p.Revision == 0 {
		p.Revision = h.Revision
	}
}

// kv converts a key of an answer.
func (c *Cluster) kv(kv *mvccpb.KeyValue) KV {
	return KV{c.name(kv.Key), kv.Value, kv.ModRevision, kv.CreateRevision, Lease(kv.Lease)}
}

// ReadMany is Read for many small ranges; each call reads as many as etcd allows.
func (c *Conn) ReadMany(ctx context.Context, ranges []Range, each func(KV)) (Point, error) {
	var point Point
	for part := range slices.Chunk(ranges, mostOps) {
		var ops []clientv3.Op
		for _, r := range part {
			from, to := c.cluster.ends(r)
			ops = append(ops, clientv3.OpGet(from, clientv3.WithRange(to), clientv3.WithRev(point.Revision)))
		}
		call, cancel := c.call(ctx)
		answer, err := c.Client.Txn(call).Then(ops...).Commit()
		cancel()
		if err != nil {
			return Point{}, rpctypes.Error(err)
		}
		point.pin(answer.Header)
		for _, r := range answer.Responses {
			for _, kv := range r.GetResponseRange().Kvs {
				each(c.cluster.kv(kv))
			}
		}
	}
	return point, nil
}
