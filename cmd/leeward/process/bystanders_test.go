//go:build !noembed

package process_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/cmd/leeward/process"
	"leeward/server/admin"
)

// A server that does not probe answers by a vantage's reports, even if that has the same name. It writes nothing that
// others watch, and every status lists it. When the last vantage has gone the status shows a problem, and everything
// counts as it did.
func TestServerThatProbesNothing(t *testing.T) {
	c := newCluster(t)
	near := listen(t, "127.0.0.1:0")
	far := listen(t, fmt.Sprintf("127.0.0.2:%d", near.address.Port()))
	c.putAll(strings.NewReplacer("192.0.2.1", near.address.Addr().String(), "192.0.2.2", far.address.Addr().String(),
		"{port: 80}", fmt.Sprintf("{port: %d}", near.address.Port()), "interval: 1s",
		"interval: 1s\ntimeout: 1s\nfall: 2").Replace(resources))
	quiet := settings("quiet", c)
	quiet.NoProbe = true
	q := serve(t, quiet)
	q.awaitAnswer("www.example.test", "127.0.0.1")
	nobody := func(s *admin.Status) bool {
		return slices.ContainsFunc(s.Problems, func(p admin.Problem) bool {
			return strings.Contains(p.Message, "nobody probes")
		})
	}
	q.await("nobody probes, and it says so", func() string {
		if s := q.status(); !nobody(s) || len(s.Vantages) != 0 {
			return fmt.Sprintf("%+v, vantages %+v", s.Problems, s.Vantages)
		}
		return ""
	})

	probe := settings("quiet", c) // on the same host, under the host's name
	probe.Listen = nil
	z := serve(t, probe)
	other := serve(t, settings("other", c))
	near.l.Close()
	q.awaitAnswer("www.example.test", "127.0.0.2")
	q.await("somebody probes", func() string {
		if s := q.status(); nobody(s) || votes(q, "down", "other", "quiet") != "" {
			return fmt.Sprintf("%+v", s.Problems)
		}
		return ""
	})
	listed := func(s *admin.Status) string {
		at := slices.IndexFunc(s.Servers, func(v admin.Server) bool { return v.ID == "quiet" })
		if len(s.Servers) != 2 || at < 0 || !s.Servers[at].NoProbe || !s.Servers[at].Fresh || s.Servers[1-at].NoProbe {
			return fmt.Sprintf("servers %+v", s.Servers)
		}
		if len(s.Vantages) != 2 || s.Vantages[1].ID != "quiet" || s.Vantages[1].Server {
			return fmt.Sprintf("vantages %+v", s.Vantages)
		}
		return ""
	}
	for _, p := range []*member{q, other} {
		p.await("both are among the servers", func() string { return listed(p.status()) })
	}
	o, err := process.Observe(t.Context(), process.Settings{Etcd: settings("", c).Etcd}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	seen, err := o.Status(t.Context())
	if err != nil || listed(seen) != "" {
		t.Errorf("observed: %v, %v", err, listed(seen))
	}
	if seen.Database == nil || seen.Database.Bytes == 0 || seen.Database.QuotaBytes == 0 {
		t.Errorf("observed: no size of etcd's database: %+v", seen.Database)
	}

	other.end()
	z.end()
	left := append(c.keys("reports/"), c.keys("vantages/")...)
	left = slices.DeleteFunc(left, func(key string) bool { return key == "reports/pulse" }) // it is nobody's
	if len(left) > 0 {
		t.Errorf("all vantages have stopped, and there is %v", left)
	}
	q.await("nobody probes any more", func() string {
		if s := q.status(); !nobody(s) {
			return fmt.Sprintf("%+v", s.Problems)
		}
		return ""
	})
	q.end()
	if r, err := c.Get(t.Context(), "/leeward.", clientv3.WithPrefix()); err != nil || r.Count != 0 {
		t.Errorf("it has stopped and left %v, %v", r, err)
	}
}
