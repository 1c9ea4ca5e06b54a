package store

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/zones"
)

// Point is a place in a history: a revision says nothing without the cluster that counted it.
type Point struct {
	ClusterID uint64 // 0: not known
	Revision  int64  // 0: nothing of it is known
}

// Listing is everything there is at one revision.
type Listing struct {
	Point
	Changes  []zones.Change       // sorted by key; what cannot be read has its Err
	Granted  map[zones.Key]int64  // removals that were accepted by themselves, and when
	Accepted int64                // the revision of meta/accepted; 0: never
	Leases   map[zones.Key]Lease  // of the keys that have one
	Serials  zones.Serials        // what servers keep of zones' serials
	Owners   map[zones.Key]string // of the resources that have one; nil where the listing did not ask
	last     witness
	marks    *marks // nil: not asked for
}

// Lease is etcd's number of a lease: the key goes when it runs out.
type Lease int64

// Resources returns what can be read, sorted by key.
func (l *Listing) Resources() []zones.Resource {
	rs := make([]zones.Resource, 0, len(l.Changes))
	for _, c := range l.Changes {
		if c.Err == nil {
			rs = append(rs, c.Resource)
		}
	}
	return rs
}

// Problems returns what cannot be read.
func (l *Listing) Problems() zones.Problems {
	var ps zones.Problems
	for _, c := range l.Changes {
		if c.Err != nil {
			ps = append(ps, zones.Problem{Key: c.Key, Message: c.Err.Error(), Revision: c.Revision})
		}
	}
	return ps
}

// revision returns the revision of a key, readable or not; 0 if it is not there.
func (l *Listing) revision(k zones.Key) int64 {
	i, ok := slices.BinarySearchFunc(l.Changes, k, func(c zones.Change, k zones.Key) int { return strings.Compare(string(c.Key), string(k)) })
	if !ok {
		return 0
	}
	return l.Changes[i].Revision
}

// List reads everything, or all of some kinds, at one revision that the cluster agrees on. It needs a quorum.
func (e *Etcd) List(ctx context.Context, kinds ...zones.Kind) (*Listing, error) {
	if err := e.reach(ctx); err != nil {
		return nil, err
	}
	var folders [][2]string
	for _, kind := range kinds {
		folder := string(zones.KeyOf(kind, ""))
		folders = append(folders, [2]string{folder, after(folder)}, [2]string{owners + folder, after(owners + folder)})
	}
	if len(folders) == 0 {
		folders = append([][2]string{{owners, after(owners)}}, everything...)
	}
	slices.SortFunc(folders, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	l := newListing(0)
	l.marks = &marks{all: map[zones.Key]mark{}}
	if err := e.read(ctx, e.client, l, folders); err != nil {
		return nil, e.why(ctx, err)
	}
	l.Owners = l.owned()
	return l, nil
}

func newListing(at int64) *Listing {
	return &Listing{Point: Point{Revision: at}, Leases: map[zones.Key]Lease{}}
}

// page is how many keys are read at first. Later pages are as many as fill pageBytes: etcd walks its index to the end
// of the range for each page, whatever the limit, so a million keys in pages of a thousand cost it minutes, and in
// pages of some MiB seconds, while neither side holds much more than what is kept.
const (
	page      = 1000
	pageBytes = 4 << 20
	pageMost  = 50_000
)

// everything is all keys but those in folders that are no resources' and may be large.
var everything = [][2]string{{"", owners}, {after(owners), reports}, {after(reports), vantages}, {after(vantages), ""}}

// list reads ranges of keys in pages, at a revision or, where that is 0, at the newest.
func (e *Etcd) list(ctx context.Context, c *clientv3.Client, at int64, ranges [][2]string, options ...clientv3.OpOption) (*Listing, error) {
	l := newListing(at)
	if err := e.read(ctx, c, l, ranges, options...); err != nil {
		return nil, err
	}
	return l, nil
}

// read reads ranges of keys into a listing.
func (e *Etcd) read(ctx context.Context, c *clientv3.Client, l *Listing, ranges [][2]string, options ...clientv3.OpOption) error {
	for _, r := range ranges {
		from, to := e.o.Prefix+r[0], e.o.Prefix+r[1]
		if r[1] == "" {
			to = after(e.o.Prefix)
		}
		for limit := page; ; {
			o := append([]clientv3.OpOption{clientv3.WithRange(to), clientv3.WithLimit(int64(limit)), clientv3.WithRev(l.Revision)}, options...)
			answer, err := e.get(ctx, c, from, o...)
			if err != nil {
				return err
			}
			if l.ClusterID == 0 {
				l.ClusterID = answer.Header.ClusterId
				if l.Revision == 0 {
					l.Revision = answer.Header.Revision
				}
			}
			size := 1
			for _, kv := range answer.Kvs {
				size += len(kv.Key) + len(kv.Value)
				l.take(e, kv)
			}
			if !answer.More || len(answer.Kvs) == 0 {
				break
			}
			from = string(answer.Kvs[len(answer.Kvs)-1].Key) + "\x00"
			limit = min(max(page, len(answer.Kvs)*pageBytes/size), pageMost)
		}
	}
	return nil
}

func (l *Listing) take(e *Etcd, kv *mvccpb.KeyValue) {
	l.last.see(kv)
	if string(kv.Key) == e.o.Prefix+accepted {
		l.Accepted = kv.ModRevision
	}
	e.serial(kv, &l.Serials)
	if k, ok := strings.CutPrefix(string(kv.Key), e.o.Prefix+granted); ok {
		if l.Granted == nil {
			l.Granted = map[zones.Key]int64{}
		}
		l.Granted[zones.Key(k)] = kv.ModRevision
		return
	}
	if l.marks.take(string(kv.Key[len(e.o.Prefix):]), kv) {
		return
	}
	c, ok := e.change(kv.Key, kv.Value, kv.ModRevision, false)
	if !ok {
		return
	}
	if kv.Lease != 0 {
		l.Leases[c.Key] = Lease(kv.Lease)
	}
	l.Changes = append(l.Changes, c)
	if l.marks != nil {
		l.marks.born = append(l.marks.born, kv.CreateRevision)
	}
}

// get is one read, within the time that one call may take.
func (e *Etcd) get(ctx context.Context, c *clientv3.Client, key string, o ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, e.o.Timeout)
	defer cancel()
	return c.Get(ctx, key, o...)
}

// after returns the first key that does not begin with the prefix, which ends in a slash.
func after(prefix string) string { return prefix[:len(prefix)-1] + "0" }

// witness is the newest put that was seen of a history. Another history that has reached the same revision (a backup
// restored under the same name, and written to since) does not have it.
type witness struct {
	key      string
	revision int64
	sum      uint64
}

func (w *witness) see(kv *mvccpb.KeyValue) {
	if kv.ModRevision > w.revision {
		*w = witness{string(kv.Key), kv.ModRevision, sum(kv.Value)}
	}
}

func sum(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}

// testimony is what a history says of a witness.
type testimony int

const (
	unproven testimony = iota // compacted, or nothing to ask for
	same
	other
)

func (e *Etcd) ask(ctx context.Context, c *clientv3.Client, w witness) (testimony, error) {
	if w.revision == 0 {
		return unproven, nil
	}
	answer, err := e.get(ctx, c, w.key, clientv3.WithRev(w.revision))
	switch {
	case errors.Is(err, rpctypes.ErrCompacted):
		return unproven, nil
	case errors.Is(err, rpctypes.ErrFutureRev):
		return other, nil
	case err != nil:
		return unproven, err
	case len(answer.Kvs) == 1 && answer.Kvs[0].ModRevision == w.revision && sum(answer.Kvs[0].Value) == w.sum &&
		bytes.Equal(answer.Kvs[0].Key, []byte(w.key)):
		return same, nil
	}
	return other, nil
}
