package document

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"leeward/zones"
	"leeward/zones/rr"
)

// proofs counts the records of a master file that are left out, as they prove only the file as it was signed.
type proofs struct {
	first zones.Position
	count map[rr.Type]int
}

func (p *proofs) add(at zones.Position, t rr.Type) {
	if p.count == nil {
		p.first, p.count = at, map[rr.Type]int{}
	}
	p.count[t]++
}

// unsigned warns once that the signatures of a file are left out. Another document may say whether the zone is signed
// here.
func (m *masterFile) unsigned() {
	if m.proofs.count == nil {
		return
	}
	var left []string
	for _, t := range slices.SortedFunc(maps.Keys(m.proofs.count),
		func(a, b rr.Type) int { return cmp.Compare(a, b) }) {
		left = append(left, fmt.Sprintf("%d %s", m.proofs.count[t], t))
	}
	m.problems = append(m.problems, zones.Problem{
		Position: m.proofs.first, Key: zones.KeyOf(zones.KindZone, m.origin), Warning: true,
		Message: "the file is signed, and " + strings.Join(left,
			", ") + " are left out. Where the Zone has dnssec enabled it is signed here, with the key of this " +
			"server; else it is served unsigned. Take its DS out of the parent zone first, or validating resolvers " +
			"get no answer",
	})
}
