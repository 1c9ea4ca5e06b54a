package answer

import (
	"sync/atomic"

	"leeward/zones/snapshot"
)

// countryTally is one worker's counts of answers by policies, by the number of the client's country.
type countryTally [snapshot.CountryNumbers]atomic.Uint64

type countrySums [snapshot.CountryNumbers]uint64

// countCountry counts the client of the decision. As in a policy, a private address that no database knows is taken to
// be where its resolver is.
func (w *Worker) countCountry(s *snapshot.Snapshot) {
	of := s.Country(w.request.Client)
	if of == 0 && w.request.Resolver.IsValid() && w.request.Client.IsPrivate() {
		of = s.Country(w.request.Resolver)
	}
	w.stripe.places[of].Add(1)
}
