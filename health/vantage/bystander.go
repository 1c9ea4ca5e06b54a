package vantage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"leeward/zones/etcd"
)

// A bystander is a server that probes nothing. It follows what vantages report, and writes only what it says of itself,
// under a key that no server watches: a thousand bystanders cost each other nothing. The key has a lease. Renewing it
// makes no revision, and when the server is gone etcd removes the key. (Vantages have no leases, because their reports
// must outlive them.)

// Times of a bystander, in heartbeats of a vantage (Options.Every). Its lease ends leaseBeats after it was last
// renewed, unless etcd's leader changes meanwhile. What the server says of itself is written at most once a heartbeat.
const (
	leaseBeats = 15
	renewBeats = leaseBeats / 3
)

// standUntil is until for a bystander.
func (l *Link) standUntil() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.server == nil { // there is nothing to say yet
		return time.Hour
	}
	wait := renewBeats*l.options.Every - time.Since(l.renewed)
	if l.untold {
		wait = min(wait, l.options.Every-time.Since(l.toldAt))
	}
	return wait
}

// renew renews the lease, or takes a new one, and makes sure that the key is on it and holds what it should.
func (l *Link) renew(ctx context.Context) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	lease, server, closed := l.lease, l.server, l.closed
	l.mu.Unlock()
	if closed || server == nil {
		return nil
	}
	c := l.member(patience)
	began := time.Now()
	if lease != 0 {
		if err := c.Renew(ctx, lease); errors.Is(err, etcd.ErrLeaseGone) {
			lease = 0
		} else if err != nil {
			return err
		}
	}
	fresh := lease == 0
	if fresh {
		var err error
		if lease, err = c.Grant(ctx, leaseBeats*l.options.Every); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.lease = lease
	tell := fresh || l.untold && began.Sub(l.toldAt) >= l.options.Every
	l.mu.Unlock()

	t := c.Begin().On(l.about, lease)
	if tell {
		t.Put(l.about, server, lease)
	}
	_, err := t.Commit(ctx)
	lost := errors.Is(err, etcd.ErrConflict) // the key is gone, or on another lease
	another := false
	if lost {
		var held *etcd.KV
		if held, _, err = c.Get(ctx, l.about, etcd.KeysOnly()); err == nil {
			another = held != nil && !fresh
			err = c.Put(ctx, l.about, server, lease)
		}
	}
	l.metrics.written(1, err)
	if errors.Is(err, etcd.ErrDenied) {
		return fmt.Errorf("%w: grant this user readwrite on the prefix %s too", err, l.etcd.Key(etcd.Servers))
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed, l.status.Problem = began, ""
	if tell || lost {
		l.toldAt = began
		l.untold = string(server) != string(l.server)
	}
	if another {
		l.status.Problem = fmt.Sprintf("another server writes as %q; give each an --id of its own", l.options.ID)
		l.options.Log.Error("two servers have one name", "id", l.options.ID)
	}
	return nil
}

// Bystanders returns what the servers that probe nothing say of themselves, sorted by name.
func Bystanders(ctx context.Context, c *etcd.Cluster) ([]json.RawMessage, error) {
	// Only if there is no quorum is one member asked alone: etcd's proxy keeps such answers for ever, whatever others
	// write.
	agreed := ctx
	if limit, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		agreed, cancel = context.WithTimeout(ctx, time.Until(limit)/2)
		defer cancel()
	}
	all, err := bystanders(agreed, c)
	if err != nil && ctx.Err() == nil {
		all, err = bystanders(ctx, c, etcd.Alone())
	}
	if err != nil {
		return nil, fmt.Errorf("reading what servers that do not probe say of themselves: %w", err)
	}
	return all, nil
}

func bystanders(ctx context.Context, c *etcd.Cluster, o ...etcd.Option) (all []json.RawMessage, err error) {
	_, err = c.Read(ctx, 0, []etcd.Range{etcd.Folder(etcd.Servers)}, func(kv etcd.KV) {
		if json.Valid(kv.Value) {
			all = append(all, kv.Value)
		} else {
			c.Log().Warn("not what a server says of itself: no JSON", "key", kv.Name)
		}
	}, o...)
	return all, err
}
