package transfer

import (
	"sync"

	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// Bounds on the versions that are kept.
const (
	mostVersions = 64       // for one zone
	mostApart    = 32 << 20 // octets that the versions of one zone do not share with later ones
)

// journal keeps the last versions of each zone.
type journal struct {
	mu    sync.Mutex
	zones map[rr.Name]*past
}

// past is the versions of one zone, oldest first.
type past struct {
	versions []version
	apart    int               // octets, of all versions
	given    map[string]uint32 // a zone from elsewhere: the serial last sent to each requester
	followed bool
	serial   uint32 // the last that follow has seen
}

type version struct {
	serial uint32
	zone   *snapshot.Zone
	apart  int // octets that the next version does not share
}

func newJournal() *journal { return &journal{zones: map[rr.Name]*past{}} }

// newer reports whether serial a comes after serial b (RFC 1982).
func newer(a, b uint32) bool { return int32(a-b) > 0 }

// follow takes the zones of a new snapshot and forgets zones that are gone. It returns the zones whose serial has
// changed.
func (j *journal) follow(s *snapshot.Snapshot) (changed []*snapshot.Zone) {
	there := map[rr.Name]bool{}
	s.EachZone(func(z *snapshot.Zone) bool {
		there[z.Origin()] = true
		if !z.Current() || !z.Whole() {
			return true
		}
		j.newest(z) // a query may have added it already
		if j.turned(z) {
			changed = append(changed, z)
		}
		return true
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	for origin := range j.zones {
		if !there[origin] {
			delete(j.zones, origin)
		}
	}
	return changed
}

// turned notes the zone's serial. It reports whether it has changed since the last call.
func (j *journal) turned(z *snapshot.Zone) bool {
	serial := z.Serial()
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.zones[z.Origin()]
	if p.followed && p.serial == serial {
		return false
	}
	p.followed, p.serial = true, serial
	return true
}

// newest returns the version that the zone's serial stands for, and keeps it. If the serial has gone back, this is
// another history, and all earlier versions are forgotten.
func (j *journal) newest(z *snapshot.Zone) *snapshot.Zone {
	serial := z.Serial()
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.zones[z.Origin()]
	if p == nil {
		p = &past{}
		j.zones[z.Origin()] = p
	}
	if last := len(p.versions) - 1; last >= 0 {
		before := &p.versions[last]
		switch {
		case before.serial == serial:
			return before.zone
		case newer(serial, before.serial):
			before.apart = z.Apart(before.zone)
			p.apart += before.apart
		default:
			for _, v := range p.versions { // a query that began before a change still has the earlier version
				if v.serial == serial {
					return v.zone
				}
			}
			p.versions, p.apart = nil, 0
		}
	}
	p.versions = append(p.versions, version{serial: serial, zone: z})
	for len(p.versions) > mostVersions || p.apart > mostApart && len(p.versions) > 1 {
		p.apart -= p.versions[0].apart
		p.versions[0] = version{} // lets the garbage collector have it
		p.versions = p.versions[1:]
	}
	return z
}

// mostGiven is how many requesters are remembered for a zone.
const mostGiven = 1024

// mayDiffer reports whether a requester that names a serial may be sent differences from it. The serial of a zone that
// lives elsewhere is the sum of two counters, and each server receives them at its own time. For a moment the same
// serial may stand for different content on two servers. So for such a zone the requester must have had the serial from
// this server.
func (j *journal) mayDiffer(z *snapshot.Zone, who string, serial uint32) bool {
	if !z.Elsewhere() {
		return true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.zones[z.Origin()]
	given, ok := uint32(0), false
	if p != nil {
		given, ok = p.given[who]
	}
	return ok && given == serial
}

// gave notes which version a requester has now.
func (j *journal) gave(z *snapshot.Zone, who string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.zones[z.Origin()]
	if p == nil || !z.Elsewhere() {
		return
	}
	if p.given == nil {
		p.given = map[string]uint32{}
	}
	if len(p.given) >= mostGiven {
		for other := range p.given { // any one: it is sent the whole zone next time
			delete(p.given, other)
			break
		}
	}
	p.given[who] = z.Serial()
}

// at returns the version of a zone that has the serial, or nil if it is not kept.
func (j *journal) at(origin rr.Name, serial uint32) *snapshot.Zone {
	j.mu.Lock()
	defer j.mu.Unlock()
	if p := j.zones[origin]; p != nil {
		for _, v := range p.versions {
			if v.serial == serial {
				return v.zone
			}
		}
	}
	return nil
}

// count returns how many versions are kept, of all zones.
func (j *journal) count() (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, p := range j.zones {
		n += len(p.versions)
	}
	return n
}
