package vantage

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/zones/etcd"
)

func bystander(o *Options) { o.Bystander = true }

// until calls f again and again until it says that nothing is missing.
func until(t *testing.T, what string, f func() string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for {
		missing := f()
		if missing == "" {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s: not within 30 s: %s", what, missing)
		}
	}
}

// What a bystander says about itself is under a lease, where no watch looks. It comes back, whatever removes it.
func TestBystander(t *testing.T) {
	e := startEtcd(t)
	watcher, quiet := e.link("watcher"), e.link("quiet", bystander)
	client := e.dial()
	says := func(want ...string) func() string {
		return func() string {
			all, _, err := Bystanders(t.Context(), quiet.etcd)
			if got := fmt.Sprintf("%s", all); err != nil || got != fmt.Sprintf("%s", want) {
				return fmt.Sprintf("%s, %v; want %s", got, err, want)
			}
			return ""
		}
	}
	if err := quiet.SetServer(map[string]int{"revision": 1}); err != nil {
		t.Fatal(err)
	}
	until(t, "it is there", says(`{"revision":1}`))
	if err := quiet.SetServer(map[string]int{"revision": 2}); err != nil {
		t.Fatal(err)
	}
	until(t, "it is new", says(`{"revision":2}`))

	key := quiet.etcd.Key(etcd.Servers) + "quiet"
	if strings.HasPrefix(key, etcd.DefaultPrefix) {
		t.Errorf("%s is where all servers watch", key)
	}
	if r, err := client.Get(t.Context(), etcd.DefaultPrefix, clientv3.WithPrefix(),
		clientv3.WithKeysOnly()); err != nil || r.Count > 1 {
		t.Errorf("%v, %v: more than the watcher's heartbeat", r, err)
	}
	if _, err := client.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	until(t, "it is back", says(`{"revision":2}`))
	leases, err := client.Leases(t.Context())
	if err != nil || len(leases.Leases) != 1 {
		t.Fatalf("leases %+v, %v", leases, err)
	}
	if _, err := client.Revoke(t.Context(), leases.Leases[0].ID); err != nil {
		t.Fatal(err)
	}
	until(t, "it is back under another lease", says(`{"revision":2}`))
	if p := quiet.Status().Problem; p != "" {
		t.Errorf("problem %q", p)
	}

	e.stop()
	until(t, "it knows that etcd is gone", func() string {
		return map[bool]string{true: "connected"}[quiet.Status().Connected]
	})
	e.start()
	if err := quiet.SetServer(map[string]int{"revision": 3}); err != nil {
		t.Fatal(err)
	}
	until(t, "what is new is there", says(`{"revision":3}`))

	put(t, client, key, `{"revision":9}`) // another one of the same name
	until(t, "it says that another writes", func() string {
		if p := quiet.Status().Problem; !strings.Contains(p, "--id") {
			return p + " is its problem"
		}
		return ""
	})
	until(t, "it goes on", says(`{"revision":3}`))

	if err := quiet.Withdraw(context.Background()); err != nil {
		t.Fatal(err)
	}
	until(t, "it is gone", says())
	for {
		select {
		case ev := <-watcher.events:
			if ev.Vantage == "quiet" {
				t.Errorf("a watcher has heard %+v", ev)
			}
			continue
		default:
		}
		return
	}
}

// A bystander that has crashed no longer renews its lease.
func TestBystanderCrashes(t *testing.T) {
	e := startEtcd(t)
	quiet := e.link("quiet", bystander)
	if err := quiet.SetServer(1); err != nil {
		t.Fatal(err)
	}
	count := func(want int) func() string {
		return func() string {
			if all, _, err := Bystanders(t.Context(), quiet.etcd); err != nil || len(all) != want {
				return fmt.Sprintf("%s, %v", all, err)
			}
			return ""
		}
	}
	until(t, "it is there", count(1))
	quiet.stop()
	until(t, "it is gone", count(0))
}

// A bystander that answers queries leaves a mark, which says that it may be cut off. The mark stays until the bystander
// ends on purpose, or until somebody has waited for it for long enough.
func TestBystanderIsMissed(t *testing.T) {
	e := startEtcd(t)
	marked := func(o *Options) { bystander(o); o.Marked = true }
	crashes, ends := e.link("crashes", marked), e.link("ends", marked)
	unmarked := e.link("unmarked", bystander)
	silent := func(want string, there int) func() string {
		return func() string {
			all, silent, err := Bystanders(t.Context(), ends.etcd)
			if got := fmt.Sprint(silent); err != nil || got != want || len(all) != there {
				return fmt.Sprintf("%s, %d there, %v", got, len(all), err)
			}
			return ""
		}
	}
	for _, l := range []*link{crashes, ends, unmarked} {
		if err := l.SetServer(map[string]string{"id": l.options.ID}); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all are there", silent("[]", 3))
	if err := Unmark(t.Context(), ends.etcd, "crashes"); err != nil {
		t.Fatal(err)
	}
	crashes.stop()
	unmarked.stop()
	until(t, "one is missed", silent("[crashes]", 1))
	if err := ends.Withdraw(context.Background()); err != nil {
		t.Fatal(err)
	}
	until(t, "the other is not", silent("[crashes]", 0))
	if err := Unmark(t.Context(), ends.etcd, "crashes"); err != nil {
		t.Fatal(err)
	}
	until(t, "nobody is", silent("[]", 0))
}
