package process

import (
	"testing"
	"time"

	"leeward/zones/steer"
)

// The counts are reported when they have changed enough, and at most every half minute.
func TestAskedIsToldSeldom(t *testing.T) {
	asked := &steer.Asked{
		Seconds: 10, Queries: 100,
		Orders: []steer.AskedOrder{{Order: steer.Order{Policy: "p"}, Queries: 100}},
	}
	a := asker{ask: func(int) *steer.Asked { c := *asked; return &c }}
	now := time.Unix(1e9, 0)
	first := a.tell(now)
	if first == nil || first.Queries != 100 {
		t.Fatalf("%+v", first)
	}
	asked.Queries = 300
	if a.tell(now.Add(29*time.Second)) != first {
		t.Error("told again within half a minute")
	}
	if second := a.tell(now.Add(30 * time.Second)); second.Queries != 300 {
		t.Errorf("%+v", second)
	}
	asked.Queries = 310
	if again := a.tell(now.Add(time.Hour)); again.Queries != 300 {
		t.Error("told although it is much the same")
	}
	if (&asker{}).tell(now) != nil {
		t.Error("told by nobody")
	}
}
