package etcd

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Conn is a client of one member or of several, of which each call ends in time. Names are those of keys.go.
type Conn struct {
	Client *clientv3.Client // for what there is no word here

	cluster  *Cluster
	patience time.Duration // with one call
}

// Within returns a Conn with the same connections, of which each call ends within that time.
func (c *Conn) Within(d time.Duration) *Conn { return &Conn{c.Client, c.cluster, d} }

// Close ends its connections, and with them all calls.
func (c *Conn) Close() error {
	if err := c.Client.Close(); err != nil && !errors.Is(err, c.Client.Ctx().Err()) {
		return err
	}
	return nil
}

// call bounds one call.
func (c *Conn) call(ctx context.Context) (context.Context, context.CancelFunc) {
	done := c.cluster.Late(c.patience)
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	return ctx, func() { done(); cancel() }
}

// again is the pause before a call is tried again that a busy etcd has refused.
const again = 300 * time.Millisecond

// Persist makes a call, which may be made twice. With Options.Waiting it is made again and again while etcd says that
// it is too busy, or has lost its leader: for as long as one call may take.
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

// busy reports whether a member knows a leader, so that who answers nothing is not alone.
func (c *Conn) busy(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := c.Client.Status(ctx, c.Client.Endpoints()[0])
	return err == nil && s.Leader != 0
}

// Silent is the error of a call that nobody has answered in time. ErrBusy: it is not for want of a leader.
func (c *Conn) Silent(ctx context.Context) error {
	if c.busy(ctx) {
		return ErrBusy
	}
	return errors.New("no answer that a quorum agrees on; is there a leader?")
}

// Point is a place in a history: a revision says nothing without the cluster that counted it.
type Point struct {
	ClusterID uint64 // 0: not known
	Revision  int64  // 0: nothing of it is known
}

// KV is what a key holds.
type KV struct {
	Name     string
	Value    []byte
	Revision int64 // of the last put
	Created  int64 // revision of the first put since it was not there
	Lease    Lease // 0: none
}

// Lease is etcd's number of a lease: its keys go when it runs out.
type Lease int64

// Get returns what a key holds, nil where it is not there, and where the cluster is.
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

// Grant takes a lease, in whole seconds, rounded up.
func (c *Conn) Grant(ctx context.Context, span time.Duration) (Lease, error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	answer, err := c.Client.Grant(ctx, int64((span+time.Second-1)/time.Second))
	if err != nil {
		return 0, err
	}
	return Lease(answer.ID), nil
}

// ErrLeaseGone says that a lease has run out or was revoked.
var ErrLeaseGone = rpctypes.ErrLeaseNotFound

// Renew lets a lease begin anew, once. ErrLeaseGone: there is none.
func (c *Conn) Renew(ctx context.Context, l Lease) error {
	ctx, cancel := c.call(ctx)
	defer cancel()
	_, err := c.Client.KeepAliveOnce(ctx, clientv3.LeaseID(l))
	return err
}

// Keep renews a lease until ctx ends. The channel is closed when that is no longer possible.
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

// Revoke ends a lease, and its keys go. It is no error that there is none.
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
