package dnssec

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"leeward/zones/rr"
)

// Times say when a key of a zone does what, as BIND's timing metadata do. The zero time is not set.
type Times struct {
	Created     time.Time
	Publish     time.Time // its DNSKEY is in the zone from then on; not set: from Activate on
	Activate    time.Time // it signs from then on; neither this nor Publish set: it always has
	Inactive    time.Time // it signs no longer; its DNSKEY stays for signatures that resolvers still have
	Delete      time.Time // its DNSKEY is no longer in the zone
	SyncPublish time.Time // CDS and CDNSKEY ask the parent for its DS from then on; not set: from Activate on
	SyncDelete  time.Time // they no longer do; not set: from Inactive or Delete on
}

// each calls f with each time and BIND's name of it.
func (t *Times) each(f func(name string, at *time.Time)) {
	f("Created", &t.Created)
	f("Publish", &t.Publish)
	f("Activate", &t.Activate)
	f("Inactive", &t.Inactive)
	f("Delete", &t.Delete)
	f("SyncPublish", &t.SyncPublish)
	f("SyncDelete", &t.SyncDelete)
}

// Each calls f with each time that is set, and BIND's name of it. Never is not told.
func (t Times) Each(f func(name string, at time.Time)) {
	t.each(func(name string, at *time.Time) {
		if !at.IsZero() && !at.Equal(Never) {
			f(name, *at)
		}
	})
}

// within reports whether at is in a span. A bound that is not set does not count.
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

// sooner returns the earlier of times that are set.
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

// Active reports whether the key signs. It may do so before it is published, and after it is deleted, as the keys of an
// algorithm do that comes or goes.
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

// Role is what of a zone a key signs.
type Role uint8

// The roles. A key that has none signs what no other key of its algorithm is there for: one that is an entry point by
// its flags signs the keys, and all else while there is no other; and the other way round.
const (
	RoleByFlags Role = iota
	RoleKSK          // the keys: DNSKEY, CDS and CDNSKEY
	RoleZSK          // all else
	RoleCSK          // all
)

// String returns the role as key files have it; "" is that by flags.
func (r Role) String() string { return [...]string{"", "ksk", "zsk", "csk"}[r] }

// TimedKey is a key of a zone, and what it is there for. It never changes.
type TimedKey struct {
	*Key
	Times Times
	Role  Role
}

// Entry reports whether the key is one that the parent's DS can be of.
func (k *TimedKey) Entry() bool { return k.flags&FlagEntry != 0 }

// Keys are all keys of a zone. They never change.
type Keys struct {
	origin rr.Name
	all    []TimedKey // in the order of algorithm, tag and public key
	hand   *Hand      // nil: the private parts are here
	notes  bool       // what is signed is noted, for servers without keys
	passed time.Time  // it is known that this time is past
}

// Passed returns the keys for clocks of which it is known that a time is past. They do at no earlier time what they did
// then, so that a clock that is set back undoes no step of a roll.
func (k *Keys) Passed(at time.Time) *Keys {
	later := *k
	later.passed = at
	return &later
}

// mostKeys is how many keys a zone may have.
const mostKeys = 32

// NewKeys returns the keys of a zone.
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

// Alone returns a set of one key, which does everything at any time.
func Alone(k *Key) *Keys { return &Keys{origin: k.origin, all: []TimedKey{{Key: k}}} }

// Among returns the keys that are among some DNSKEYs, given by their RDATA; nil: there is none.
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

// Origin returns the zone that the keys are of.
func (k *Keys) Origin() rr.Name { return k.origin }

// All returns the keys, in the order of algorithm and tag. They must not be changed.
func (k *Keys) All() []TimedKey { return k.all }

// Has reports whether the key is among them.
func (k *Keys) Has(key *Key) bool {
	return slices.ContainsFunc(k.all, func(one TimedKey) bool { return one.same(key) })
}

// Duty is what the keys of a zone do at a time.
type Duty struct {
	DNSKEY [][]byte // RDATA, of each key that is published
	Synced [][]byte // RDATA of the DNSKEY of each key whose DS the parent is asked for
	Entry  []*Key   // these sign DNSKEY, CDS and CDNSKEY
	Zone   []*Key   // these sign all else, in the order of signatures in answers

	Stays *Key // signs though its times say that it does not, as no key is active; nil: no key needs to
}

// At returns what the keys do at a time. Of the keys of one algorithm that are active one signs the zone's data: the
// one that was active first, as resolvers have it. Others stand by, and take over when it is inactive. The exception is
// where that one is deleted at the moment when it gets inactive: then all of them sign, as a resolver that has its
// signatures cannot have it any more.
//
// A zone that is to be signed always is, whatever the times say, as the clock may be wrong: while no key is active, the
// last one that was goes on, or the one that is to be the first begins.
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

// Events returns how many times of the keys are from one time on and not after another.
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

// Next returns when what the keys do may change by their times; the zero time: never.
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

// nearest returns the key that comes nearest to being active: one that is published if there is one, the last one that
// was active, or else the first that will be.
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

// share says which of the active keys of one algorithm sign what.
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

// same reports whether another duty is this one: the same keys do the same.
func (d *Duty) same(o *Duty) bool {
	keys := func(a, b *Key) bool { return a.same(b) }
	return slices.EqualFunc(d.DNSKEY, o.DNSKEY, bytes.Equal) && slices.EqualFunc(d.Synced, o.Synced, bytes.Equal) &&
		slices.EqualFunc(d.Entry, o.Entry, keys) && slices.EqualFunc(d.Zone, o.Zone, keys)
}

// same reports whether another key is this one.
func (k *Key) same(o *Key) bool {
	return k.flags == o.flags && k.algorithm == o.algorithm && bytes.Equal(k.public, o.public)
}
