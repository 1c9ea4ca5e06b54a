package store

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/etcd"
	"leeward/zones/sourcetest"
)

// Of three members, the one that is followed dies, then the leader, then the quorum is lost and comes back. The
// follower misses nothing.
func TestCluster(t *testing.T) {
	members := startCluster(t, 3)
	e := dial(t, nil, urls(members)...)
	put(t, e, "regions/eu-west", regionEU)
	r := sourcetest.Follow(t, e.Follow)
	c := r.State(zones.Following, 0)
	followed := slices.IndexFunc(members, func(m *member) bool { return m.url() == c.Endpoint })

	mark := r.Mark()
	members[followed].kill()
	r.State(zones.CutOff, mark)
	r.Revision(put(t, e, "regions/a", regionEU))
	members[followed].start()
	members[followed].ready()

	leader := slices.IndexFunc(members, func(m *member) bool { return m.leads() })
	members[leader].kill()
	r.Revision(put(t, e, "regions/b", regionEU))

	// Only one of three is left.
	mark = r.Mark()
	second := (leader + 1) % 3
	members[second].kill()
	if c := r.State(zones.CutOff, mark); c.Err == nil {
		t.Error("cut off without a reason")
	}
	rest := dial(t, func(o *etcd.Options) { o.Timeout = time.Second }, members[(leader+2)%3].url())
	if _, err := rest.List(t.Context()); err == nil || !strings.Contains(err.Error(), "no leader") {
		t.Errorf("without a quorum: %v", err)
	}

	// A follower that starts now has what the last member has, and says that it may be old.
	late := sourcetest.Follow(t, dial(t, nil, members[(leader+2)%3].url()).Follow)
	late.Until("the last member's copy", func() bool { return len(late.Batches) > 0 })
	if _, ok := late.Value("regions/b"); !ok {
		t.Error("the last member's copy is not complete")
	}
	late.State(zones.CutOff, 0)

	members[leader].start()
	members[second].start()
	members[leader].ready()
	members[second].ready()
	at := put(t, e, "regions/c", regionEU)
	r.Revision(at)
	late.Revision(at)
	for _, key := range []string{"eu-west", "a", "b", "c"} {
		if _, ok := r.Value(zones.Key("regions/" + key)); !ok {
			t.Errorf("region %s was missed", key)
		}
	}
	if n := r.Full(); n != 1 {
		t.Errorf("everything was read %d times, want once: the history can be proved", n)
	}
}

// Changes go through although the leader dies while others apply, and none is lost.
func TestChangeWhileLeaderDies(t *testing.T) {
	members := startCluster(t, 3)
	// A member gives up a proposal that died with its leader after little more than 5 s.
	e := dial(t, func(o *etcd.Options) { o.Timeout = 20 * time.Second }, urls(members)...)
	put(t, e, "regions/eu-west", regionEU)
	const writers, rounds = 2, 8
	done := make(chan error, writers)
	halfway := make(chan struct{}, writers*rounds)
	for w := range writers {
		go func() {
			for i := range rounds {
				if err := addWord(context.Background(), e, "regions/eu-west", w, i); err != nil {
					done <- err
					return
				}
				halfway <- struct{}{}
			}
			done <- nil
		}()
	}
	<-halfway
	leader := slices.IndexFunc(members, func(m *member) bool { return m.leads() })
	members[leader].kill()
	for range writers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	l, err := e.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := total(t, l); got != writers*rounds {
		t.Errorf("%d changes are there, want %d", got, writers*rounds)
	}
}
