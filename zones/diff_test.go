package zones_test

import (
	"bytes"
	"os"
	"slices"
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/document"
	"leeward/zones/sourcetest"
)

func TestDiffOrderNeverLeavesADanglingReference(t *testing.T) {
	text, err := os.ReadFile("document/testdata/good/design.yaml")
	if err != nil {
		t.Fatal(err)
	}
	docs, problems := document.Read("design.yaml", bytes.NewReader(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	rs := zones.Resources(docs)
	slices.Reverse(rs)
	for _, way := range []struct{ old, new []zones.Resource }{{nil, rs}, {rs, nil}} {
		c := catalog.New(func() time.Time { return time.Time{} })
		edits, _ := zones.Diff(way.old, way.new)
		c.Apply(zones.Batch{Revision: 1, Full: true, Changes: sourcetest.Puts(way.old)})
		for i, e := range edits {
			c.Apply(zones.Batch{
				Revision: int64(i) + 2, Accepted: int64(i) + 2,
				Changes: []zones.Change{{Key: e.Key, Resource: e.New, Revision: int64(i) + 2}},
			})
			if wrong := c.Problems().Coded(zones.CodeReference); len(wrong) > 0 {
				t.Errorf("after %v: %v", e.Key, wrong)
			}
		}
		if c.CountOf(zones.KindEndpoint) != len(way.new)/len(rs)*5 {
			t.Errorf("%d endpoints", c.CountOf(zones.KindEndpoint))
		}
	}
}
