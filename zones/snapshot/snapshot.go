// Package snapshot compiles the resources in service (zones.Catalog) into an immutable tree of ready answers, and keeps
// the last good copy of the resources on disk.
//
//	Catalog, Delta ─▶ Builder ─▶ Snapshot ─┬─ zone, one an origin ─▶ tree: name ─▶ RRsets in wire form
//	Transferred ────────▲                  ├─ policies, by number
//	Resolved ───────────┘                  └─ Program: pools, by number
//
// Lookup finds a name by RFC 1034 section 4.3.2 and RFC 4592. A steered name has the number of its policy instead of
// addresses. The Builder makes each Snapshot from the one before, and both share what has not changed.
package snapshot

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"leeward/geo"

	"leeward/zones"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// Snapshot is all that a query needs from configuration, at one revision. It never changes.
type Snapshot struct {
	revision  int64
	origins   map[rr.Name]int // origin → index in zones
	roots     roots           // the same, for queries
	depths    uint64          // bit n: some origin has n labels; 63: as many, or more
	zones     []*zone
	policies  []*steer.Policy // by number; nil: the number is free
	sharing   []*steer.Policy // the policies that use loads, by name
	countries *geo.Areas      // nil: clients are not counted by country
	table     *geo.Table      // nil: no location is known
	debugged  bool            // some zone has a debug name
	program   *steer.Program
	stats     Stats
}

// zone is one origin's names.
type zone struct {
	origin   rr.Name
	hash     uint64 // of origin
	standing standing
	tree     *tree
	negative negative
	fixed    bool            // addresses are answered in the order in which they are written
	transfer *zones.Transfer // who may transfer it; nil: nobody
	signing  *signing        // nil: it is not signed here
	sealed   *sealed         // nil: nothing that its primary signed is answered
	debug    []zones.Peer    // who may ask for its debug name; none: it has no debug name

	listing   bool     // it is a catalog zone
	elsewhere bool     // it lives on another primary
	version   *Version // the primary's version under the zone; nil: none yet, or the zone lives here
	apart     int      // names that were made again since everything was last laid over the version

	until *atomic.Int64 // as Transferred.Until
}

// Stats count what a snapshot holds.
type Stats struct {
	Zones     int `json:"zones"`
	Names     int `json:"names"`
	Records   int `json:"records"` // static RRsets, including SOA and NS
	Policies  int `json:"policies"`
	Pools     int `json:"pools"`
	Endpoints int `json:"endpoints"`
}

// Revision returns the source's revision that the snapshot was built from.
func (s *Snapshot) Revision() int64 { return s.revision }

// Program returns the compiled pools.
func (s *Snapshot) Program() *steer.Program { return s.program }

// Stats returns the counts of what the snapshot holds.
func (s *Snapshot) Stats() Stats { return s.stats }

// Policy returns the policy of a name, or nil if there is none.
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

// Numbered returns all policies by number, nil where the number is not in use. It must not be changed, and is the same
// slice in the next snapshot unless a policy has changed.
func (s *Snapshot) Numbered() []*steer.Policy { return s.policies }

// Sharing returns the policies that use the loads of their pools, by name.
func (s *Snapshot) Sharing() []*steer.Policy { return s.sharing }

// Print writes the compiled zones as text: every name, sorted, with what it has.
func (s *Snapshot) Print(w io.Writer) error {
	origins := make([]rr.Name, 0, len(s.origins))
	for o := range s.origins {
		origins = append(origins, o)
	}
	slices.SortFunc(origins, func(a, b rr.Name) int { return strings.Compare(a.String(), b.String()) })
	for _, o := range origins {
		z := s.zones[s.origins[o]]
		if _, err := fmt.Fprintf(w, "zone %s: %d names, %d cuts, %d wildcards\n", o, z.tree.names, z.tree.cuts,
			z.tree.stars); err != nil {
			return err
		}
		if _, err := io.WriteString(w, strings.Join(z.lines(s), "")); err != nil {
			return err
		}
	}
	return nil
}

// lines returns one line for each node, sorted.
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

// depthBit returns the bit in depths of an origin with that many labels.
func depthBit(labels int) uint64 { return 1 << min(labels, 63) }
