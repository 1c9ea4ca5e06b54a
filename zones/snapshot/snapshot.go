// Package snapshot compiles the effective resources of a zones.Catalog into an immutable tree of ready answers, and
// keeps the last good copy of them on disk.
//
// A zone is a table from owner names to RRsets in wire form, found by name and searched for the closest encloser as RFC
// 1034 section 4.3.2 and RFC 4592 have it; a steered name has the number of its policy instead of addresses. A Builder
// follows the catalog and makes each Snapshot from the one before: what did not change is shared.
package snapshot

import (
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"

	"leeward/zones"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// Snapshot is everything a query needs from configuration, immutable, at one revision.
type Snapshot struct {
	revision int64
	origins  map[rr.Name]int // origin → index in zones
	roots    roots           // the same for queries
	depths   uint64          // bit n: there is an origin of n labels (of 63 and more, always looked at)
	zones    []*zone
	policies []*steer.Policy // by number; nil: a number not in use
	sharing  []*steer.Policy // that go by loads, by name
	program  *steer.Program
	stats    Stats
}

// zone is one origin's names.
type zone struct {
	origin   rr.Name
	hash     uint64 // of origin
	standing standing
	tree     *tree
	negative negative
	fixed    bool            // addresses come as they are written
	transfer *zones.Transfer // who may transfer it; nil: nobody

	listing   bool     // it is a catalog zone
	elsewhere bool     // it lives on another primary
	version   *Version // of that, which lies below what is configured; nil: none yet
	apart     int      // names that were made anew since all of the tree was last laid over the version

	until *atomic.Int64 // as Transferred.Until
}

// Stats count what a snapshot holds.
type Stats struct {
	Zones     int `json:"zones"`
	Names     int `json:"names"`
	Records   int `json:"records"` // static RRsets, SOA and NS included
	Policies  int `json:"policies"`
	Pools     int `json:"pools"`
	Endpoints int `json:"endpoints"`
}

// Revision is the source's revision that the snapshot was built from.
func (s *Snapshot) Revision() int64 { return s.revision }

// Program is the compiled pools.
func (s *Snapshot) Program() *steer.Program { return s.program }

// Stats counts what the snapshot holds.
func (s *Snapshot) Stats() Stats { return s.stats }

// Policy returns the policy of a name, nil if there is none.
func (s *Snapshot) Policy(name string) *steer.Policy {
	for _, p := range s.policies {
		if p != nil && p.Name == name {
			return p
		}
	}
	return nil
}

// Policies calls f with each policy until it returns false.
func (s *Snapshot) Policies(f func(*steer.Policy) bool) {
	for _, p := range s.policies {
		if p != nil && !f(p) {
			return
		}
	}
}

// Sharing returns the policies that go by the loads of their pools, by name.
func (s *Snapshot) Sharing() []*steer.Policy { return s.sharing }

// Print writes the compiled zones as text: every name in order with what it holds.
func (s *Snapshot) Print(w io.Writer) error {
	origins := make([]rr.Name, 0, len(s.origins))
	for o := range s.origins {
		origins = append(origins, o)
	}
	slices.SortFunc(origins, func(a, b rr.Name) int { return strings.Compare(a.String(), b.String()) })
	for _, o := range origins {
		z := s.zones[s.origins[o]]
		if _, err := fmt.Fprintf(w, "zone %s: %d names, %d cuts, %d wildcards\n", o, z.tree.names, z.tree.cuts, z.tree.stars); err != nil {
			return err
		}
		if _, err := io.WriteString(w, strings.Join(z.lines(s), "")); err != nil {
			return err
		}
	}
	return nil
}

// lines prints each node, sorted.
func (z *zone) lines(s *Snapshot) []string {
	var lines []string
	z.tree.each(func(n node) {
		line := "  " + rr.Name(n.name()).String() + ":"
		if number := n.policy(); number >= 0 {
			line += " policy " + s.policies[number].Name
		}
		n.each(func(typ rr.Type, count int, _ []byte) { line += fmt.Sprintf(" %s×%d", typ, count) })
		if n.kids() > 0 {
			line += fmt.Sprintf(" (%d below)", n.kids())
		}
		lines = append(lines, line+"\n")
	})
	slices.Sort(lines)
	return lines
}

// depthBit is an origin's bit in depths.
func depthBit(origin rr.Name) uint64 {
	n := origin.Labels()
	if n >= bits.UintSize {
		return 0
	}
	return 1 << n
}
