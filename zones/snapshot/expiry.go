package snapshot

import (
	"time"

	"leeward/zones/rr"
)

// Sealed calls f, until it returns false, with each zone that has signatures of its primary. next is when the next of
// these expires, or the zero time if none ever does. expired is how many RRsets have signatures that have expired.
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
