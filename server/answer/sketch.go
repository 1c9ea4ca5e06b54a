package answer

import (
	"cmp"
	"runtime"
	"slices"
	"sync/atomic"
)

// Who asks most, and for what, is counted by Space-Saving (Metwally, Agrawal, El Abbadi 2005) in tables of fixed size.
// A key without a slot takes the slot with the smallest count. It inherits that count as the amount by which its own
// may be too large. So for each key there is a number that it has certainly reached, and one that it cannot have
// exceeded.
//
// Here a keyed hash divides a table into buckets. A query looks at the few cache lines of one bucket, and nobody who
// does not know the key can choose which keys share a bucket. Of n queries in a bucket, a key without a slot had at
// most n/16. So a flood of different names or sources displaces no key that had more. Each table knows how much that
// is, and says it.

const (
	sketchBuckets = 64 // must be a power of two
	sketchWays    = 16 // slots of a bucket
	sketchSlots   = sketchBuckets * sketchWays
)

// Epsilon is the stated error of a list of who asks most, as a share of all queries: no key that had more is missing,
// and no count is wrong by more. It holds for practical purposes always, though not with certainty, because the hash
// has a random key. Each list says its actual error. (For a bucket to err by more, it would have to get 16/256 of all
// queries, with fewer than 16 keys that take most of these.)
const Epsilon = 1. / 256

// sketch counts keys by their hashes. Only one user may have it at a time; see hold. K is what identifies a key.
type sketch[K any] struct {
	busy   atomic.Bool
	missed atomic.Uint64 // queries that came while it was busy
	n      uint64        // queries that were counted
	bucket [sketchBuckets]sketchBucket
	keys   [sketchSlots]K
}

type sketchBucket struct {
	hashes [sketchWays]uint64 // 0: the slot is free; free ones come last
	counts [sketchWays]uint32
	extra  [sketchWays]uint32 // the part of the count that may belong to others
}

// hold takes the table for one user, without waiting. It returns false if another one has it. free gives it back.
func (s *sketch[K]) hold() bool { return !s.busy.Load() && s.busy.CompareAndSwap(false, true) }

func (s *sketch[K]) free() { s.busy.Store(false) }

// bucketOf returns the number of a hash's bucket.
func bucketOf(hash uint64) int { return int(hash % sketchBuckets) }

// add counts a query of the key with this hash. If the key is new, it returns where to put it.
func (s *sketch[K]) add(hash uint64) (at int, isNew bool) {
	hash |= 1 << 63 // so that no hash is 0
	number := bucketOf(hash)
	b := &s.bucket[number]
	s.n++
	for i := range b.hashes {
		if b.hashes[i] == hash {
			b.counts[i]++
			return 0, false
		}
		if b.hashes[i] == 0 {
			b.hashes[i], b.counts[i] = hash, 1
			return number*sketchWays + i, true
		}
	}
	least, low := b.counts[0], 0
	for i, n := range b.counts {
		if n < least {
			least, low = n, i
		}
	}
	b.hashes[low], b.counts[low], b.extra[low] = hash, least+1, least
	return number*sketchWays + low, true
}

// clear empties the table, except for missed, which read has taken.
func (s *sketch[K]) clear() {
	s.n, s.bucket = 0, [sketchBuckets]sketchBucket{}
}

// held are bounds on how often a key was counted.
type held struct {
	hash   uint64
	key    string
	lo, hi uint64
}

// tops is what one table says, or several together. The zero value is about no queries.
type tops struct {
	n      uint64 // queries that were counted
	missed uint64 // queries that were not
	lists  [sketchBuckets][]held
	beyond [sketchBuckets]uint64 // the largest count that a key outside the bucket's list can have
}

// read takes what the table says. text formats a key.
func (s *sketch[K]) read(text func(*K) string) *tops {
	t := &tops{n: s.n, missed: s.missed.Swap(0)}
	for number := range s.bucket {
		b := &s.bucket[number]
		for i, hash := range b.hashes {
			if hash == 0 {
				break
			}
			t.lists[number] = append(t.lists[number], held{
				hash: hash, key: text(&s.keys[number*sketchWays+i]),
				lo: uint64(b.counts[i] - b.extra[i]), hi: uint64(b.counts[i]),
			})
		}
		if b.hashes[sketchWays-1] != 0 {
			t.beyond[number] = uint64(slices.Min(b.counts[:]))
		}
	}
	return t
}

// add adds what o says about other queries. The lists stay as long as those of a table.
func (t *tops) add(o *tops) {
	t.n += o.n
	t.missed += o.missed
	for number := range t.lists {
		mine, theirs := t.lists[number], o.lists[number]
		all := make([]held, 0, len(mine)+len(theirs))
		for _, h := range mine {
			if i := slices.IndexFunc(theirs, func(x held) bool { return x.hash == h.hash }); i >= 0 {
				h.lo += theirs[i].lo
				h.hi += theirs[i].hi
			} else {
				h.hi += o.beyond[number]
			}
			all = append(all, h)
		}
		for _, h := range theirs {
			if !slices.ContainsFunc(mine, func(x held) bool { return x.hash == h.hash }) {
				h.hi += t.beyond[number]
				all = append(all, h)
			}
		}
		t.beyond[number] += o.beyond[number]
		if len(all) > sketchWays {
			slices.SortFunc(all, func(a, b held) int {
				return cmp.Or(cmp.Compare(b.hi, a.hi), cmp.Compare(b.lo, a.lo))
			})
			t.beyond[number] = max(t.beyond[number], all[sketchWays].hi)
			all = slices.Clip(all[:sketchWays])
		}
		t.lists[number] = all
	}
}

// of returns the bounds of a key.
func (t *tops) of(hash uint64) (lo, hi uint64) {
	hash |= 1 << 63
	number := bucketOf(hash)
	for _, h := range t.lists[number] {
		if h.hash == hash {
			return h.lo, h.hi
		}
	}
	return 0, t.beyond[number]
}

// most returns everything listed, sorted by the number that is certain, largest first.
func (t *tops) most() []held {
	var all []held
	for _, list := range t.lists {
		all = append(all, list...)
	}
	slices.SortFunc(all, func(a, b held) int {
		return cmp.Or(cmp.Compare(b.lo, a.lo), cmp.Compare(b.hi, a.hi), cmp.Compare(a.key, b.key))
	})
	return all
}

// others returns the largest count that a key outside the lists can have.
func (t *tops) others() uint64 { return slices.Max(t.beyond[:]) }

// sketches are a stripe's two tables of one kind: one that is counted in, and an empty one.
type sketches[K any] struct {
	now  atomic.Pointer[sketch[K]]
	both [2]*sketch[K]
}

func (s *sketches[K]) open() {
	s.both = [2]*sketch[K]{new(sketch[K]), new(sketch[K])}
	s.now.Store(s.both[0])
}

// count counts a query. set stores a new key in its place. If two workers of a stripe come at the same time, one query
// is counted as missed, and nobody waits.
func (s *sketches[K]) count(hash uint64, set func(*K)) {
	t := s.now.Load()
	if !t.hold() {
		t.missed.Add(1)
		return
	}
	if at, isNew := t.add(hash); isNew {
		set(&t.keys[at])
	}
	t.free()
}

// turn puts the other table in place of the present one, and returns what the one taken away says. It returns nil if an
// interrupted worker holds that table at this very moment; then it is left for next time. Only one goroutine at a time
// may call it.
func (s *sketches[K]) turn(text func(*K) string) (all []*tops) {
	now, next := s.now.Load(), s.both[0]
	if now == next {
		next = s.both[1]
	}
	drain := func(t *sketch[K]) {
		for range 1000 {
			if t.hold() {
				if t.n > 0 || t.missed.Load() > 0 {
					all = append(all, t.read(text))
					t.clear()
				}
				t.free()
				return
			}
			runtime.Gosched()
		}
	}
	drain(next) // from workers that looked before the last turn
	s.now.Store(next)
	drain(now)
	return all
}
