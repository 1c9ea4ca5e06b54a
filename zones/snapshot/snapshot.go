package snapshot

import "leeward/zones/steer"

// Snapshot is everything a query needs, immutable, at one revision.
type Snapshot struct{}

// Lookup finds what there is for a question.
func (s *Snapshot) Lookup(name []byte, qtype, qclass uint16, a *Answer) {}

// Revision is the source's revision that the snapshot was built from.
func (s *Snapshot) Revision() int64 { return 0 }

// Program is the compiled pools.
func (s *Snapshot) Program() *steer.Program { return nil }
