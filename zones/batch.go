package zones

import "maps"

// Batch is what a source (etcd or a folder) says has changed, at one revision.
type Batch struct {
	// etcd's revision; for a folder, a number that grows with every change (Unix seconds of the newest file at least)
	Revision int64
	Full     bool // Changes names everything there is: what it does not name is gone
	Changes  []Change

	// Accepted is the revision up to which an operator has said that what went away went away on purpose (leeward
	// accept, delete, apply --prune; SIGHUP for a folder). Removals at or below it pass the guard.
	Accepted int64

	// AcceptedKeys are removals that an operator has accepted one by one, each at a revision: as long as the key has
	// not been put since, its removal passes the guard. In a Full batch all that there are, else what is new.
	AcceptedKeys map[Key]int64

	// Meant says that the removals in Changes were made on purpose, as by a signed dynamic update: they pass the guard.
	// It says nothing of what went away before, or at the same time by other hands. Not in a Full batch.
	Meant bool

	// Doubted says that the removals in Changes are to be held back, whatever was accepted before they were seen. Not
	// in a Full batch.
	Doubted bool

	// Sealed are the keys of zones as etcd has them, sealed, by their places. nil: the key is gone. In a Full batch all
	// that there are, else what is new.
	Sealed map[string][]byte

	Serials *Serials // what the source keeps of zones' serials, or what is new of that; nil: nothing
	Anew    bool     // another history than that of the batches before, which an operator has accepted; Full
	// the copy on disk: the changes have no revisions of their own, and Serials are those that were given; Full
	Copy bool
}

// Change is one key's new version.
type Change struct {
	Key      Key
	Resource Resource // nil: deleted, or unreadable where Err is set
	Err      error    // why the value cannot be used; its last good version stays in service
	Revision int64    // of this version
}

// Serials is what a source keeps about zones' serials beside the resources, because these cannot tell it (see serials).
type Serials struct {
	// Base is added to every revision: the histories that came before this one.
	Base int64 `json:"base,omitempty"`
	// Last is, by origin, the revision of the last change of the zone that left no trace, such as a deletion.
	Last map[string]int64 `json:"last,omitempty"`
}

// With returns the higher of both; s may be nil.
func (s *Serials) With(more Serials) *Serials {
	if s == nil {
		s = &Serials{}
	}
	sum := Serials{Base: max(s.Base, more.Base), Last: maps.Clone(s.Last)}
	for origin, revision := range more.Last {
		if sum.Last == nil {
			sum.Last = map[string]int64{}
		}
		sum.Last[origin] = max(sum.Last[origin], revision)
	}
	return &sum
}
