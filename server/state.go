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
}
