package snapshot

import (
	"strings"
	"time"

	"leeward/zones"
	"leeward/zones/catalog"
)

// NextExpiry returns when an override next begins, changes or ends, a zone's keys have something else to do, or a
// primary's signature expires, and so when Update is due. It returns the zero time if that is never.
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

// GiveUp makes an override, at its present version, have no effect. Update is due then.
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

// word returns the override in force of a target. A drain counts while its level stays 0.
func (u *update) word(target string) zones.Word {
	if o := u.inForce(target); o != nil && o.Gone(u.now()) {
		return o.State
	}
	return ""
}

// leaving returns the drain of a target while its level is above 0, or about to be.
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
