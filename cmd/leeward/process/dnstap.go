package process

import (
	"leeward/server/answer"
	"leeward/server/dnstap"
)

// DNSTap says where copies of queries and responses go, and how many are copied.
type DNSTap struct {
	Target dnstap.Target
	Every  int // one query in this many is copied
}

// tapRing is the size, in octets, of each packet loop's buffer for what the follower has not taken yet: some 10,000
// queries.
const tapRing = 4 << 20

// openTap makes the follower, if there is to be one. It opens nothing yet: a missing target does not hold up the start.
func (r *run) openTap() (*answer.Tap, error) {
	if r.DNSTap == nil {
		return nil, nil
	}
	tap := answer.NewTap(r.DNSTap.Every, tapRing)
	var err error
	r.follower, err = dnstap.New(dnstap.Options{
		Target: r.DNSTap.Target, Identity: r.ID, Version: "leeward " + r.Version, Tap: tap, Log: r.Log,
		Registerer: r.registry,
	})
	return tap, err
}
