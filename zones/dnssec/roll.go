package dnssec

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"leeward/zones/rr"
)

// Keys are rolled in steps that a resolver cannot tell from a zone at rest (RFC 6781 section 4.1, RFC 7583):
//
//	ZSK          publish the new one; a TTL later it signs; a TTL later the old one goes
//	KSK, CSK     the new one signs the keys beside the old one, a TTL later the parent is asked for its DS; once
//	             the parent has it, and a TTL of the DS later, the old one goes (Retire)
//	algorithm    new keys sign all; a TTL later they are published, and a TTL later the parent is asked for the DS;
//	             once the parent has it, and no longer the old one (Retire twice), old keys are taken out, and a TTL
//	             later sign no longer

// First makes the first keys of a zone: one, or with split a KSK and a ZSK. They have no times, and so are in force at
// once: nobody relies on the zone's signatures yet.
func First(origin rr.Name, a Algorithm, split bool, now time.Time) (all []TimedKey, err error) {
	flags := []uint16{FlagsCSK}
	if split {
		flags = append(flags, FlagZone)
	}
	for _, f := range flags {
		made, err := beside(all, origin, f, a)
		if err != nil {
			return nil, err
		}
		all = append(all, TimedKey{Key: made, Times: Times{Created: now}})
	}
	return all, nil
}

// beside makes a key whose tag no other key of the zone has.
func beside(others []TimedKey, origin rr.Name, flags uint16, a Algorithm) (*Key, error) {
	for {
		made, err := Generate(origin, flags, a)
		if err != nil || !slices.ContainsFunc(others, func(k TimedKey) bool { return k.Tag() == made.Tag() }) {
			return made, err
		}
	}
}

// Moves reports whether a roll is under way: by the times of some key, something is still to come, or more keys sign
// than necessary.
func (k *Keys) Moves(now time.Time) bool {
	d := k.At(now)
	entry, data := map[Algorithm]bool{}, map[Algorithm]bool{}
	twice := func(seen map[Algorithm]bool, keys []*Key) bool {
		for _, key := range keys {
			if seen[key.algorithm] {
				return true
			}
			seen[key.algorithm] = true
		}
		return len(seen) > 1
	}
	return !k.Next(now).IsZero() || twice(entry, d.Entry) || twice(data, d.Zone)
}

// RollZSK returns a new ZSK, and the keys that it replaces, with their times. If the zone has a CSK, the new key takes
// over everything except the keys: the CSK becomes a KSK from then on, and keeps its times.
func (k *Keys) RollZSK(now time.Time, t Timing) (changed []TimedKey, err error) {
	d := k.At(now)
	for i := range k.all {
		key := k.all[i]
		if !slices.Contains(d.Zone, key.Key) {
			continue
		}
		if key.Entry() && key.Role != RoleByFlags {
			return nil, fmt.Errorf("key %d signs all by its .state file; take the file away first", key.Tag())
		}
		made, err := beside(slices.Concat(k.all, changed), k.origin, FlagZone, key.algorithm)
		if err != nil {
			return nil, err
		}
		fresh := TimedKey{Key: made, Role: key.Role, Times: Times{Created: now, Publish: now.Add(t.Delay)}}
		fresh.Times.Activate = fresh.Times.Publish.Add(t.window())
		changed = append(changed, fresh)
		if key.Entry() {
			continue
		}
		key.Times.Inactive = fresh.Times.Activate
		key.Times.Delete = key.Times.Inactive.Add(t.window())
		changed = append(changed, key)
	}
	return changed, nil
}

// RollEntry returns a new KSK or CSK, of the same kind as the one that signs the keys now. Old ones stay until they are
// retired.
func (k *Keys) RollEntry(now time.Time, t Timing) (changed []TimedKey, err error) {
	d := k.At(now)
	for _, key := range k.all {
		if !slices.Contains(d.Entry, key.Key) {
			continue
		}
		made, err := beside(slices.Concat(k.all, changed), k.origin, FlagsCSK, key.algorithm)
		if err != nil {
			return nil, err
		}
		fresh := TimedKey{Key: made, Role: key.Role, Times: Times{Created: now, Publish: now.Add(t.Delay)}}
		fresh.Times.Activate = fresh.Times.Publish
		fresh.Times.SyncPublish = fresh.Times.Publish.Add(t.window())
		changed = append(changed, fresh)
	}
	return changed, nil
}

// RollAlgorithm returns keys of another algorithm, split into as many parts as the zone's keys are now. Old keys stay
// until they are retired.
func (k *Keys) RollAlgorithm(a Algorithm, now time.Time, t Timing) ([]TimedKey, error) {
	d, split := k.At(now), false
	for _, key := range d.Zone {
		split = split || key.flags&FlagEntry == 0
		if key.algorithm == a {
			return nil, fmt.Errorf("the zone is signed by algorithm %s already", a)
		}
	}
	all, err := First(k.origin, a, split, now)
	for i := range all {
		times := &all[i].Times
		times.Activate = now.Add(t.Delay)
		times.Publish = times.Activate.Add(t.window())
		if all[i].Entry() {
			times.SyncPublish = times.Publish.Add(t.window())
		}
	}
	return all, err
}

// Retire returns a key with the times by which it goes, and other keys that go with it. ds are the DS records that all
// servers of the parent have, or are certain to have. If the key's algorithm differs from those that stay, the first
// step is to ask the parent to remove its DS. more then says that another step follows once the parent has.
func (k *Keys) Retire(tag uint16, ds [][]byte, now time.Time, t Timing) (changed []TimedKey, more bool, err error) {
	at := slices.IndexFunc(k.all, func(key TimedKey) bool { return key.Tag() == tag })
	if at < 0 {
		return nil, false, fmt.Errorf("no key of the zone has the tag %d", tag)
	}
	key, d := k.all[at], k.At(now)
	if !key.Times.Active(now) || !key.Times.Published(now) {
		if key.Times.Inactive.IsZero() {
			key.Times.Inactive = now
		}
		key.Times.Delete = now.Add(t.window()) // by then, its signatures, if it made any, are forgotten
		return []TimedKey{key}, false, nil
	}
	if !key.Entry() {
		key.Times.Inactive = now.Add(t.Delay)
		key.Times.Delete = key.Times.Inactive.Add(t.window())
		return []TimedKey{key}, false, nil
	}
	stays := func(same bool) bool {
		return slices.ContainsFunc(d.Entry, func(other *Key) bool {
			return other != key.Key && other.In(ds) && (other.algorithm == key.algorithm) == same
		})
	}
	switch {
	case stays(true):
		key.Times.SyncDelete = now.Add(t.Delay)
		key.Times.Inactive = now.Add(max(t.Parent, t.TTL) + t.Delay)
		key.Times.Delete = key.Times.Inactive.Add(t.window())
		return []TimedKey{key}, false, nil
	case stays(false) && key.In(ds):
		key.Times.SyncDelete = now.Add(t.Delay)
		return []TimedKey{key}, true, nil
	case stays(false):
		gone := now.Add(max(t.Parent, t.TTL) + t.Delay)
		for _, other := range k.all { // the whole algorithm goes
			if other.algorithm == key.algorithm && other.Times.Published(now) {
				if other.Times.Synced(now) {
					other.Times.SyncDelete = now.Add(t.Delay)
				}
				other.Times.Delete, other.Times.Inactive = gone, gone.Add(t.window())
				changed = append(changed, other)
			}
		}
		return changed, false, nil
	}
	return nil, false, errors.New("no other key signs DNSKEY of which the parent has a DS: roll the key first, wait " +
		"until CDS asks for the new one, and see that the parent has it")
}

// Merge returns the keys with the changed ones added. A changed key replaces its former self.
func (k *Keys) Merge(changed []TimedKey) (*Keys, error) {
	all := slices.Clone(k.all)
	for _, c := range changed {
		if at := slices.IndexFunc(all, func(one TimedKey) bool { return one.same(c.Key) }); at >= 0 {
			all[at] = c
			continue
		}
		all = append(all, c)
	}
	return NewKeys(k.origin, all...)
}
