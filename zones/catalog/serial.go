package catalog

import (
	"maps"
	"slices"
	"strings"

	"leeward/zones"
)

// serials gives zones their serials. All servers of one source must give the same serial for the same content, however
// long they have been running. A serial grows with every change of what a transfer holds, and never goes back (RFC
// 1982).
//
// A zone's number is the highest revision among its Zone, its Records, its Policies, the pools and endpoints that these
// name, and the Defaults that these can inherit from. For a catalog zone that is made here, and for a zone that has
// CDS of others (zones.Zone.Signals), it is the highest among all Zones, valid or not. The serial is the number
// plus a base.
//
// A server that lists everything can tell the number from the keys, except for changes that left no key: a removal, a
// policy that moved to another zone, a version that had to wait for something else. A server that sees such a change
// counts its revision and owes it to the source (Owed), which keeps the highest of each zone. As all servers take the
// highest that is kept, those that missed the change come to the same number.
//
// A source with another history (wiped, restored) counts from a lower revision again. Then everything counted so far is
// added to the base, so that every serial is above every earlier one. The base is owed to the source in the same way.
type serials struct {
	base     int64
	kept     zones.Serials         // as the source has it
	owing    map[string]int64      // by origin: what the source should keep, but does not yet
	first    bool                  // the catalog was empty before this batch
	stirred  []*zoneState          // zones that this batch touches; none while the first is applied
	pools    map[string]poolStir   // pools that this batch changed, or whose endpoints it changed
	zones    poolStir              // what this batch does to Zones, which catalog zones made here may list
	signaled map[string]*zoneState // the zones that had CDS of others when a Zone last changed
	defaults poolStir              // what this batch does to the Defaults of Policies and Pools
	anew     bool                  // this batch begins another history
	complete bool                  // this batch names everything
	was      int64                 // the base before this batch
}

// stir is what a batch does to a zone.
type stir struct {
	before int64 // the zone's number before
	is     bool  // the batch touches the zone
	differ bool  // its content has changed
}

// poolStir is what a batch does to a pool, or to Zones.
type poolStir struct {
	revision      int64 // the newest of it and its endpoints
	differs, gone bool
}

func newSerials() serials {
	return serials{
		kept: zones.Serials{Last: map[string]int64{}}, owing: map[string]int64{},
		pools: map[string]poolStir{},
	}
}

// ZoneSerial returns a zone's serial: that of its master file, or else the serial of serials plus the zone's offset,
// modulo 2^32. It returns 0 if there is no such zone.
func (c *Catalog) ZoneSerial(origin string) uint32 {
	_, serial := c.Zone(origin)
	return serial
}

// Zone returns the effective version of a zone, or nil, and its serial.
func (c *Catalog) Zone(origin string) (*zones.Zone, uint32) {
	z := c.states[origin]
	switch {
	case z == nil || z.zone == nil:
		return nil, 0
	case z.zone.Serial != nil:
		return z.zone, *z.zone.Serial
	}
	return z.zone, uint32(c.serials.base+c.number(z)) + z.zone.SerialOffset
}

// Owed returns what the source should keep about serials, but does not as far as is known. any is false if there is
// nothing.
func (c *Catalog) Owed() (s zones.Serials, any bool) {
	if c.serials.base > c.serials.kept.Base {
		s.Base = c.serials.base
	}
	if len(c.serials.owing) > 0 {
		s.Last = maps.Clone(c.serials.owing)
	}
	return s, s.Base > 0 || s.Last != nil
}

// Serials returns what a copy must keep about serials, as its resources have no revisions of their own.
func (c *Catalog) Serials() zones.Serials {
	s := zones.Serials{Base: c.serials.base, Last: make(map[string]int64, len(c.states))}
	for origin, z := range c.states {
		if z.zone != nil {
			s.Last[strings.Clone(origin)] = c.number(z)
		}
	}
	return s
}

// number returns the zone's serial without the base.
func (c *Catalog) number(z *zoneState) int64 { return max(z.number, c.serials.kept.Last[z.origin]) }

// beginSerials prepares for a batch. first is true if the catalog was empty before.
func (c *Catalog) beginSerials(b *zones.Batch, first bool) {
	s := &c.serials
	clear(s.pools)
	s.zones, s.defaults = poolStir{}, poolStir{}
	s.complete = b.Full && !b.Copy
	s.anew = b.Full && !first && (b.Anew || b.Revision < c.revision)
	s.first, s.was = first, s.base
	c.calm()
	if s.complete {
		for _, z := range c.states {
			z.named = 0
			if !s.anew {
				z.number = c.number(z) // what the source kept until now, and may have lost
			}
		}
		s.kept = zones.Serials{Last: map[string]int64{}}
	}
	if s.anew {
		s.base += c.revision
		clear(s.owing)
		for _, z := range c.states {
			z.number = 0
		}
	}
	if b.Serials == nil || b.Copy {
		return
	}
	s.kept.Base = max(s.kept.Base, b.Serials.Base)
	s.base = max(s.base, s.kept.Base)
	for origin, revision := range b.Serials.Last {
		if z := c.states[origin]; z != nil {
			c.stir(z)
		}
		if s.kept.Last[origin] = max(s.kept.Last[origin], revision); s.kept.Last[origin] >= s.owing[origin] {
			delete(s.owing, origin)
		}
	}
}

// stir notes the number that a zone had before the batch.
func (c *Catalog) stir(z *zoneState) {
	if !c.serials.first && !z.stir.is {
		z.stir = stir{before: c.number(z), is: true}
		c.serials.stirred = append(c.serials.stirred, z)
	}
}

// calm forgets what the batch does to zones.
func (c *Catalog) calm() {
	for _, z := range c.serials.stirred {
		z.stir = stir{}
	}
	clear(c.serials.stirred)
	c.serials.stirred = c.serials.stirred[:0]
}

// around returns, for a Zone, Record or Policy, the zone that it is or is in, and for a Pool or Endpoint, the pool that
// it is or is in.
func (c *Catalog) around(key zones.Key) (z *zoneState, pool string) {
	switch kind := key.Kind(); kind {
	case zones.KindZone:
		z = c.states[key.Name()]
	case zones.KindRecord:
		origin, _, _, _ := splitRecord(key)
		z = c.states[origin]
	case zones.KindPolicy:
		z = c.zoneOf(key.Name())
	case zones.KindPool, zones.KindEndpoint:
		pool, _, _ = strings.Cut(key.Name(), "/")
	}
	return z, pool
}

// reckon counts the revision of a key that exists in its zone's number, whether its value is valid or not.
func (c *Catalog) reckon(key zones.Key, revision int64) {
	z, pool := c.around(key)
	if z != nil {
		c.reckonZone(z, revision)
	}
	if c.listable(key) {
		c.serials.zones.revision = max(c.serials.zones.revision, revision)
	}
	if inZones(key) {
		c.serials.defaults.revision = max(c.serials.defaults.revision, revision)
	}
	if pool != "" {
		p := c.serials.pools[pool]
		p.revision = max(p.revision, revision)
		c.serials.pools[pool] = p
	}
}

// stirBy counts a batch's change to something that a zone is made of in the zone's number.
func (c *Catalog) stirBy(z *zoneState, p poolStir, revision int64) {
	c.reckonZone(z, p.revision)
	if p.gone {
		c.loseZone(z, revision)
	}
	if p.differs && !c.serials.first {
		c.differZone(z)
	}
}

// listable reports whether a key is a Zone that a catalog zone made here may list. Zones that a primary's catalog has
// brought are not: they are in no source, and servers learn of them at different revisions.
func (c *Catalog) listable(key zones.Key) bool {
	if key.Kind() != zones.KindZone {
		return false
	}
	_, brought := c.brought[key]
	return !brought
}

// inZones reports whether a key is the Defaults of Policies or Pools.
func inZones(key zones.Key) bool {
	return key.Kind() == zones.KindDefaults && key.Name() != string(zones.KindMonitor)
}

func (c *Catalog) reckonZone(z *zoneState, revision int64) {
	c.stir(z)
	z.number, z.named = max(z.number, revision), max(z.named, revision)
}

// lose counts the revision at which a key went in its zone's number, as no key that is left tells it.
func (c *Catalog) lose(key zones.Key, revision int64) {
	z, pool := c.around(key)
	if z != nil {
		c.loseZone(z, revision)
	}
	if c.listable(key) {
		c.serials.zones.gone = true
	}
	if inZones(key) {
		c.serials.defaults.gone = true
	}
	if key.Kind() == zones.KindZone {
		if parent := c.zoneOf(zones.ParentName(key.Name())); parent != nil {
			c.loseZone(parent, revision)
		}
	}
	if pool != "" {
		p := c.serials.pools[pool]
		p.gone = true
		c.serials.pools[pool] = p
	}
}

func (c *Catalog) loseZone(z *zoneState, revision int64) {
	if c.serials.first || c.serials.anew { // nobody knew it before, or all serials change
		return
	}
	c.stir(z)
	z.number = max(z.number, revision)
	c.owe(z)
}

func (c *Catalog) owe(z *zoneState) {
	if z.zone != nil && z.number > c.serials.kept.Last[z.origin] {
		c.serials.owing[z.origin] = z.number
	}
}

// differ notes that a resource's effective version has changed, and so has the content of its zone.
func (c *Catalog) differ(key zones.Key) {
	if c.serials.first {
		return
	}
	z, pool := c.around(key)
	if z != nil {
		c.differZone(z)
	}
	if c.listable(key) {
		c.serials.zones.differs = true
	}
	if pool != "" {
		p := c.serials.pools[pool]
		p.differs = true
		c.serials.pools[pool] = p
	}
}

func (c *Catalog) differZone(z *zoneState) {
	c.stir(z)
	z.stir.differ = true
}

// endSerials settles the numbers of a batch, and returns the origins whose serials have changed.
func (c *Catalog) endSerials(b *zones.Batch) []string {
	s := &c.serials
	if s.complete && !s.first { // some were counted in a zone that has gone since
		for key := range c.slots[zones.KindPolicy] {
			c.reckon(key, c.newest(key))
		}
		// Valid or not: a version that waits for another's place is in the new zone all the same.
		for key, v := range c.waiting {
			if key.Kind() == zones.KindPolicy {
				c.reckon(key, v.revision)
			}
		}
	}
	for pool, p := range s.pools {
		for key := range c.referrers[zones.KeyOf(zones.KindPool, pool)] {
			policy := c.slots[zones.KindPolicy][key]
			if policy == nil || !zones.Refers(policy.resource, zones.KindPool, pool) {
				continue
			}
			z := policy.home
			if z == nil {
				continue
			}
			c.stirBy(z, p, b.Revision)
		}
	}
	if s.defaults != (poolStir{}) {
		for _, z := range c.states {
			if len(z.policies) > 0 {
				c.stirBy(z, s.defaults, b.Revision)
			}
		}
	}
	if s.zones != (poolStir{}) {
		for origin := range c.lists {
			c.stirBy(c.states[origin], s.zones, b.Revision)
		}
		had := s.signaled
		s.signaled = c.signaling()
		for _, z := range s.signaled {
			c.stirBy(z, s.zones, b.Revision)
		}
		for origin := range had { // no key that is left tells that these had any
			if z := c.states[origin]; z != nil && s.signaled[origin] == nil {
				c.loseZone(z, b.Revision)
			}
		}
	}
	if b.Copy && b.Serials != nil {
		s.base = max(s.base, b.Serials.Base)
		for origin, z := range c.states {
			if number, known := b.Serials.Last[origin]; known {
				z.number = number
			}
		}
	}
	if s.first {
		return nil
	}
	for _, z := range s.stirred {
		if z.stir.differ && !s.anew && c.number(z) <= z.stir.before {
			c.loseZone(z, max(b.Revision, z.stir.before+1))
		}
	}
	if s.complete {
		for _, z := range c.states {
			if z.number > z.named {
				c.owe(z)
			}
		}
	}
	maps.DeleteFunc(s.owing, func(origin string, _ int64) bool {
		return c.states[origin] == nil ||
			c.states[origin].zone == nil
	})
	var moved []string
	for _, z := range s.stirred {
		if z.zone != nil && (s.anew || c.number(z) != z.stir.before) { // a zone that was dropped has no Zone
			moved = append(moved, z.origin)
		}
	}
	c.calm()
	if s.base != s.was {
		moved = slices.Collect(maps.Keys(c.states))
	}
	slices.Sort(moved)
	return moved
}
