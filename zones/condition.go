package zones

import "time"

// State is how well a source of resources is followed.
type State string

// The states of a source.
const (
	Starting  State = "starting"   // nothing was read yet
	SavedCopy State = "saved copy" // what an earlier run has kept on disk is in service
	Syncing   State = "syncing"    // reading everything; nothing has been missed yet
	Following State = "following"  // changes arrive as they are made
	CutOff    State = "cut off"    // the last good state stays in service; trying on
	// the source has a history other than the one that was followed: it is held back until it is accepted
	HistoryChanged State = "history changed"
)

// States are all states.
var States = [...]State{Starting, SavedCopy, Syncing, Following, CutOff, HistoryChanged}

// Condition is how a source is doing.
type Condition struct {
	State    State
	Since    time.Time // of this state
	Err      error     // why it is not Following; nil when it is
	Heard    time.Time // when the source last proved that nothing was missed; zero: never
	Endpoint string    // the member of etcd that was spoken to last, or the folder
	Revision int64     // up to which everything has been delivered
}
