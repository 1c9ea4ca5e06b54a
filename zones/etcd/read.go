package etcd

import (
	"context"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Option changes what is read.
type Option = clientv3.OpOption

// KeysOnly leaves values out.
func KeysOnly() Option { return clientv3.WithKeysOnly() }

// Alone has one member answer by itself, without a quorum. What it says may be old, and etcd's proxy keeps such answers
// for ever, whatever others write.
func Alone() Option { return clientv3.WithSerializable() }

// Since leaves out what was put before a revision.
func Since(revision int64) Option { return clientv3.WithMinModRev(revision) }

// Led has calls and watches fail at once on a member that knows of no leader.
func Led(ctx context.Context) context.Context { return clientv3.WithRequireLeader(ctx) }

// Why a revision cannot be read: etcd has forgotten it, or has not come to it yet.
var (
	ErrCompacted = rpctypes.ErrCompacted
	ErrFuture    = rpctypes.ErrFutureRev
)

// FirstPage is how many keys are read at first. Later pages are as many as fill pageBytes: etcd walks its index to the
// end of the range for each page, whatever the limit, so a million keys in pages of a thousand cost it minutes, and in
// pages of some MiB seconds, while neither side holds much more than what is kept.
const (
	FirstPage = 1000
	pageBytes = 4 << 20
	pageMost  = 50_000
)

// Read calls back with all keys in some ranges, in their order, at one revision: that one or, where it is 0, the
// newest. It reads in pages, each of which is a call. It returns which revision that is.
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

func (c *Conn) page(ctx context.Context, from string, o []Option) (*clientv3.GetResponse, error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	answer, err := c.Client.Get(ctx, from, o...)
	return answer, rpctypes.Error(err)
}

// pin takes over where an answer is from, but for what is known.
func (p *Point) pin(h *pb.ResponseHeader) {
	if p.ClusterID == 0 {
		p.ClusterID = h.ClusterId
	}
	if p.Revision == 0 {
		p.Revision = h.Revision
	}
}

// kv is an answer's key, by its name.
func (c *Cluster) kv(kv *mvccpb.KeyValue) KV {
	return KV{c.name(kv.Key), kv.Value, kv.ModRevision, kv.CreateRevision, Lease(kv.Lease)}
}

// ReadMany is Read for many small ranges, of which one call reads as many as etcd takes.
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
