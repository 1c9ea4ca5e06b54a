package snapshot

import (
	"strings"
	"time"

	"leeward/zones"
	"leeward/zones/catalog"
)

// NextExpiry returns when Update is next due: an override begins, changes or ends, a zone's keys change what they do,
// or a primary's signature expires. It returns the zero time if that never happens.
func (b *Builder) NextExpiry() time.Time {
	var next time.Time
	for _, all := range []map[string]time.Time{b.expiries, b.turns, b.seals} {
		for _, t := range all {
			if next.IsZero() || t.Before(next) {
				next = t
			}
		}
	}
	return next
}

// GiveUp makes the present version of an override have no effect. Update is due afterwards.
func (b *Builder) GiveUp(c *catalog.Catalog, o *zones.Override) {
	b.givenUp[o.Key()] = c.VersionOf(o.Key())
	b.expiries[o.Target] = b.now()
}

// override marks the pools that an override concerns, and notes when it next begins, changes or ends.
func (u *update) override(target string) {
	delete(u.expiries, target)
	key := zones.KeyOf(zones.KindOverride, target)
	if u.givenUp[key] != u.catalog.VersionOf(key) {
		delete(u.givenUp, key)
	}
	if o, ok := u.catalog.Get(key).(*zones.Override); ok {
		if next := o.Next(u.now()); !next.IsZero() {
			u.expiries[target] = next
		}
	}
	of := (&zones.Override{Target: target}).TargetKey()
	if of.Kind() == zones.KindRegion {
		u.poolsOf(of)
	} else {
		pool, _, _ := strings.Cut(of.Name(), "/")
		u.pools[pool] = true
	}
}

// endOverrides marks what overrides concern that have begun, changed or ended by themselves.
func (u *update) endOverrides() {
	for target, end := range u.expiries {
		if !u.now().Before(end) {
			u.override(target)
		}
	}
}

// word returns the override in force for a target. A drain counts once its level stays 0.
func (u *update) word(target string) zones.Word {
	if o := u.inForce(target); o != nil && o.Gone(u.now()) {
		return o.State
	}
	return ""
}

// leaving returns the drain of a target as long as its level is above 0, or will be.
func (u *update) leaving(target string) *zones.Override {
	if o := u.inForce(target); o != nil && !o.Gone(u.now()) {
		return o
	}
	return nil
}

// inForce returns the override of a target if it has begun, has not ended and was not given up.
func (u *update) inForce(target string) *zones.Override {
	key := zones.KeyOf(zones.KindOverride, target)
	o, ok := u.catalog.Get(key).(*zones.Override)
	now := u.now()
	if !ok || o.Until != nil && !now.Before(*o.Until) || o.From != nil && now.Before(*o.From) {
		return nil
	}
	if version, given := u.givenUp[key]; given && version == u.catalog.VersionOf(key) {
		return nil
	}
	return o
}
