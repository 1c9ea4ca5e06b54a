package store

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/zones"
)

// What servers keep of serials are decimal numbers, each in a key of its own: meta/serial-base, and
// meta/serials/<origin>. A number only ever grows, whoever writes it.

// serial takes a number from a key that is one of these, and reports whether it was.
func (e *Etcd) serial(kv *mvccpb.KeyValue, into *zones.Serials) bool {
	key := strings.TrimPrefix(string(kv.Key), e.o.Prefix)
	origin, ofZone := strings.CutPrefix(key, serials)
	if !ofZone && key != bases {
		return false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(kv.Value)), 10, 64)
	if err != nil || n <= 0 {
		return false // put by hand: as if it were not there, and written again
	}
	if !ofZone {
		into.Base = n
		return true
	}
	if into.Last == nil {
		into.Last = map[string]int64{}
	}
	into.Last[origin] = n
	return true
}

// KeepSerials sees to it that etcd keeps numbers at least as high as these. Servers that come with the same at once
// write it once.
func (e *Etcd) KeepSerials(ctx context.Context, s zones.Serials) error {
	want := make(map[string]int64, len(s.Last)+1)
	for origin, n := range s.Last {
		want[serials+origin] = n
	}
	if s.Base > 0 {
		want[bases] = s.Base
	}
	keys := make([]string, 0, len(want))
	for k := range want {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for part := range slices.Chunk(keys, mostOps) {
		if err := e.raise(ctx, part, want); err != nil {
			return err
		}
	}
	return nil
}

// raise writes what is higher than what is there, in one transaction, again for as long as others come in between.
func (e *Etcd) raise(ctx context.Context, keys []string, want map[string]int64) error {
	for {
		call, cancel := context.WithTimeout(ctx, e.o.Timeout)
		var reads []clientv3.Op
		for _, k := range keys {
			reads = append(reads, clientv3.OpGet(e.o.Prefix+k))
		}
		there, err := e.client.Txn(call).Then(reads...).Commit()
		var compares []clientv3.Cmp
		var puts []clientv3.Op
		if err == nil {
			for i, r := range there.Responses {
				var revision, n int64
				for _, kv := range r.GetResponseRange().Kvs {
					revision = kv.ModRevision
					n, _ = strconv.ParseInt(string(kv.Value), 10, 64)
				}
				if k := keys[i]; n < want[k] {
					compares = append(compares, clientv3.Compare(clientv3.ModRevision(e.o.Prefix+k), "=", revision))
					puts = append(puts, clientv3.OpPut(e.o.Prefix+k, strconv.FormatInt(want[k], 10)))
				}
			}
		}
		done := len(puts) == 0
		if err == nil && !done {
			var answer *clientv3.TxnResponse
			if answer, err = e.client.Txn(call).If(compares...).Then(puts...).Commit(); err == nil {
				done = answer.Succeeded
			}
		}
		cancel()
		if err != nil || done {
			return err
		}
	}
}
