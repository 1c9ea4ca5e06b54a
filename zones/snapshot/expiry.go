package snapshot

import (
	"time"

	"leeward/zones/rr"
)

// Sealed calls f with each zone that is answered as its primary has signed it, until f returns false: when the next of
// the primary's signatures expires (the zero time: never), and how many RRsets have signatures that have expired.
func (s *Snapshot) Sealed(f func(origin rr.Name, next time.Time, expired int) bool) {
	for _, z := range s.zones {
		if z.sealed != nil && !f(z.origin, z.sealed.found.next, z.sealed.found.expired) {
			return
		}
	}
}
