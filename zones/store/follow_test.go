package store

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"leeward/zones"
	"leeward/zones/etcd"
	"leeward/zones/sourcetest"
)

const (
	regionEU = `{"latitude":53.3,"longitude":-6.3}`
	poolEU   = `{"region":"eu-west"}`
)

func TestFollow(t *testing.T) {
	m := startMember(t)
	m.warm()
	before := goleak.IgnoreCurrent()
	e, err := Dial(etcd.Options{Endpoints: []string{m.url()}, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	put(t, e, "regions/eu-west", regionEU)
	put(t, e, "reports/fra/www-eu", `{"not":"ours"}`)
	put(t, e, "vantages/fra", `{"not":"ours"}`)
	at := put(t, e, "meta/accepted", `{"by":"test"}`)

	r := sourcetest.Follow(t, e.Follow)
	r.State(zones.Following, 0)
	if b := r.Batches[0]; !b.Full || b.Revision != at || b.Accepted != at || len(b.Changes) != 1 ||
		b.Changes[0].Key != "regions/eu-west" {
		t.Errorf("first batch %+v", b)
	}

	// A change, a bad value, an unknown folder and a deletion.
	put(t, e, "pools/www-eu", poolEU)
	put(t, e, "pools/bad", `{"region":`)
	put(t, e, "ponds/x", `{}`)
	at = del(t, e, "pools/www-eu")
	r.Revision(at)
	if _, ok := r.Value("pools/www-eu"); ok {
		t.Error("a deleted pool is still there")
	}
	for key, want := range map[zones.Key]string{
		"pools/bad": "!",
		"ponds/x":   "!ponds/x: no kind of resource is kept in /leeward/ponds/x",
	} {
		if v, _ := r.Value(key); !strings.HasPrefix(v, want) {
			t.Errorf("%s: %q, want %q…", key, v, want)
		}
	}

	// What is no resource is not delivered. All changes of one transaction come together.
	n := len(r.Batches)
	put(t, e, "reports/fra/www-eu", `{}`)
	txn, err := e.Client.Txn(t.Context()).Then(
		clientv3.OpPut("/leeward/pools/a", poolEU), clientv3.OpPut("/leeward/pools/b", poolEU),
		clientv3.OpDelete("/leeward/pools/bad"), clientv3.OpPut("/leeward/meta/accepted", "by hand")).Commit()
	if err != nil {
		t.Fatal(err)
	}
	r.Revision(txn.Header.Revision)
	if got := r.Batches[n:]; len(got) != 1 || len(got[0].Changes) != 3 || got[0].Accepted != got[0].Revision ||
		got[0].Full {
		t.Errorf("batches %+v", got)
	}
	for _, c := range r.Batches[n].Changes {
		if c.Revision != txn.Header.Revision {
			t.Errorf("%s has revision %d, want %d", c.Key, c.Revision, txn.Header.Revision)
		}
	}
	// An acceptance alone is a batch as well.
	at = put(t, e, "meta/accepted", "{}")
	r.Revision(at)
	if b := r.Batches[len(r.Batches)-1]; b.Accepted != at || len(b.Changes) != 0 {
		t.Errorf("batch %+v", b)
	}
	if p := e.Known(); p.Revision != at || p.ClusterID == 0 {
		t.Errorf("known %+v, want revision %d", p, at)
	}
	r.Stop()
	e.Close()
	goleak.VerifyNone(t, before)
}

// A list of several pages is of one revision, although others write meanwhile.
func TestFollowPages(t *testing.T) {
	m := startMember(t)
	e := dial(t, nil, m.url())
	const n = 2*etcd.FirstPage + 7
	for i := 0; i < n; i += 100 {
		var ops []clientv3.Op
		for j := i; j < min(i+100, n); j++ {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("/leeward/regions/r%05d", j), regionEU))
		}
		if _, err := e.Client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	l, err := e.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Changes) != n || len(l.Resources()) != n {
		t.Fatalf("%d listed, want %d", len(l.Changes), n)
	}
	at := l.Revision
	del(t, e, "regions/r00000")
	old, err := e.list(t.Context(), e.Conn, at)
	if err != nil || len(old.Changes) != n || old.Revision != at {
		t.Errorf("at revision %d: %d listed, %v", at, len(old.Changes), err)
	}
	if got := old.revision("regions/r02006"); got == 0 || old.revision("regions/none") != 0 {
		t.Errorf("revisions %d", got)
	}
	pools, err := e.List(t.Context(), zones.KindPool)
	if err != nil || len(pools.Changes) != 0 {
		t.Errorf("pools: %d, %v", len(pools.Changes), err)
	}
}

// etcd forgets the revision of a list between two of its pages. The follower reads everything once more, and tells
// nobody.
func TestForgottenBetweenPages(t *testing.T) {
	m := startMember(t)
	direct := dial(t, nil, m.url())
	plant(t, direct, 2*etcd.FirstPage)
	for _, c := range []struct {
		what string
		list func(*Store) (*Listing, error)
	}{
		{"for a command", func(e *Store) (*Listing, error) { return e.List(t.Context()) }},
		{"to follow", func(e *Store) (*Listing, error) { return e.list(t.Context(), e.Conn, 0) }},
	} {
		p := startProxy(t, m.url())
		e := dial(t, nil, p.url())
		p.jam(10_000)
		type listed struct {
			l   *Listing
			err error
		}
		done := make(chan listed, 1)
		go func() {
			l, err := c.list(e)
			done <- listed{l, err}
		}()
		p.jammed(t) // etcd has made the first page
		at := put(t, direct, "regions/eu-west", regionEU)
		if _, err := direct.Client.Compact(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		p.jam(0)
		got := <-done
		if got.err != nil {
			t.Errorf("%s: %v", c.what, got.err)
			continue
		}
		if len(got.l.Changes) != 2*etcd.FirstPage+1 || got.l.Revision < at {
			t.Errorf("%s: %d are listed at revision %d", c.what, len(got.l.Changes), got.l.Revision)
		}
	}
}

// A server that starts before etcd keeps trying, and says so.
func TestFollowBeforeEtcd(t *testing.T) {
	members := startCluster(t, 1)
	m := members[0]
	e := dial(t, nil, m.url())
	put(t, e, "regions/eu-west", regionEU)
	m.kill()
	r := sourcetest.Follow(t, e.Follow)
	c := r.State(zones.CutOff, 0)
	if c.Err == nil || !strings.Contains(c.Err.Error(), "refused") || !strings.Contains(c.Err.Error(), m.url()) {
		t.Errorf("condition says %v", c.Err)
	}
	m.start()
	r.State(zones.Following, 0)
	if _, ok := r.Value("regions/eu-west"); !ok {
		t.Error("nothing was delivered")
	}
}

// When a watch falls silent, the next one asks another member, and goes on where the last one was without reading
// everything again.
func TestSilentWatch(t *testing.T) {
	m := startMember(t)
	p := startProxy(t, m.url())
	e := dial(t, nil, p.url(), m.url())
	direct := dial(t, nil, m.url())
	put(t, direct, "regions/eu-west", regionEU)
	r := sourcetest.Follow(t, e.Follow)
	if c := r.State(zones.Following, 0); c.Endpoint != p.url() {
		t.Fatalf("follows %s, want the proxy", c.Endpoint)
	}
	mark := r.Mark()
	p.silence(true)
	at := put(t, direct, "regions/us-east", regionEU)
	r.State(zones.CutOff, mark)
	r.Revision(at)
	mark = r.Mark()
	if c := r.State(zones.Following, mark); c.Endpoint != m.url() {
		t.Errorf("follows %s, want the member itself", c.Endpoint)
	}
	if n := r.Full(); n != 1 {
		t.Errorf("everything was read %d times, want once", n)
	}
}

// The changes that a watch missed have been compacted. The follower reads everything again, and learns of removals too.
func TestCompaction(t *testing.T) {
	m := startMember(t)
	p := startProxy(t, m.url())
	e := dial(t, nil, p.url())
	direct := dial(t, nil, m.url())
	put(t, direct, "regions/eu-west", regionEU)
	put(t, direct, "regions/us-east", regionEU)
	r := sourcetest.Follow(t, e.Follow)
	r.State(zones.Following, 0)
	mark := r.Mark()
	p.silence(true)
	r.State(zones.CutOff, mark)
	del(t, direct, "regions/us-east")
	at := put(t, direct, "regions/ap-south", regionEU)
	if _, err := direct.Client.Compact(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	p.silence(false)
	r.Revision(at)
	if n := r.Full(); n != 2 {
		t.Errorf("everything was read %d times, want 2", n)
	}
	if _, ok := r.Value("regions/us-east"); ok {
		t.Error("what was deleted meanwhile is still there")
	}
	if _, ok := r.Value("regions/ap-south"); !ok {
		t.Error("what was put meanwhile is missing")
	}
}

// Deletions on purpose that a server missed are delivered as accepted, although heartbeats were written after them.
func TestAcceptedWhileAway(t *testing.T) {
	m := startMember(t)
	e := dial(t, nil, m.url())
	put(t, e, "regions/eu-west", regionEU)
	put(t, e, "regions/us-east", regionEU)
	l, err := e.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done, err := commit(t, e, l, Plan{
		Edits: []zones.Edit{{Key: "regions/us-east", Old: l.Resources()[1]}}, OnPurpose: "delete",
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, e, "vantages/fra", "{}")
	last := put(t, e, "regions/ap-south", regionEU)
	e.Resume(l.Point)
	r := sourcetest.Follow(t, e.Follow)
	r.Revision(last)
	if b := r.Batches[0]; !b.Full || b.Revision != done.Revision || b.Accepted != done.Revision {
		t.Errorf("first batch: full %v, revision %d, accepted %d; want %d", b.Full, b.Revision, b.Accepted,
			done.Revision)
	}
	if _, ok := r.Value("regions/ap-south"); !ok {
		t.Error("what came after is missing")
	}
}

// Another history under the same address, shorter or longer than the one that was followed, is held back until it is
// accepted. A deletion on purpose in it accepts only itself.
func TestHistoryChanged(t *testing.T) {
	for _, longer := range []bool{false, true} {
		t.Run(fmt.Sprintf("longer=%v", longer), func(t *testing.T) {
			m := startMember(t)
			e := dial(t, nil, m.url())
			for i := range 5 {
				put(t, e, fmt.Sprintf("regions/r%d", i), regionEU)
			}
			put(t, e, "regions/eu-west", regionEU)
			r := sourcetest.Follow(t, e.Follow)
			r.State(zones.Following, 0)
			mark := r.Mark()
			m.kill()
			if err := os.RemoveAll(m.config.Dir); err != nil {
				t.Fatal(err)
			}
			r.State(zones.CutOff, mark)

			// The new history is written over another address until it is as long as it should be.
			public := m.config.ListenClientUrls
			m.config.ListenClientUrls = nil
			m.config.ListenClientUrls = append(m.config.ListenClientUrls, freeURL(t, "http"))
			m.start()
			m.ready()
			backstage := dial(t, nil, m.url())
			put(t, backstage, "regions/eu-west", `{"latitude":1,"longitude":1}`)
			put(t, backstage, "regions/new", regionEU)
			if longer {
				for range 20 {
					put(t, backstage, "regions/new", regionEU)
				}
			}
			m.kill()
			m.config.ListenClientUrls = public
			m.start()
			m.ready()

			c := r.State(zones.HistoryChanged, mark)
			if c.Err == nil || !strings.Contains(c.Err.Error(), "leeward accept") {
				t.Errorf("condition %+v", c)
			}
			if v, _ := r.Value("regions/eu-west"); v != regionEU {
				t.Errorf("the new history is in service unasked: %s", v)
			}
			fulls := r.Full()

			// A change on purpose says nothing about the history.
			writer := dial(t, nil, m.url())
			l, err := writer.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			mark = r.Mark()
			if _, err := commit(t, writer, l,
				Plan{
					Edits:     []zones.Edit{{Key: "regions/new", Old: l.Resources()[1]}},
					OnPurpose: "delete",
				}); err != nil {
				t.Fatal(err)
			}
			r.State(zones.HistoryChanged, mark)
			if r.Full() != fulls {
				t.Error("a deletion accepted the history")
			}

			at, err := writer.Accept(t.Context(), "test")
			if err != nil {
				t.Fatal(err)
			}
			r.Until("the accepted history", func() bool {
				b := r.Batches[len(r.Batches)-1]
				return b.Full && len(r.Batches) > 1
			})
			if b := r.Batches[len(r.Batches)-1]; b.Revision != at || b.Accepted != b.Revision || len(b.Changes) != 1 {
				t.Errorf("batch %+v, want everything at revision %d", b, at)
			}
			if v, _ := r.Value("regions/eu-west"); v != `{"latitude":1,"longitude":1}` {
				t.Errorf("eu-west is %s", v)
			}
			// From there on all is as usual.
			mark = r.Mark()
			r.State(zones.Following, mark)
			r.Revision(put(t, writer, "regions/later", regionEU))
		})
	}
}

// After a restart too, a copy on disk of another history is replaced only when an operator accepts that.
func TestResumeOtherHistory(t *testing.T) {
	m := startMember(t)
	e := dial(t, nil, m.url())
	put(t, e, "regions/eu-west", regionEU)
	e.Resume(etcd.Point{ClusterID: 1, Revision: 1})
	r := sourcetest.Follow(t, e.Follow)
	r.State(zones.HistoryChanged, 0)
	if len(r.Batches) != 0 {
		t.Fatal("something was delivered")
	}
	if _, err := e.Accept(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	r.State(zones.Following, 0)
	r.Stop()

	// A follower that learns of it later finds it accepted already: the acceptance names the cluster.
	late := dial(t, nil, m.url())
	late.Resume(etcd.Point{ClusterID: 1, Revision: 1})
	r = sourcetest.Follow(t, late.Follow)
	r.State(zones.Following, 0)
	for _, c := range r.Conditions {
		if errors.Is(c.Err, etcd.ErrHistory) {
			t.Errorf("held again: %v", c.Err)
		}
	}
}
