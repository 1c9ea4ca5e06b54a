package process

import (
	"time"

	"leeward/zones/steer"
)

// asker decides when others are told which clients have asked here, for forecasts: when it has changed so much that it
// matters, and no more often than that etcd, which keeps each version, does not notice.
type asker struct {
	ask  func(most int) *steer.Asked
	told *steer.Asked
	at   time.Time
}

const (
	askedTold  = 128 // orders that others are told of
	askedEvery = 30 * time.Second
)

// tell returns what others are to be told.
func (a *asker) tell(now time.Time) *steer.Asked {
	if a.ask == nil || !a.at.IsZero() && now.Sub(a.at) < askedEvery {
		return a.told
	}
	if asked := a.ask(askedTold); asked.Differs(a.told) {
		a.told, a.at = asked, now
	}
	return a.told
}
