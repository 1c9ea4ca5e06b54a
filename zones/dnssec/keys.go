package dnssec

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"leeward/zones/rr"
)

// Times say when a key of a zone does what, like the timing metadata of BIND. The zero time means not set.
type Times struct {
	Created     time.Time
	Publish     time.Time // from then on its DNSKEY is in the zone; not set: from Activate on
	Activate    time.Time // from then on it signs; if Publish is not set either, it always has
	Inactive    time.Time // from then on it does not sign; its DNSKEY stays for signatures that resolvers still have
	Delete      time.Time // from then on its DNSKEY is not in the zone
	SyncPublish time.Time // from then on CDS and CDNSKEY ask the parent for its DS; not set: from Activate on
	SyncDelete  time.Time // from then on they do not; not set: from Inactive or Delete on
}

// each calls f with each time and its name in BIND.
func (t *Times) each(f func(name string, at *time.Time)) {
	f("Created", &t.Created)
	f("Publish", &t.Publish)
	f("Activate", &t.Activate)
	f("Inactive", &t.Inactive)
	f("Delete", &t.Delete)
	f("SyncPublish", &t.SyncPublish)
	f("SyncDelete", &t.SyncDelete)
}

// Each calls f with each time that is set, and its name in BIND. It leaves out Never.
func (t Times) Each(f func(name string, at time.Time)) {
	t.each(func(name string, at *time.Time) {
		if !at.IsZero() && !at.Equal(Never) {
			f(name, *at)
		}
	})
}

// within reports whether at is in a span. A bound that is not set does not limit the span.
func within(at, from, until time.Time) bool {
	return !at.Before(from) && (until.IsZero() || at.Before(until))
}

// first returns the first time that is set.
func first(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// sooner returns the earliest of the times that are set.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Published reports whether the key's DNSKEY is in the zone.
func (t *Times) Published(at time.Time) bool {
	return within(at, first(t.Publish, t.Activate), t.Delete)
}

// Active reports whether the key signs. It may sign before it is published and after it is deleted, as keys do whose
// algorithm is being added or removed.
func (t *Times) Active(at time.Time) bool {
	if t.Activate.IsZero() && !t.Publish.IsZero() {
		return false
	}
	return within(at, t.Activate, first(t.Inactive, t.Delete))
}

// Synced reports whether the parent is asked for the key's DS.
func (t *Times) Synced(at time.Time) bool {
	if t.SyncPublish.IsZero() && !t.Active(at) {
		return false
	}
	return t.Published(at) && within(at, t.SyncPublish, first(t.SyncDelete, sooner(t.Inactive, t.Delete)))
}

// Role says what a key signs in its zone.
type Role uint8

// The roles. A key without a role signs what no other key of its algorithm has the role for. If its flags say that it
// is an entry point, it signs the keys, and also everything else while no other key does; otherwise the other way
// round.
const (
	RoleByFlags Role = iota
	RoleKSK          // the keys: DNSKEY, CDS and CDNSKEY
	RoleZSK          // everything else
	RoleCSK          // everything
)

// String returns the role as in key files. "" means that the flags decide.
func (r Role) String() string { return [...]string{"", "ksk", "zsk", "csk"}[r] }

// TimedKey is a key of a zone, with its times and its role. It never changes.
type TimedKey struct {
	*Key
	Times Times
	Role  Role
}

// Entry reports whether the parent's DS may name the key.
func (k *TimedKey) Entry() bool { return k.flags&FlagEntry != 0 }

// Keys are all keys of a zone. They never change.
type Keys struct {
	origin rr.Name
	all    []TimedKey // in order of algorithm, tag and public key
	hand   *Hand      // nil: the private parts are here
	notes  bool       // signatures are noted, for servers without keys
	passed time.Time  // this time is known to have passed
}

// Passed returns the keys for clocks, given that a time is known to have passed. Before that time, they do what they
// did then. So a clock that is set back undoes no step of a roll.
func (k *Keys) Passed(at time.Time) *Keys {
	later := *k
	later.passed = at
	return &later
}

// mostKeys is the largest number of keys that a zone may have.
const mostKeys = 32

// NewKeys returns the keys of a zone. It fails if they cannot stand together.
func NewKeys(origin rr.Name, all ...TimedKey) (*Keys, error) {
	all = slices.Clone(all)
	if len(all) == 0 {
		return nil, ErrNoKey
	}
	if len(all) > mostKeys {
		return nil, fmt.Errorf("the zone has %d keys, and %d is the most; take out those that are not used any more",
			len(all), mostKeys)
	}
	slices.SortFunc(all, func(a, b TimedKey) int {
		return cmp.Or(cmp.Compare(a.algorithm, b.algorithm), cmp.Compare(a.Tag(), b.Tag()),
			bytes.Compare(a.public, b.public))
	})
	for i := range all {
		if all[i].origin != origin {
			return nil, fmt.Errorf("key %d is one of %s", all[i].Tag(), all[i].origin)
		}
		if i > 0 && all[i].algorithm == all[i-1].algorithm && all[i].Tag() == all[i-1].Tag() {
			return nil, fmt.Errorf("two keys of algorithm %d have the tag %d; take one out and make another",
				all[i].algorithm, all[i].Tag())
		}
	}
	return &Keys{origin: origin, all: all}, nil
}

// Alone returns a set of one key that does everything at any time.
func Alone(k *Key) *Keys { return &Keys{origin: k.origin, all: []TimedKey{{Key: k}}} }

// Among returns those keys that are among some DNSKEYs, given by their RDATA, or nil if there are none.
func (k *Keys) Among(published [][]byte) *Keys {
	some := *k
	some.all = slices.DeleteFunc(slices.Clone(k.all), func(key TimedKey) bool {
		data := key.DNSKEY()
		return !slices.ContainsFunc(published, func(one []byte) bool { return bytes.Equal(one, data) })
	})
	if len(some.all) == 0 {
		return nil
	}
	return &some
}

// Origin returns the zone that the keys belong to.
func (k *Keys) Origin() rr.Name { return k.origin }

// All returns the keys, in order of algorithm and tag. The caller must not change them.
func (k *Keys) All() []TimedKey { return k.all }

// Has reports whether the key is among them.
func (k *Keys) Has(key *Key) bool {
	return slices.ContainsFunc(k.all, func(one TimedKey) bool { return one.same(key) })
}

// Duty is what the keys of a zone do at a time.
type Duty struct {
	DNSKEY [][]byte // RDATA, of each key that is published
	Synced [][]byte // RDATA of the DNSKEY of each key for whose DS the parent is asked
	Entry  []*Key   // these sign DNSKEY, CDS and CDNSKEY
	Zone   []*Key   // these sign everything else; signatures in answers have this order

	Stays *Key // signs against its times, because no key is active; nil: none needs to
}

// At returns what the keys do at a time. Among the active keys of one algorithm, only one signs the zone's data: the
// one that became active first, because resolvers have its signatures. The others stand by, and take over when it
// becomes inactive. If it is deleted at the moment when it becomes inactive, then all of them sign instead, because
// resolvers that have its signatures can no longer have its DNSKEY.
//
// A zone that is to be signed always is signed, whatever the times say, because the clock may be wrong. While no key is
// active, the last one that was goes on, or the one that will be first begins early.
func (k *Keys) At(at time.Time) *Duty {
	if at.Before(k.passed) {
		at = k.passed
	}
	d := &Duty{}
	var active []*TimedKey
	for i := range k.all {
		key := &k.all[i]
		if key.Times.Published(at) {
			d.DNSKEY = append(d.DNSKEY, key.DNSKEY())
		}
		if key.Entry() && key.Times.Synced(at) {
			d.Synced = append(d.Synced, key.DNSKEY())
		}
		if key.Times.Active(at) {
			active = append(active, key)
		}
	}
	if !slices.ContainsFunc(active, func(key *TimedKey) bool { return key.Times.Published(at) }) {
		key := k.nearest(at)
		if d.Stays, active = key.Key, append(active, key); !key.Times.Published(at) {
			d.DNSKEY = append(d.DNSKEY, key.DNSKEY())
		}
	}
	slices.SortStableFunc(active, func(a, b *TimedKey) int { return cmp.Compare(a.algorithm, b.algorithm) })
	for len(active) > 0 {
		n := 1
		for n < len(active) && active[n].algorithm == active[0].algorithm {
			n++
		}
		d.share(active[:n], at)
		active = active[n:]
	}
	return d
}

// Events returns how many of the keys' times lie in a span. from belongs to it, as does to.
func (k *Keys) Events(from, to time.Time) (n int) {
	for i := range k.all {
		k.all[i].Times.each(func(_ string, t *time.Time) {
			if !t.IsZero() && !t.Before(from) && !t.After(to) {
				n++
			}
		})
	}
	return n
}

// Next returns when what the keys do may next change by their times, or the zero time if it never does.
func (k *Keys) Next(now time.Time) (next time.Time) {
	if now.Before(k.passed) {
		now = k.passed
	}
	for i := range k.all {
		k.all[i].Times.each(func(_ string, t *time.Time) {
			if t.After(now) && !t.Equal(Never) {
				next = sooner(next, *t)
			}
		})
	}
	return next
}

// nearest returns the key that is nearest to being active: a published one if there is one; then the last one that was
// active; else the first one that will be.
func (k *Keys) nearest(at time.Time) *TimedKey {
	rank := func(key *TimedKey) (n int, away time.Duration) {
		if !key.Times.Published(at) {
			n = 2
		}
		if end := sooner(key.Times.Inactive, key.Times.Delete); !end.IsZero() && !at.Before(end) {
			return n, at.Sub(end)
		}
		return n + 1, key.Times.Activate.Sub(at)
	}
	best := slices.MinFunc(k.all, func(a, b TimedKey) int {
		m, x := rank(&a)
		n, y := rank(&b)
		return cmp.Or(cmp.Compare(m, n), cmp.Compare(x, y))
	})
	return &best
}

// share decides which of the active keys of one algorithm sign what.
func (d *Duty) share(active []*TimedKey, at time.Time) {
	published := func(key *TimedKey) bool { return key.Times.Published(at) || key.Key == d.Stays }
	does := func(of []*TimedKey, role Role, entry bool) (all []*TimedKey) {
		for _, key := range of {
			if key.Role == role || key.Role == RoleCSK || key.Role == RoleByFlags && key.Entry() == entry {
				all = append(all, key)
			}
		}
		if len(all) == 0 {
			return slices.Clone(of)
		}
		return all
	}
	unpublished := func(key *TimedKey) bool { return !published(key) }
	for _, key := range does(slices.DeleteFunc(slices.Clone(active), unpublished), RoleKSK, true) {
		d.Entry = append(d.Entry, key.Key)
	}
	data := does(active, RoleZSK, false)
	slices.SortStableFunc(data, func(a, b *TimedKey) int {
		late := func(key *TimedKey) int {
			if unpublished(key) {
				return 1
			}
			return 0
		}
		return cmp.Or(late(a)-late(b), a.Times.Activate.Compare(b.Times.Activate),
			a.Times.Created.Compare(b.Times.Created))
	})
	t := &data[0].Times
	if atOnce := !t.Delete.IsZero() && (t.Inactive.IsZero() || !t.Inactive.Before(t.Delete)); !atOnce {
		data = data[:1]
	}
	for _, key := range data {
		d.Zone = append(d.Zone, key.Key)
	}
}

// same reports whether in another duty the same keys do the same.
func (d *Duty) same(o *Duty) bool {
	keys := func(a, b *Key) bool { return a.same(b) }
	return slices.EqualFunc(d.DNSKEY, o.DNSKEY, bytes.Equal) && slices.EqualFunc(d.Synced, o.Synced, bytes.Equal) &&
		slices.EqualFunc(d.Entry, o.Entry, keys) && slices.EqualFunc(d.Zone, o.Zone, keys)
}

// same reports whether both are the same key.
func (k *Key) same(o *Key) bool {
	return k.flags == o.flags && k.algorithm == o.algorithm && bytes.Equal(k.public, o.public)
}
