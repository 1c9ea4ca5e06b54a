package store

import (
	"context"
	"sync"
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/sourcetest"
)

// A watch goes on while servers compact, and no follower reads everything again.
func TestCompactUnderWatch(t *testing.T) {
	m := startMember(t)
	e := dial(t, nil, m.url())
	put(t, e, "regions/eu-west", regionEU)
	r := sourcetest.Follow(t, e.Follow)
	r.State(zones.Following, 0)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { e.Compact(ctx, "one", 20*time.Millisecond) })
	wg.Go(func() { dial(t, nil, m.url()).Compact(ctx, "two", 20*time.Millisecond) })
	versions := func() int64 {
		r, err := e.Client.Get(t.Context(), e.Key("meta/compacted"))
		if err != nil || len(r.Kvs) == 0 {
			return 0
		}
		return r.Kvs[0].Version
	}
	for versions() < 10 {
		r.Revision(put(t, e, "regions/eu-west", regionEU))
	}
	stop()
	wg.Wait()
	if n := r.Full(); n != 1 {
		t.Errorf("everything was read %d times, want once", n)
	}
	d, err := e.Database(t.Context())
	if err != nil || d.Bytes <= 0 || d.InUse <= 0 || d.Quota <= 0 || d.Alarm != "" {
		t.Errorf("%+v, %v", d, err)
	}
}
