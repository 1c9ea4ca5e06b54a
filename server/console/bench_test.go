package console_test

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"leeward/server/admin"
	"leeward/server/console"
	"leeward/zones/steer"
)

// large is a status of 2,000 endpoints in 500 pools and ten regions, three of which are failing: half of their pools
// are out, and each of the others has an endpoint that is down.
func large() *admin.Status {
	since := noon.Add(-3 * time.Minute)
	s := &admin.Status{Time: noon, Self: "ns1", Servers: night().Servers, Vantages: night().Vantages}
	for r := range 10 {
		region := fmt.Sprintf("r%d", r)
		s.Regions = append(s.Regions, admin.Region{
			Region: region, Pools: 50, Available: 50, Healthy: 200, Endpoints: 200,
		})
		for p := range 50 {
			pool := fmt.Sprintf("%s-p%d", region, p)
			out := r < 3 && p%2 == 0
			up := steer.FamilyStatus{Available: !out, Healthy: 4, Total: 4}
			s.Pools = append(s.Pools, admin.Pool{Pool: pool, Region: region, IPv4: up, Healthy: 4, Total: 4})
			for e := range 4 {
				at := netip.AddrFrom4([4]byte{10, byte(r), byte(p), byte(e)})
				a := admin.Address{Address: at, Verdict: "up", Up: 3}
				if out || r < 3 && e == 0 {
					a.Verdict, a.Since, a.Up, a.Down = "down", &since, 0, 3
				}
				for _, v := range s.Vantages {
					a.Votes = append(a.Votes, admin.Vote{
						Vantage: v.ID, State: a.Verdict, Fresh: true, Counted: true, Reason: "connection refused",
					})
				}
				s.Endpoints = append(s.Endpoints, admin.Endpoint{
					Endpoint: fmt.Sprintf("%s/lb-%d", pool, e), Pool: pool, Region: region, Monitor: "web",
					Addresses: []admin.Address{a},
				})
			}
		}
	}
	return s
}

// The cost of the first screen, and of its sentence, beyond that of the status behind it.
func BenchmarkNight(b *testing.B) {
	s := large()
	h := console.New(options(s))
	b.ReportAllocs()
	for b.Loop() {
		s.Headline = s.Say()
		s.Time = s.Time.Add(time.Hour) // no page is kept
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/?n="+s.Time.Format(time.RFC3339), nil))
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
