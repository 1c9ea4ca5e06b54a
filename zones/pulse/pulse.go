// Package pulse proves to who watches etcd that nothing was missed, where nobody answers for the watch's progress.
//
// etcd answers when a watch is asked for its progress. Its gRPC proxy does not: it has one watch for many, drops such
// requests and logs each, and a watch of its own that has died looks like one that has nothing to tell.
package pulse

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Key is where a pulse is written, below the prefix of all keys: a place that is watched by who follows resources and
// by who follows reports, and is none of either.
const Key = "reports/pulse"

// ErrHistory says that etcd is not the one, or not in the state, that the watch has told of.
var ErrHistory = errors.New("etcd's history is not the one that the watch has told of")

// Ask looks whether anything has happened in etcd after the revision up to which a watch has told everything. If not,
// still is true: nothing can have been missed. If so, it may be none of the watch's business; then a pulse is written
// that the watch has to tell of, unless another has written one since.
func Ask(ctx context.Context, c *clientv3.Client, prefix string, cluster uint64, told int64) (still bool, err error) {
	key := prefix + Key
	answer, err := c.Get(ctx, key, clientv3.WithKeysOnly())
	switch {
	case err != nil:
		return false, err
	case answer.Header.ClusterId != cluster, answer.Header.Revision < told:
		return false, ErrHistory
	case answer.Header.Revision == told:
		return true, nil
	case len(answer.Kvs) > 0 && answer.Kvs[0].ModRevision > told:
		return false, nil
	}
	_, err = c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "<", told+1)).Then(clientv3.OpPut(key, "")).Commit()
	return false, err
}

// Pause returns how long to wait until a watch is asked for its progress again, when so many requests in a row had no
// answer: at first as long as given, and longer and longer where nobody seems to answer, up to 128 times.
func Pause(first time.Duration, unanswered int) time.Duration {
	return first << min(max(unanswered-5, 0), 7)
}
