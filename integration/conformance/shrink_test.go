//go:build linux

package conformance

import (
	"slices"
	"testing"
)

// show prints the first difference of each shape, and some of them shrunk, with their zones.
func (d *differential) show(t *testing.T) {
	count := make(map[string]int)
	var first []*difference
	for _, c := range d.cases {
		if count[c.shape()]++; count[c.shape()] == 1 {
			first = append(first, c)
		}
	}
	for _, c := range first {
		t.Logf("%d × %s:\n%s", count[c.shape()], c.shape(), repliesOf(c.probe, c.replies))
	}
	for _, c := range first[:min(len(first), *differShrink)] {
		c = shrink(t, c)
		t.Logf("shrunk, %s:\n%s", c.shape(), transcriptOf(c.family, c.probe, c.replies))
	}
}

// shape is what similar differences have in common: the type asked for, and what differs.
func (c *difference) shape() string {
	s := ""
	for _, f := range differences(c.replies[ours], c.replies[bind]) {
		s += f + " "
	}
	return s + typeName(c.probe.qtype)
}

// shrink drops records and zones for as long as the answer still differs from the one that the three agree on. The
// candidates of a round are side by side in the same servers, each as a family of its own.
func shrink(t *testing.T, c *difference) *difference {
	for range 60 {
		candidates := c.smaller()
		if len(candidates) == 0 {
			return c
		}
		files := make(map[string]string)
		var families []*family
		for i, w := range candidates {
			families = append(families, w.rebased(i))
			families[i].files(files)
		}
		q := startQuartet(t, files)
		a, err := newAsker(q)
		if err != nil {
			t.Fatal(err)
		}
		var next *difference
		for _, w := range families { // the smallest come first
			p := w.probes[0]
			if r := a.ask(p); agree(r) && len(differences(r[ours], r[bind])) > 0 {
				next = &difference{w, p, r}
				break
			}
		}
		a.close()
		q.stop()
		if next == nil {
			return c
		}
		c = next
	}
	return c
}

// smaller returns variants of a case's family with fewer records, the smallest first, each with the base of makeFamily.
func (c *difference) smaller() []*family {
	w := c.family.based()
	p := c.probe
	p.name = toBase(p.name)
	var out []*family
	add := func(zones []zoneText) {
		for i, z := range zones {
			zones[i].records = valid(z.origin, z.records)
		}
		validTogether(zones)
		out = append(out, &family{zones: zones, probes: []probe{p}})
	}
	if len(w.zones) > 1 {
		for i := range w.zones {
			add(slices.Delete(slices.Clone(w.zones), i, i+1))
		}
	}
	total := 0
	for _, z := range w.zones {
		total += len(z.records)
	}
	for size := total / 2; size > 0; size /= 2 {
		for i, z := range w.zones {
			for from := 1; from < len(z.records); from += size {
				// the SOA stays, and valid adds an NS if there is none
				zones := slices.Clone(w.zones)
				zones[i].records = slices.Delete(slices.Clone(z.records), from, min(from+size, len(z.records)))
				add(zones)
			}
		}
	}
	return out
}
