package catalog

import (
	"slices"
	"testing"
	"time"

	"leeward/zones"
)

// What is frozen stays as it was, and a batch that is consumed has the same effect as one that is applied.
func TestFreezeAndConsume(t *testing.T) {
	batch := func() zones.Batch {
		b := zones.Batch{Revision: 3, Full: true}
		for _, r := range []zones.Resource{
			&zones.Zone{Origin: "example.test", Nameservers: []string{"ns1.example.test"}},
			&zones.Record{Origin: "example.test", Owner: "ns1", Type: "A", Data: []string{"192.0.2.53"}},
			&zones.Record{Origin: "example.test", Owner: "ns1", Type: "AAAA", Data: []string{"2001:db8::53"}},
			&zones.Override{Target: "region/eu-west", State: zones.Drain},
		} {
			b.Changes = append(b.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: 3})
		}
		return b
	}
	list := func(f *Frozen) (all []string) {
		for r := range f.All() {
			text, err := zones.Encode(r)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(r.Key())+string(text))
		}
		if len(all) != f.Len() {
			t.Errorf("%d of %d", len(all), f.Len())
		}
		slices.Sort(all)
		return all
	}
	applied, consumed := New(time.Now), New(time.Now)
	one, two := batch(), batch()
	a, b := applied.Apply(one), consumed.Consume(two)
	frozen := consumed.Freeze()
	want := list(applied.Freeze())
	if got := list(frozen); !slices.Equal(got, want) || len(got) < 3 {
		t.Errorf("consumed %q, applied %q", got, want)
	}
	if a.Revision != b.Revision || a.Full != b.Full || !slices.Equal(a.Keys, b.Keys) {
		t.Errorf("consuming: %+v, applying: %+v", b, a)
	}
	for i := range two.Changes {
		if one.Changes[i].Resource == nil || two.Changes[i] != (zones.Change{Revision: 3}) {
			t.Errorf("left of change %d: applied %+v, consumed %+v", i, one.Changes[i], two.Changes[i])
		}
	}
	consumed.Apply(zones.Batch{Revision: 4, Changes: []zones.Change{
		{
			Key: "records/example.test/ns1/A", Revision: 4,
			Resource: &zones.Record{Origin: "example.test", Owner: "ns1", Type: "A", Data: []string{"192.0.2.54"}},
		},
		{Key: "overrides/region/eu-west", Revision: 4},
	}})
	if got := list(frozen); !slices.Equal(got, want) {
		t.Errorf("frozen, and then %q", got)
	}
	for range frozen.All() {
		break // a reader that fails does this
	}
}
