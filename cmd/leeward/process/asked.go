package process

import (
	"time"

	"leeward/zones/steer"
)

// asker decides when to tell other servers which clients have asked here. They need it for their forecasts. It reports
// when the counts have changed enough to matter, but rarely: etcd keeps each version that is written.
type asker struct {
	ask  func(most int) *steer.Asked
	told *steer.Asked
	at   time.Time
}

const (
	askedTold  = 128 // how many orders of pools are reported
	askedEvery = 30 * time.Second
)

// tell returns the counts to report now.
func (a *asker) tell(now time.Time) *steer.Asked {
	if a.ask == nil || !a.at.IsZero() && now.Sub(a.at) < askedEvery {
		return a.told
	}
	if asked := a.ask(askedTold); asked.Differs(a.told) {
		a.told, a.at = asked, now
	}
	return a.told
}
