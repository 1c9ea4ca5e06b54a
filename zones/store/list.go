package store

import (
	"context"
	"slices"
	"strings"

	"leeward/zones"
	"leeward/zones/etcd"
)

// Listing is everything there is at one revision.
type Listing struct {
	etcd.Point
	Changes  []zones.Change           // sorted by key; Err is set if a value cannot be read
	Granted  map[zones.Key]int64      // removals that were accepted one by one, and at which revision
	Accepted int64                    // the revision of meta/accepted; 0: never
	Leases   map[zones.Key]etcd.Lease // of the keys that have one
	Serials  zones.Serials            // what servers keep of zones' serials
	Sealed   map[string][]byte        // sealed keys of zones, by place
	Owners   map[zones.Key]string     // of the resources that have one; nil if the listing did not ask
	last     witness
	marks    *marks // nil: not asked for
}

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
	i, ok := slices.BinarySearchFunc(l.Changes, k, func(c zones.Change, k zones.Key) int {
		return strings.Compare(string(c.Key), string(k))
	})
	if !ok {
		return 0
	}
	return l.Changes[i].Revision
}

// everything is all keys, except folders that hold no resources and may be large.
var everything = beside(etcd.Owners, etcd.Reports, etcd.Vantages)

// beside returns the ranges between folders, which are sorted.
func beside(folders ...string) (ranges []etcd.Range) {
	from := ""
	for _, f := range folders {
		ranges = append(ranges, etcd.Range{From: from, To: f})
		from = etcd.Folder(f).To
	}
	return append(ranges, etcd.Range{From: from})
}

// List reads everything, or all of some kinds, at one revision that the cluster agrees on. It needs a quorum.
func (e *Store) List(ctx context.Context, kinds ...zones.Kind) (*Listing, error) {
	if err := e.Reach(ctx); err != nil {
		return nil, err
	}
	var ranges []etcd.Range
	for _, kind := range kinds {
		folder := string(zones.KeyOf(kind, ""))
		ranges = append(ranges, etcd.Folder(folder), etcd.Folder(etcd.Owners+folder))
	}
	if len(ranges) == 0 {
		ranges = beside(etcd.Reports, etcd.Vantages)
	}
	slices.SortFunc(ranges, func(a, b etcd.Range) int { return strings.Compare(a.From, b.From) })
	var l *Listing
	if err := etcd.Anew(func() error {
		l = &Listing{marks: &marks{all: map[zones.Key]mark{}}}
		return e.read(ctx, e.Conn, l, 0, ranges)
	}); err != nil {
		return nil, e.Explain(ctx, err)
	}
	l.Owners = l.owned()
	return l, nil
}

// list reads everything at a revision, or at the newest if that is 0.
func (e *Store) list(ctx context.Context, c *etcd.Conn, at int64, o ...etcd.Option) (l *Listing, err error) {
	read := func() error {
		l = &Listing{}
		return e.read(ctx, c, l, at, everything, o...)
	}
	if at != 0 {
		err = read()
	} else {
		err = etcd.Anew(read)
	}
	return l, err
}

func (e *Store) read(
	ctx context.Context, c *etcd.Conn, l *Listing, at int64, ranges []etcd.Range, o ...etcd.Option,
) (err error) {
	l.Point, err = c.Read(ctx, at, ranges, func(kv etcd.KV) { l.take(e, kv) }, o...)
	return err
}

// take adds a key to the listing.
func (l *Listing) take(e *Store, kv etcd.KV) {
	l.last.see(kv)
	if kv.Name == etcd.Accepted {
		l.Accepted = kv.Revision
	}
	serial(kv, &l.Serials)
	if place, ok := strings.CutPrefix(kv.Name, etcd.Keys); ok {
		if l.Sealed == nil {
			l.Sealed = map[string][]byte{}
		}
		l.Sealed[place] = append([]byte{}, kv.Value...) // not nil, though it may be empty
		return
	}
	if k, ok := strings.CutPrefix(kv.Name, etcd.AcceptedKeys); ok {
		if l.Granted == nil {
			l.Granted = map[zones.Key]int64{}
		}
		l.Granted[zones.Key(k)] = kv.Revision
		return
	}
	if l.marks.take(kv) {
		return
	}
	c, ok := e.change(kv, false)
	if !ok {
		return
	}
	if kv.Lease != 0 {
		if l.Leases == nil {
			l.Leases = map[zones.Key]etcd.Lease{}
		}
		l.Leases[c.Key] = kv.Lease
	}
	l.Changes = append(l.Changes, c)
	if l.marks != nil {
		l.marks.born = append(l.marks.born, kv.Created)
	}
}
