package dnssec

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"leeward/zones/rr"
)

// An unattended roll is carried from step to step. A step begins at a moment, and says what keys do from then on. The
// next one begins when three things hold: all servers do what the step says (Held); the parent has the DS that it asks
// for (Seen); and what resolvers had before is forgotten, which takes the longest TTL of the zone or of the DS (RFC
// 7583). Later steps have no times in the keys yet, so no step happens by itself.

// Never is the value of a key's time that only a later step of a roll will set.
var Never = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// The kinds of roll.
const (
	RollsZSK       = "zsk"
	RollsEntry     = "ksk" // KSK or CSK
	RollsAlgorithm = "algorithm"
)

// Roll says how far a roll is. It is stored beside the zone's keys, and changes together with them.
type Roll struct {
	Kind  string    `json:"kind"`
	Step  string    `json:"step"`
	New   []Place   `json:"new"`
	Old   []Place   `json:"old,omitempty"`
	Began time.Time `json:"began"`         // when the step began
	Held  time.Time `json:"held,omitzero"` // when all servers were first seen to do what the step says
	Seen  time.Time `json:"seen,omitzero"` // when all servers of the parent were first seen to have the right DS
	// Passed is when the last step began that all servers do, by all their clocks.
	Passed time.Time `json:"passed,omitzero"`

	TTL   int `json:"ttl,omitzero"`   // the longest in the zone during this step, in seconds
	DSTTL int `json:"dsTTL,omitzero"` // the longest that was seen of the parent's DS, in seconds
}

// asked is what a step asks the parent for.
type asked uint8

const (
	nothing asked = iota
	newThere
	oldGone
)

// step is one step of a roll.
type step struct {
	name  string
	fresh func(k *TimedKey, at time.Time) // what it sets in new keys; nil: nothing
	old   func(k *TimedKey, at time.Time) // what it sets in old keys; nil: nothing
	asked asked
	rests bool // the next step begins one TTL after all servers do this one
}

// steps are the steps of each kind of roll, in order. Once the last one holds, the roll is over.
var steps = map[string][]step{
	RollsZSK: {
		{name: "publish", fresh: publish, rests: true},
		{name: "sign", fresh: activate, old: deactivate, rests: true},
		{name: "delete", old: remove},
	},
	RollsEntry: {
		{name: "publish", fresh: publish, rests: true},
		{name: "sign", fresh: activate, asked: newThere, rests: true},
		{name: "retire", old: deactivate, rests: true},
		{name: "delete", old: remove},
	},
	RollsAlgorithm: {
		{name: "sign", fresh: signFirst, rests: true},
		{name: "publish", fresh: publish, rests: true},
		{name: "ask", fresh: ask, asked: newThere, rests: true},
		{name: "withdraw", old: unask, asked: oldGone, rests: true},
		{name: "delete", old: removeFirst, rests: true},
		{name: "retire", old: deactivate},
	},
}

func publish(k *TimedKey, at time.Time)    { k.Times.Publish = at }
func activate(k *TimedKey, at time.Time)   { k.Times.Activate = at }
func deactivate(k *TimedKey, at time.Time) { k.Times.Inactive = at }
func remove(k *TimedKey, at time.Time)     { k.Times.Delete = at }

// signFirst has a key sign although its DNSKEY is not in the zone yet.
func signFirst(k *TimedKey, at time.Time) {
	k.Times.Activate, k.Times.Publish = at, Never
	if k.Entry() {
		k.Times.SyncPublish = Never
	}
}

// removeFirst has a key sign although its DNSKEY is no longer in the zone.
func removeFirst(k *TimedKey, at time.Time) { k.Times.Delete, k.Times.Inactive = at, Never }

func ask(k *TimedKey, at time.Time) {
	if k.Entry() {
		k.Times.SyncPublish = at
	}
}

func unask(k *TimedKey, at time.Time) {
	if k.Entry() {
		k.Times.SyncDelete = at
	}
}

// at returns the step that the roll has reached, or -1 if no step has that name.
func (r *Roll) at() (int, *step) {
	all := steps[r.Kind]
	i := slices.IndexFunc(all, func(s step) bool { return s.name == r.Step })
	if i < 0 {
		return i, nil
	}
	return i, &all[i]
}

// over is the step of a roll that has ended. The roll is kept, because what has passed stays passed.
const over = "over"

// Over reports whether the roll has ended, or there is none.
func (r *Roll) Over() bool { return r == nil || r.Step == over }

// Same reports whether two rolls are the same and equally far. Both may be nil.
func (r *Roll) Same(o *Roll) bool {
	a, _ := json.Marshal(r) // it never fails
	b, _ := json.Marshal(o)
	return string(a) == string(b)
}

// String says how far the roll is.
func (r *Roll) String() string {
	if r == nil {
		return "no roll"
	}
	if r.Over() {
		return fmt.Sprintf("%s roll, over since %s", r.Kind, r.Began.UTC().Format(time.RFC3339))
	}
	text := fmt.Sprintf("%s roll, step %s since %s", r.Kind, r.Step, r.Began.UTC().Format(time.RFC3339))
	_, s := r.at()
	switch {
	case s == nil:
		return text + ", which is not known here"
	case r.Held.IsZero():
		return text + ", until all servers do it"
	case s.asked == newThere && r.Seen.IsZero():
		return text + ", until all servers of the parent have the new DS"
	case s.asked == oldGone && r.Seen.IsZero():
		return text + ", until no server of the parent has the old DS"
	}
	return text + ", until what resolvers had before is forgotten"
}

// Begin begins a roll. a is the algorithm of the new keys, if that is what is rolled. changed are the keys that the
// first step makes or changes.
func (k *Keys) Begin(kind string, a Algorithm, now time.Time) (r *Roll, changed []TimedKey, err error) {
	now = now.Truncate(time.Second)
	d := k.At(now)
	if d.Stays != nil {
		return nil, nil, errors.New("no key of the zone is active by its times; correct that first " +
			"(`leeward key list`)")
	}
	if k.Moves(now) {
		return nil, nil, errors.New("a roll is under way by the times of the keys; it ends first (`leeward key list`)")
	}
	var fresh []TimedKey
	r = &Roll{Kind: kind, Began: now}
	add := func(k *Keys, like *TimedKey, flags uint16) error {
		made, err := beside(slices.Concat(k.all, fresh), k.origin, flags, like.algorithm)
		fresh = append(fresh, TimedKey{Key: made, Role: like.Role, Times: Times{Created: now, Publish: Never}})
		return err
	}
	switch kind {
	case RollsZSK, RollsEntry:
		signs, flags := d.Zone, uint16(FlagZone)
		if kind == RollsEntry {
			signs, flags = d.Entry, FlagsCSK
		}
		for i := range k.all {
			key := &k.all[i]
			if !slices.Contains(signs, key.Key) {
				continue
			}
			if err := add(k, key, flags); err != nil {
				return nil, nil, err
			}
			if kind == RollsZSK && key.Entry() {
				if key.Role != RoleByFlags {
					return nil, nil, fmt.Errorf("key %d signs all, as BIND's .state file said when it was imported",
						key.Tag())
				}
				continue // from then on it is a KSK
			}
			r.Old = append(r.Old, key.Place())
		}
	case RollsAlgorithm:
		split := false
		for _, key := range d.Zone {
			split = split || key.flags&FlagEntry == 0
			if key.algorithm == a {
				return nil, nil, fmt.Errorf("the zone is signed by algorithm %s already", a)
			}
		}
		for _, key := range k.all {
			if key.Times.Published(now) {
				r.Old = append(r.Old, key.Place())
			}
		}
		if fresh, err = First(k.origin, a, split, now); err != nil {
			return nil, nil, err
		}
	default:
		return nil, nil, fmt.Errorf("%q is none of what can be rolled: zsk, ksk, algorithm", kind)
	}
	for _, key := range fresh {
		r.New = append(r.New, key.Place())
	}
	with, err := k.Merge(fresh)
	if err != nil {
		return nil, nil, err
	}
	changed, err = r.enter(with, 0, now)
	return r, changed, err
}

// enter begins a step, and returns the keys that it changes.
func (r *Roll) enter(k *Keys, i int, now time.Time) (changed []TimedKey, err error) {
	s := steps[r.Kind][i]
	r.Step, r.Began, r.Held, r.Seen, r.TTL, r.DSTTL = s.name, now, time.Time{}, time.Time{}, 0, 0
	for _, part := range []struct {
		keys []Place
		set  func(*TimedKey, time.Time)
	}{{r.New, s.fresh}, {r.Old, s.old}} {
		for _, p := range part.keys {
			at := slices.IndexFunc(k.all, func(key TimedKey) bool { return key.Place() == p })
			if at < 0 {
				return nil, fmt.Errorf("key %s is gone, which the roll goes by: put it back, or give the roll up "+
					"(`leeward key roll %s --stop`)", p, rr.TrimDot(k.origin.String()))
			}
			if part.set == nil {
				continue
			}
			key := k.all[at]
			part.set(&key, now)
			changed = append(changed, key)
		}
	}
	return changed, nil
}

// Holds reports whether a server with these keys does, by its clock, what the step says.
func (r *Roll) Holds(now time.Time) bool { return !now.Before(r.Began) }

// Due reports whether, by a server's clock, the next step may begin. ttl is the longest TTL of the zone.
func (r *Roll) Due(now time.Time, ttl time.Duration) bool {
	from, rest := r.Rest(ttl)
	return r.rests() && !now.Before(from.Add(rest))
}

// rests reports whether the wait has begun: all servers do the step, and the parent has what it asks for.
func (r *Roll) rests() bool {
	_, s := r.at()
	return s != nil && !r.Held.IsZero() && (s.asked == nothing || !r.Seen.IsZero())
}

// Rest returns from when the roll waits, and for how long, once all servers do the step and the parent has what it asks
// for.
func (r *Roll) Rest(ttl time.Duration) (from time.Time, rest time.Duration) {
	_, s := r.at()
	if s == nil || !s.rests {
		return r.Held, 0
	}
	from, rest = r.Held, max(ttl, time.Duration(r.TTL)*time.Second)
	if s.asked != nothing {
		rest = max(rest, time.Duration(r.DSTTL)*time.Second)
		if r.Seen.After(from) {
			from = r.Seen
		}
	}
	return from, rest
}

// Asks reports whether the step asks the parent for something.
func (r *Roll) Asks() bool {
	_, s := r.at()
	return s != nil && s.asked != nothing
}

// Granted reports whether one server of the parent has the DS records that the step asks for. ds has their RDATA.
func (r *Roll) Granted(k *Keys, ds [][]byte) bool {
	_, s := r.at()
	if s == nil {
		return false
	}
	has := func(places []Place) (all, any bool) {
		all = true
		for i := range k.all {
			key := &k.all[i]
			if key.Entry() && slices.Contains(places, key.Place()) {
				in := key.In(ds)
				all, any = all && in, any || in
			}
		}
		return all, any
	}
	switch s.asked {
	case newThere:
		all, any := has(r.New)
		return all && any
	case oldGone:
		_, any := has(r.Old)
		return !any && len(ds) > 0
	}
	return true
}

// Stopped returns the roll as one that ended at its present step, or nil if there is no roll.
func (r *Roll) Stopped(now time.Time) *Roll {
	if r == nil {
		return nil
	}
	return &Roll{Kind: r.Kind, Step: over, New: r.New, Old: r.Old, Began: now.Truncate(time.Second), Passed: r.Passed}
}

// Move begins the next step; the last one is that the roll is over. It returns the keys that change. It refuses if a
// resolver could then combine what it has with what it may still have from within one TTL, and they do not verify. ds
// are the DS records of each server of the parent. They matter only if the step asks for some.
func (r *Roll) Move(k *Keys, now time.Time, ttl time.Duration, ds ...[][]byte) (next *Roll, changed []TimedKey,
	err error,
) {
	i, _ := r.at()
	if i < 0 {
		return nil, nil, fmt.Errorf("the roll is at a step that is not known here: %s", r)
	}
	if i+1 == len(steps[r.Kind]) {
		return r.Stopped(now), nil, nil
	}
	next, changed, err = r.to(k, i+1, now, ttl)
	if err != nil {
		return nil, nil, err
	}
	after, err := k.Merge(changed)
	if err != nil {
		return nil, nil, err
	}
	for _, one := range ds {
		if wrong := after.Trusted(one, now); r.Asks() && len(wrong) > 0 {
			return nil, nil, errors.New(strings.Join(wrong, "; "))
		}
	}
	return next, changed, nil
}

// Again begins the same step again, now, because a clock that was ahead had put it into the future.
func (r *Roll) Again(k *Keys, now time.Time, ttl time.Duration) (next *Roll, changed []TimedKey, err error) {
	i, _ := r.at()
	if i < 0 {
		return nil, nil, fmt.Errorf("the roll is at a step that is not known here: %s", r)
	}
	return r.to(k, i, now, ttl)
}

// to begins a step, if that breaks nothing.
func (r *Roll) to(k *Keys, i int, now time.Time, ttl time.Duration) (*Roll, []TimedKey, error) {
	now = now.Truncate(time.Second)
	next := *r
	changed, err := next.enter(k, i, now)
	if err != nil {
		return nil, nil, err
	}
	after, err := k.Merge(changed)
	if err != nil {
		return nil, nil, err
	}
	t := Timing{TTL: ttl}
	already := k.Check(nil, now, t)
	wrong := slices.DeleteFunc(after.Check(k, now, t), func(text string) bool { return slices.Contains(already, text) })
	if len(wrong) > 0 {
		return nil, nil, fmt.Errorf("the next step would break the chain of trust: %s", strings.Join(wrong, "; "))
	}
	return &next, changed, nil
}

// Stale returns the keys whose last time passed so long ago that no serial counts it any more. It leaves out those of
// the roll r, which may be nil.
func (k *Keys) Stale(r *Roll, now time.Time) (all []*Key) {
	long := now.Add(-3 * EpochLength)
	for i := range k.all {
		key := &k.all[i]
		t := &key.Times
		if t.Delete.IsZero() || t.Delete.After(long) || t.Inactive.After(long) || t.Active(now) ||
			!r.Over() && (slices.Contains(r.Old, key.Place()) || slices.Contains(r.New, key.Place())) {
			continue
		}
		all = append(all, key.Key)
	}
	if len(all) == len(k.all) {
		return nil
	}
	return all
}

// By reports whether all keys that sign at a time use the algorithm.
func (k *Keys) By(a Algorithm, now time.Time) bool {
	d := k.At(now)
	other := func(key *Key) bool { return key.algorithm != a }
	return !slices.ContainsFunc(d.Zone, other) && !slices.ContainsFunc(d.Entry, other)
}

// Since returns when the youngest key began that a roll of this kind replaces: an entry point that signs the keys, or a
// key that signs the zone's data and is no entry point. ok is false if there is none, or if its times do not say.
func (k *Keys) Since(kind string, now time.Time) (since time.Time, ok bool) {
	d := k.At(now)
	for i := range k.all {
		key := &k.all[i]
		rolled := kind == RollsEntry && slices.Contains(d.Entry, key.Key) ||
			kind == RollsZSK && !key.Entry() && slices.Contains(d.Zone, key.Key)
		if !rolled {
			continue
		}
		at := first(key.Times.Activate, key.Times.Publish, key.Times.Created)
		if at.IsZero() {
			return at, false
		}
		if at.After(since) {
			since, ok = at, true
		}
	}
	return since, ok
}
