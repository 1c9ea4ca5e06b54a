package snapshot

import (
	"time"

	"leeward/zones/rr"
)

// Sealed calls f with each zone that has its primary's signatures, or some of them, until f returns false: when the
// next of these expires (the zero time: never), and how many RRsets have signatures that have expired.
func (s *Snapshot) Sealed(f func(origin rr.Name, next time.Time, expired int) bool) {
	for _, z := range s.zones {
		theirs := z.sealed
		if z.signing != nil {
			theirs = z.signing.theirs
		}
		if theirs != nil && !f(z.origin, theirs.found.next, theirs.found.expired) {
			return
		}
	}
}
