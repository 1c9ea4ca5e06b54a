package store

import (
	"flag"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/zones"
	"leeward/zones/etcd"
	"leeward/zones/sourcetest"
)

var massKeys = flag.Int("mass", 60_000/slower, "how many records TestLargeDelete deletes in one revision")

// plant puts n records under records/mass.test/, in transactions as large as etcd takes.
func plant(t *testing.T, e *Store, n int) {
	t.Helper()
	var ops []clientv3.Op
	for i := range n {
		key := fmt.Sprintf("records/mass.test/r%07d/TXT", i)
		ops = append(ops, clientv3.OpPut(e.Key(key), `{"data":["x"]}`))
		if len(ops) == 128 || i == n-1 {
			if _, err := e.Client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
				t.Fatal(err)
			}
			ops = ops[:0]
		}
	}
}

// One revision that deletes very many keys is delivered like any other: as one batch, by the same watch, before all
// that comes after it.
func TestLargeDelete(t *testing.T) {
	m := startMember(t)
	e := dial(t, func(o *etcd.Options) { o.Silence = 0 }, m.url()) // the default, as in production
	plant(t, e, *massKeys)
	put(t, e, "regions/eu-west", regionEU)
	r := sourcetest.Follow(t, e.Follow)
	r.State(zones.Following, 0)
	mark := r.Mark()
	began := time.Now()
	answer, err := e.Client.Delete(t.Context(), e.Key("records/mass.test/"), clientv3.WithPrefix())
	if err != nil || answer.Deleted != int64(*massKeys) {
		t.Fatalf("%v, %v", answer, err)
	}
	at := put(t, e, "regions/us-east", regionEU)
	r.Revision(at)
	t.Logf("%d keys deleted in one revision: seen after %v", *massKeys, time.Since(began))
	if _, ok := r.Value("records/mass.test/r0000000/TXT"); ok {
		t.Error("what was deleted is still there")
	}
	if n := r.Full(); n != 1 {
		t.Errorf("everything was read %d times, want once", n)
	}
	for _, c := range r.Since(mark) {
		if c.State != zones.Following {
			t.Errorf("not followed meanwhile: %s, %v", c.State, c.Err)
		}
	}
}

// If a revision does not come through to a watch, the follower skips it with a list, and until then nobody says that
// all is well. Each connection carries less than the watch has to send, and more than a list of what is left.
func TestSilentTwiceAtOneRevision(t *testing.T) {
	m := startMember(t)
	p := startProxy(t, m.url())
	e := dial(t, nil, p.url())
	direct := dial(t, nil, m.url())
	plant(t, direct, 10_000)
	put(t, direct, "regions/eu-west", regionEU)
	r := sourcetest.Follow(t, e.Follow)
	r.State(zones.Following, 0)
	mark := r.Mark()
	p.jam(100_000)
	if _, err := direct.Client.Delete(t.Context(), e.Key("records/mass.test/"), clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	at := put(t, direct, "regions/us-east", regionEU)
	r.State(zones.CutOff, mark)
	r.Revision(at)
	if n := r.Full(); n != 2 {
		t.Errorf("everything was read %d times, want 2", n)
	}
	cut := false
	for _, c := range r.Since(mark) {
		cut = cut || c.State == zones.CutOff
		if cut && c.State == zones.Following && c.Revision < at {
			t.Errorf("said to follow at revision %d, and %d had not been told", c.Revision, at)
		}
	}
	mark = r.Mark()
	r.State(zones.Following, mark)
}
