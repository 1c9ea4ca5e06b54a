//go:build !noembed

package process_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"leeward/cmd/leeward/process"
	"leeward/server/admin"
)

// There are more than 64 vantages. Three of them report: two say down, one says up. The others only send heartbeats. An
// Observer, and a server that does not probe, count the three, and list all.
func TestManyVantagesOfWhichFewReport(t *testing.T) {
	for _, n := range []int{65, 100, 200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := newCluster(t)
			c.putAll(resources)
			now := time.Now()
			for i := range n {
				c.put(fmt.Sprintf("vantages/v%03d", i),
					fmt.Sprintf(`{"region": "r%d", "sequence": %d, "time": %q, "every": "20s", "stale": "1m"}`,
						i%3, now.UnixNano(), now.Format(time.RFC3339Nano)))
			}
			for i, v := range []string{"v000", fmt.Sprintf("v%03d", n/2), fmt.Sprintf("v%03d", n-1)} {
				c.put("reports/"+v+"/www-eu",
					fmt.Sprintf(`{"sequence": %d, "endpoints": {"lb-1": {"*": {"state": %q}}}}`,
						now.UnixNano(), []string{"down", "up", "down"}[i]))
			}
			judged := func(s *admin.Status) string {
				e := slices.IndexFunc(s.Endpoints, func(e admin.Endpoint) bool { return e.Endpoint == "www-eu/lb-1" })
				if e < 0 {
					return "nothing is read yet"
				}
				a := s.Endpoints[e].Addresses[0]
				if a.Verdict != "down" || a.Up != 1 || a.Down != 2 || len(s.Vantages) != n {
					return fmt.Sprintf("%s, %d up, %d down, %d vantages", a.Verdict, a.Up, a.Down, len(s.Vantages))
				}
				for _, v := range s.Vantages {
					if !v.Fresh {
						return v.ID + " is stale"
					}
				}
				if p := fmt.Sprint(s.Problems); strings.Contains(p, "nobody probes") {
					return p
				}
				return ""
			}
			o, err := process.Observe(t.Context(), process.Settings{Etcd: settings("", c).Etcd}, 30*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			s, err := o.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if wrong := judged(s); wrong != "" {
				t.Errorf("who looks once: %s", wrong)
			}
			quiet := settings("quiet", c)
			quiet.NoProbe = true
			q := serve(t, quiet)
			q.await("it judges as well", func() string { return judged(q.status()) })
			q.awaitAnswer("www.example.test", "192.0.2.2")
		})
	}
}
