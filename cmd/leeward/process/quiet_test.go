//go:build !noembed

package process_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"leeward/cmd/leeward/process"
	"leeward/server/admin"
)

// A fleet at rest: no report has changed for longer than a vantage stays fresh. One vantage died an hour ago, another
// whose clock is an hour ahead is dead too, each with votes, and an endpoint is down. An Observer comes to the server's
// verdict.
func TestWhoLooksOnceAgrees(t *testing.T) {
	c := newCluster(t)
	eu, us := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.2:0")
	text := strings.Replace(resources, "tcp: {port: 80}", fmt.Sprintf("tcp: {port: %d}", eu.address.Port()), 1)
	_ = us // on another port: probes find it down
	text = strings.NewReplacer("192.0.2.1", "127.0.0.1", "192.0.2.2", "127.0.0.2", "interval: 1s",
		"interval: 200ms").Replace(text)
	c.putAll(text)
	for name, at := range map[string]time.Time{
		"dead":       time.Now().Add(-time.Hour),
		"dead-ahead": time.Now().Add(time.Hour),
	} {
		when := at.UTC().Format(time.RFC3339)
		for pool, address := range map[string]string{"www-eu": "127.0.0.1", "www-us": "127.0.0.2"} {
			state := map[string]string{"www-eu": "down", "www-us": "up"}[pool] // the opposite of the truth
			c.put("reports/"+name+"/"+pool,
				fmt.Sprintf(`{"sequence": 5, "time": %q, "endpoints": {"lb-1": {%q: {"state": %q}}}}`, when, address,
					state))
		}
		c.put("vantages/"+name, fmt.Sprintf(`{"sequence": 6, "time": %q, "every": "2s", "stale": "10s"}`, when))
	}
	a := serve(t, settings("a", c))
	summary := func(s *admin.Status) string {
		var b strings.Builder
		for _, v := range s.Vantages {
			fmt.Fprintf(&b, "%s %v\n", v.ID, v.Fresh)
		}
		for _, e := range s.Endpoints {
			for _, x := range e.Addresses {
				fmt.Fprintf(&b, "%s %s %d:%d", e.Endpoint, x.Verdict, x.Up, x.Down)
				for _, v := range x.Votes {
					fmt.Fprintf(&b, " %s:%s:%v:%v", v.Vantage, v.State, v.Fresh, v.Counted)
				}
				b.WriteString("\n")
			}
		}
		return b.String()
	}
	const want = `a true
dead false
dead-ahead false
www-eu/lb-1 up 1:0 a:up:true:true dead:down:false:false dead-ahead:down:false:false
www-us/lb-1 down 0:1 a:down:true:true dead:up:false:false dead-ahead:up:false:false
`
	a.await("the dead are stale, and have been at rest", func() string {
		if got := summary(a.status()); got != want {
			return got
		}
		return ""
	})
	time.Sleep(11 * time.Second) // the test is about a fleet at rest
	o, err := process.Observe(t.Context(), process.Settings{Etcd: settings("", c).Etcd}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	said, err := o.Settle(t.Context())
	if err != nil || !strings.Contains(said, "dead, dead-ahead") || !strings.Contains(said, "watched 2 vantages") {
		t.Errorf("it says %q, %v", said, err)
	}
	s, err := o.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := summary(s); got != want {
		t.Errorf("who looks once finds\n%swant\n%s", got, want)
	}
	if got, answers := summary(s), summary(a.status()); got != answers {
		t.Errorf("the server has\n%s", answers)
	}
	if x, err := o.Explain("www.example.test", "A", "198.51.100.7"); err != nil || x.Pool != "www-eu" ||
		a.answer("www.example.test") != "127.0.0.1" {
		t.Errorf("explained: %+v, %v; answered: %s", x, err, a.answer("www.example.test"))
	}
}
