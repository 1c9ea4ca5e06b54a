// Package store is the resources that live in etcd.
//
// Follow lists everything at one revision, then watches from the next. When a watch ends, the next one uses a fresh
// connection to the next member. It goes on where the last one was if etcd proves that its history is still the one
// that was followed; else everything is listed again. Another history (a restored backup, a wiped cluster, an address
// that leads elsewhere) is not taken until an operator has accepted it.
//
// Writing is one transaction that compares what the writer has seen, so that two writers at once cannot lose each
// other's change nor leave a reference to nothing.
//
//	etcd ── list, watch ──▶ Follow ──▶ zones.Batch, Condition
//	  ▲
//	  └── transaction ◀── premises ◀── Plan ◀── a writer's function ◀── Listing ◀── list
package store

import (
	"fmt"
	"sync"

	"leeward/zones"
	"leeward/zones/document"
	"leeward/zones/etcd"
)

// Store is the resources below a prefix of an etcd cluster. Its methods may be called from several goroutines.
type Store struct {
	*etcd.Cluster

	mu    sync.Mutex
	known etcd.Point // what the receiver of Follow has
}

// Dial prepares to speak to etcd; see etcd.Dial.
func Dial(o etcd.Options) (*Store, error) {
	c, err := etcd.Dial(o)
	if err != nil {
		return nil, err
	}
	return &Store{Cluster: c}, nil
}

// change reads a change from a key. It returns false if the key is not meant to hold a resource.
func (e *Store) change(kv etcd.KV, deleted bool) (zones.Change, bool) {
	c := zones.Change{Key: zones.Key(kv.Name), Revision: kv.Revision}
	switch {
	case etcd.Beside(kv.Name):
		return c, false
	case deleted:
	case c.Key.Kind() == "":
		c.Err = zones.Problems{{Key: c.Key, Code: zones.CodeStray, Message: fmt.Sprintf("no kind of resource is kept "+
			"in %s; delete it, or put it where its kind belongs (zones, records, regions, …)", e.Key(kv.Name))}}
	default:
		c.Resource, c.Err = document.Decode(c.Key, kv.Value)
	}
	return c, true
}
