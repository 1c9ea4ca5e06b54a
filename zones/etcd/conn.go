package etcd

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Conn is a client of one member or of several. Every call has a time limit. Names are those of keys.go.
type Conn struct {
	Client *clientv3.Client // for what Conn has no method for

	cluster  *Cluster
	patience time.Duration // the limit of one call
}

// Within returns a Conn with the same connections and another limit for each call.
func (c *Conn) Within(d time.Duration) *Conn { return &Conn{c.Client, c.cluster, d} }

// Close ends the connections, and all calls with them.
func (c *Conn) Close() error {
	if err := c.Client.Close(); err != nil && !errors.Is(err, c.Client.Ctx().Err()) {
		return err
	}
	return nil
}

// call limits one call.
func (c *Conn) call(ctx context.Context) (context.Context, context.CancelFunc) {
	done := c.cluster.Late(c.patience)
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	return ctx, func() { done(); cancel() }
}

// again is the pause before a call that a busy etcd has refused is repeated.
const again = 300 * time.Millisecond

// Persist makes a call that may be repeated. With Options.Waiting, it repeats the call while etcd is too busy or has
// lost its leader, for as long as one call may take.
func (c *Conn) Persist(ctx context.Context, call func() error) error {
	for end := time.Now().Add(c.patience); ; {
		err := call()
		if err == nil || c.cluster.Options.Waiting == nil || !Fleeting(err) {
			return err
		}
		if time.Now().Add(again).After(end) || !Sleep(ctx, again) {
			return err
		}
	}
}

// busy reports whether a member that did not answer knows a leader: then it is busy, not cut off.
func (c *Conn) busy(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := c.Client.Status(ctx, c.Client.Endpoints()[0])
	return err == nil && s.Leader != 0
}

// Silent returns the error of a call that nobody answered in time. It is ErrBusy if there is a leader.
func (c *Conn) Silent(ctx context.Context) error {
	if c.busy(ctx) {
		return ErrBusy
	}
	return errors.New("no answer that a quorum agrees on; is there a leader?")
}

// Point is a place in a history. A revision means nothing without the cluster that counted it.
type Point struct {
	ClusterID uint64 // 0: not known
	Revision  int64  // 0: nothing is known
}

// KV is a key, its value and its revisions.
type KV struct {
	Name     string
	Value    []byte
	Revision int64 // of the last put
	Created  int64 // revision of the first put since the key was last absent
	Lease    Lease // 0: none
}

// Lease is etcd's number of a lease. Its keys are deleted when it runs out.
type Lease int64

// Get returns what a key holds, or nil if it does not exist, and where the cluster is.
func (c *Conn) Get(ctx context.Context, name string, o ...Option) (*KV, Point, error) {
	return c.GetAt(ctx, name, 0, o...)
}

// GetAt is Get at an earlier revision.
func (c *Conn) GetAt(ctx context.Context, name string, revision int64, o ...Option) (found *KV, at Point, err error) {
	at, err = c.Read(ctx, revision, []Range{One(name)}, func(kv KV) { found = &kv }, o...)
	return found, at, err
}

// Here returns where the cluster is, as a quorum of it agrees.
func (c *Conn) Here(ctx context.Context) (Point, error) {
	_, at, err := c.Get(ctx, pulse, KeysOnly())
	return at, err
}

// Put sets a key. lease is zero for none.
func (c *Conn) Put(ctx context.Context, name string, value []byte, lease Lease) error {
	_, err := c.Begin().Put(name, value, lease).Commit(ctx)
	return err
}

// MostSpan is how long a lease may last.
const MostSpan = 9_000_000_000 * time.Second

// Grant takes a lease of whole seconds, rounded up.
func (c *Conn) Grant(ctx context.Context, span time.Duration) (Lease, error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	answer, err := c.Client.Grant(ctx, int64((span+time.Second-1)/time.Second))
	if err != nil {
		return 0, err
	}
	return Lease(answer.ID), nil
}

// ErrLeaseGone is returned for a lease that has run out or was revoked.
var ErrLeaseGone = rpctypes.ErrLeaseNotFound

// Renew lets a lease run from now on, once. It returns ErrLeaseGone if the lease no longer exists.
func (c *Conn) Renew(ctx context.Context, l Lease) error {
	ctx, cancel := c.call(ctx)
	defer cancel()
	_, err := c.Client.KeepAliveOnce(ctx, clientv3.LeaseID(l))
	return err
}

// Keep renews a lease until ctx ends. lost is closed when the lease can no longer be renewed.
func (c *Conn) Keep(ctx context.Context, l Lease) (lost <-chan struct{}, err error) {
	renewed, err := c.Client.KeepAlive(ctx, clientv3.LeaseID(l))
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range renewed {
		}
	}()
	return ended, nil
}

// Revoke ends a lease and deletes its keys. A lease that does not exist is no error.
func (c *Conn) Revoke(ctx context.Context, l Lease) error {
	if l == 0 {
		return nil
	}
	ctx, cancel := c.call(ctx)
	defer cancel()
	if _, err := c.Client.Revoke(ctx, clientv3.LeaseID(l)); !errors.Is(err, ErrLeaseGone) {
		return err
	}
	return nil
}
