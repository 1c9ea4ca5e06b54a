package zones

import "maps"

// Batch is what a source (etcd or a folder) says has changed, at one revision.
type Batch struct {
	// etcd's revision; for a folder, a number that grows with every change (Unix seconds of the newest file at least)
	Revision int64
	Full     bool // Changes names everything there is: what it does not name is gone
	Changes  []Change

	// Accepted is a revision: an operator has said that all removals up to it were made on purpose (leeward accept,
	// delete, apply --prune; SIGHUP for a folder). They pass the guard.
	Accepted int64

	// AcceptedKeys are removals that an operator has accepted one by one, each at a revision. The removal of a key
	// passes the guard as long as the key has not been put since. A Full batch has all of them, another batch only the
	// new ones.
	AcceptedKeys map[Key]int64

	// Meant says that the removals in Changes were made on purpose, as by a signed dynamic update. They pass the guard.
	// It says nothing about earlier removals, or about those of others at the same time. It is false in a Full batch.
	Meant bool

	// Doubted says that the removals in Changes must be held back, whatever was accepted before they were seen. It is
	// false in a Full batch.
	Doubted bool

	// Sealed are the keys of zones as etcd has them, sealed, by their places. nil: the key is gone. A Full batch has
	// all of them, another batch only the new ones.
	Sealed map[string][]byte

	Serials *Serials // what the source keeps about zones' serials, or the news of it; nil: nothing
	Anew    bool     // a history other than that of earlier batches, which an operator has accepted; Full
	// The copy on disk: its changes have no revisions of their own, and Serials are those that were given; Full.
	Copy bool
}

// Change is one key's new version.
type Change struct {
	Key      Key
	Resource Resource // nil: deleted, or unreadable where Err is set
	Err      error    // why the value cannot be used; its last good version stays in service
	Revision int64    // of this version
}

// Serials is what a source keeps about zones' serials beside the resources, which do not show it (see package catalog).
type Serials struct {
	// Base is added to every revision. It stands for the histories before this one.
	Base int64 `json:"base,omitempty"`
	// Last is, by origin, the revision of the last change of the zone that no resource shows, such as a deletion.
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
