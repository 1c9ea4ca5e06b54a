package server

import (
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// State is all that a query needs: a Snapshot from configuration, paired with a View from health. Neither changes once
// it is published.
type State struct {
	Snapshot *snapshot.Snapshot
	View     *steer.View

	// Stale says that it has long not been known whether the snapshot is the newest. Answers say so to who sends an OPT
	// record (RFC 8914 section 4.4).
	Stale bool
}
