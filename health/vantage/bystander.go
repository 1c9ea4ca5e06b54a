package vantage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"leeward/zones/etcd"
)

// A bystander is a server that probes nothing. It follows what vantages report, and writes only what it says of itself,
// under a key that no server watches: a thousand bystanders cost each other nothing. The key has a lease. Renewing it
// makes no revision, and when the server is gone etcd removes the key. (Vantages have no leases, because their reports
// must outlive them.)
//
// Beside it a bystander that answers queries has a key without a lease, its mark, which it removes when it ends on
// purpose. A mark alone says that a server was cut off, or died, and may still answer what it knew.

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
	if fresh {
		l.leaveMark(t)
	}
	_, err := t.Commit(ctx)
	lost := errors.Is(err, etcd.ErrConflict) // the key is gone, or on another lease
	another := false
	if lost {
		var held *etcd.KV
		if held, _, err = c.Get(ctx, l.about, etcd.KeysOnly()); err == nil {
			another = held != nil && !fresh
			t := c.Begin().Put(l.about, server, lease)
			l.leaveMark(t)
			_, err = t.Commit(ctx)
		}
	}
	l.metrics.written(1, err)
	if err != nil {
		return l.etcd.Due(err, "reads and writes", etcd.Servers)
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

// mark is what the name of a bystander's mark ends with.
const mark = "/mark"

func (l *Link) leaveMark(t *etcd.Txn) {
	if l.options.Marked {
		t.Put(l.about+mark, []byte("{}"), 0)
	}
}

// sayGoodbye removes what a bystander has written.
func (l *Link) sayGoodbye(ctx context.Context, c *etcd.Conn) error {
	if l.options.Marked {
		if _, err := c.Begin().Delete(etcd.One(l.about + mark)).Commit(ctx); err != nil {
			return err
		}
	}
	return c.Revoke(ctx, l.lease)
}

// Unmark removes the mark of a bystander that is not there any more.
func Unmark(ctx context.Context, c *etcd.Cluster, id string) error {
	t := c.Begin().At(etcd.Servers+id, 0).Delete(etcd.One(etcd.Servers + id + mark))
	if _, err := t.Commit(ctx); !errors.Is(err, etcd.ErrConflict) {
		return err
	}
	return nil
}

// Bystanders returns what the servers that probe nothing say of themselves, sorted by name, and the names of those that
// say nothing any more and have not ended on purpose.
func Bystanders(ctx context.Context, c *etcd.Cluster) (all []json.RawMessage, silent []string, err error) {
	// Only if there is no quorum is one member asked alone: etcd's proxy keeps such answers for ever, whatever others
	// write.
	agreed := ctx
	if limit, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		agreed, cancel = context.WithTimeout(ctx, time.Until(limit)/2)
		defer cancel()
	}
	all, silent, err = bystanders(agreed, c)
	if err != nil && ctx.Err() == nil {
		all, silent, err = bystanders(ctx, c, etcd.Alone())
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading what servers that do not probe say of themselves: %w",
			c.Due(err, "reads", etcd.Servers))
	}
	return all, silent, nil
}

func bystanders(ctx context.Context, c *etcd.Cluster, o ...etcd.Option) (
	all []json.RawMessage, silent []string, err error,
) {
	there, marked := map[string]bool{}, []string{}
	_, err = c.Read(ctx, 0, []etcd.Range{etcd.Folder(etcd.Servers)}, func(kv etcd.KV) {
		id := strings.TrimPrefix(kv.Name, etcd.Servers)
		if id, is := strings.CutSuffix(id, mark); is {
			marked = append(marked, id)
			return
		}
		if there[id] = true; json.Valid(kv.Value) {
			all = append(all, kv.Value)
		} else {
			c.Log().Warn("not what a server says of itself: no JSON", "key", kv.Name)
		}
	}, o...)
	for _, id := range marked {
		if !there[id] {
			silent = append(silent, id)
		}
	}
	return all, silent, err
}
