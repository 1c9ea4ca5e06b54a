package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"leeward/zones"
	"leeward/zones/etcd"
)

// Servers keep serials as decimal numbers, each in a key of its own: meta/serial-base and meta/serials/<origin>. A
// number only ever grows, whoever writes it.

// serial reads the number of such a key, and reports whether the key is one.
func serial(kv etcd.KV, into *zones.Serials) bool {
	origin, ofZone := strings.CutPrefix(kv.Name, etcd.Serials)
	if !ofZone && kv.Name != etcd.SerialBase {
		return false
	}
	n := number(kv.Value)
	if n <= 0 {
		return false
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

// number reads a value. A value that is not a number counts as missing, and is overwritten.
func number(value []byte) int64 {
	n, _ := strconv.ParseInt(strings.TrimSpace(string(value)), 10, 64)
	return n
}

// serialsAtOnce is how many serials one transaction writes. Even the longest names fit.
const serialsAtOnce = 512

// KeepSerials makes sure that etcd holds numbers at least as high as these. If several servers come with the same
// numbers at once, one of them writes.
func (e *Store) KeepSerials(ctx context.Context, s zones.Serials) error {
	want := make(map[string]int64, len(s.Last)+1)
	for origin, n := range s.Last {
		want[etcd.Serials+origin] = n
	}
	if s.Base > 0 {
		want[etcd.SerialBase] = s.Base
	}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(want)), serialsAtOnce) {
		err := etcd.ErrConflict
		for errors.Is(err, etcd.ErrConflict) {
			err = e.raise(ctx, part, want)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// raise writes the numbers that are higher than those in etcd, in one transaction.
func (e *Store) raise(ctx context.Context, names []string, want map[string]int64) error {
	ranges := make([]etcd.Range, len(names))
	for i, name := range names {
		ranges[i] = etcd.One(name)
	}
	there := map[string]etcd.KV{}
	if _, err := e.ReadMany(ctx, ranges, func(kv etcd.KV) { there[kv.Name] = kv }); err != nil {
		return err
	}
	t := e.Begin()
	for _, name := range names {
		if held := there[name]; number(held.Value) < want[name] {
			t.At(name, held.Revision).Put(name, strconv.AppendInt(nil, want[name], 10), 0)
		}
	}
	if t.Writes() == 0 {
		return nil
	}
	_, err := t.Commit(ctx)
	return err
}
