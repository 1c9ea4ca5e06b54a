package vantage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A bystander is a server that probes nothing. It follows what vantages report, and writes only what it says of itself,
// under a key that no server watches: a thousand of them cost each other nothing. That key has a lease, which renews
// without a revision and takes the key away when the server is gone. (Vantages have none: what they have reported has
// to outlive them.)

// Times of a bystander, in heartbeats of a vantage (Options.Every). Its lease ends this long after it was renewed last,
// unless etcd's leader changes meanwhile, and is renewed three times as often. What it says of itself is written at
// most once in one.
const (
	leaseBeats = 15
	renewBeats = leaseBeats / 3
)

// standing returns the prefix of bystanders' keys: beside the given one, not below it, where every server watches.
func standing(prefix string) string { return strings.TrimSuffix(prefix, "/") + ".servers/" }

// stand is Run for a bystander.
func (l *Link) stand(ctx context.Context) error {
	retry := newBackoff()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-l.wake:
		}
		if wait := l.standUntil(); wait > 0 {
			timer.Reset(wait)
			continue
		}
		err := l.renew(ctx)
		if ctx.Err() != nil {
			return nil
		}
		l.note(err)
		switch {
		case err == nil:
			retry.reset()
			l.rota.reset()
		case !l.rota.turn():
			sleep(ctx, pace) // another member is asked at once
		default:
			sleep(ctx, retry.next())
		}
		timer.Reset(0)
	}
}

// standUntil returns how long a bystander has nothing to do.
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

// renew renews the lease, or takes one, and sees to it that the key says under it what it is to say.
func (l *Link) renew(ctx context.Context) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	lease, server, closed := l.lease, l.server, l.closed
	l.mu.Unlock()
	if closed || server == nil {
		return nil
	}
	call, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client := l.rota.client()
	began := time.Now()
	if lease != 0 {
		if _, err := client.KeepAliveOnce(call, lease); errors.Is(err, rpctypes.ErrLeaseNotFound) {
			lease = 0
		} else if err != nil {
			return err
		}
	}
	fresh := lease == 0
	if fresh {
		granted, err := client.Grant(call, max(1, int64(leaseBeats*l.options.Every/time.Second)))
		if err != nil {
			return err
		}
		lease = granted.ID
	}
	l.mu.Lock()
	l.lease = lease
	tell := fresh || l.untold && began.Sub(l.toldAt) >= l.options.Every
	l.mu.Unlock()

	put := clientv3.OpPut(l.about, string(server), clientv3.WithLease(lease))
	ours := clientv3.Compare(clientv3.LeaseValue(l.about), "=", lease)
	var then []clientv3.Op
	if tell {
		then = append(then, put)
	}
	r, err := client.Txn(call).If(ours).Then(then...).Else(clientv3.OpGet(l.about, clientv3.WithKeysOnly()), put).Commit()
	l.metrics.written(1, err)
	if errors.Is(err, rpctypes.ErrPermissionDenied) {
		return fmt.Errorf("%w: grant this user readwrite on the prefix %s too", err, standing(l.options.Prefix))
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed, l.status.Problem = began, ""
	if tell || !r.Succeeded {
		l.toldAt = began
		l.untold = string(server) != string(l.server)
	}
	if !r.Succeeded && !fresh && len(r.Responses[0].GetResponseRange().GetKvs()) > 0 {
		l.status.Problem = fmt.Sprintf("another server writes as %q; give each an --id of its own", l.options.ID)
		l.options.Log.Error("two servers have one name", "id", l.options.ID)
	}
	return nil
}

// revoke takes the lease back, and the key with it.
func (l *Link) revoke(ctx context.Context, client *clientv3.Client) error {
	if l.lease == 0 {
		return nil
	}
	_, err := client.Revoke(ctx, l.lease)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return err
}

// Bystanders returns what the servers that probe nothing say of themselves, in the order of their names.
func Bystanders(ctx context.Context, client *clientv3.Client, prefix string, log *slog.Logger) ([]json.RawMessage, error) {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	from := standing(prefix)
	end := clientv3.GetPrefixRangeEnd(from)
	options := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(pageSize)}
	// What a member has by itself is asked for where there is no quorum only: etcd's proxy keeps answers to that, for
	// ever, whatever others write.
	agreed := ctx
	if limit, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		agreed, cancel = context.WithTimeout(ctx, time.Until(limit)/2)
		defer cancel()
	}
	var all []json.RawMessage
	for {
		page, err := client.Get(agreed, from, options...)
		if err != nil && ctx.Err() == nil {
			agreed, options = ctx, append(options[:2:2], clientv3.WithSerializable())
			page, err = client.Get(agreed, from, options...)
		}
		if err != nil {
			return nil, fmt.Errorf("reading what servers that do not probe say of themselves: %w", err)
		}
		for _, kv := range page.Kvs {
			if json.Valid(kv.Value) {
				all = append(all, kv.Value)
			} else {
				log.Warn("not what a server says of itself: no JSON", "key", string(kv.Key))
			}
			from = string(kv.Key) + "\x00"
		}
		if !page.More {
			return all, nil
		}
	}
}
