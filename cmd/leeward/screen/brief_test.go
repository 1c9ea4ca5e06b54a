package screen_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leeward/cmd/leeward/screen"
	"leeward/server/admin"
	"leeward/zones/steer"
)

// At three in the morning: one region of two is out, on a terminal of 80 columns.
func TestBriefStatus(t *testing.T) {
	now := time.Date(2026, 11, 28, 2, 16, 0, 0, time.UTC)
	since := now.Add(-2 * time.Minute)
	down := func(vantage string) admin.Vote {
		return admin.Vote{Vantage: vantage, State: "down", Fresh: true, Counted: true, Reason: "connection refused"}
	}
	up := steer.FamilyStatus{Available: true, Healthy: 1, Total: 1}
	out := steer.FamilyStatus{Total: 1, Why: "no healthy endpoint"}
	server := func(id, region, address string) admin.Server {
		return admin.Server{
			ID: id, Region: region, Fresh: true, Revision: 7, Listen: []string{address + ":53"}, Version: "v1",
			Source: admin.Source{State: "following"},
		}
	}
	vantage := func(id string) admin.Vantage { return admin.Vantage{ID: id, Server: true, Fresh: true} }
	endpoint := func(pool, region string, a admin.Address) admin.Endpoint {
		return admin.Endpoint{
			Endpoint: pool + "/lb-1", Pool: pool, Region: region, Monitor: "web", Weight: 100,
			Addresses: []admin.Address{a},
		}
	}
	s := &admin.Status{
		Time: now, Self: "fra",
		Servers: []admin.Server{
			server("fra", "eu-west", "192.0.2.53"),
			server("ns10", "us-east", "192.0.2.54"),
			server("ns2", "us-east", "192.0.2.55"),
		},
		Vantages: []admin.Vantage{vantage("fra"), vantage("ns2"), vantage("ns10")},
		Regions: []admin.Region{
			{Region: "eu-west", Available: 1, Pools: 1, Healthy: 1, Endpoints: 1},
			{Region: "us-east", Pools: 1, Endpoints: 1},
		},
		Pools: []admin.Pool{
			{Pool: "www-eu", Region: "eu-west", Monitor: "web", IPv4: up, Healthy: 1, Total: 1},
			{Pool: "www-us", Region: "us-east", Monitor: "web", IPv4: out, Total: 1},
		},
		Endpoints: []admin.Endpoint{
			endpoint("www-eu", "eu-west", admin.Address{Address: netip.MustParseAddr("192.0.2.10"), Verdict: "up"}),
			endpoint("www-us", "us-east", admin.Address{
				Address: netip.MustParseAddr("192.0.2.20"), Verdict: "down", Since: &since, Down: 3,
				Votes: []admin.Vote{down("fra"), down("ns2"), down("ns10")},
			}),
		},
		Moves:   []admin.Move{{From: "us-east", To: []string{"eu-west"}}},
		Watches: []admin.Watch{{Watch: "reports", LagSeconds: .4}},
	}
	s.Headline = s.Say()
	var b strings.Builder
	if err := screen.Status(screen.NewPageOf(&b, 80), s, false); err != nil {
		t.Fatal(err)
	}
	want := `us-east is out since 02:14 UTC (3 of 3 vantages: connection refused). Its
    clients go to eu-west.

POOL    REGION   A    AAAA  UP   MONITOR  OVERRIDE  WHY
www-us  us-east  out  -     0/1  web                A: no healthy endpoint

ENDPOINT     ADDRESS     VERDICT  FOR  WHO SAYS SO
www-us/lb-1  192.0.2.20  down     2m   3 of 3 vantages: connection refused

REGION   POOLS  ENDPOINTS UP  OVERRIDE
eu-west  1/1    1/1
us-east  0/1    0/1

SERVER  REGION   REVISION  SOURCE     SNAPSHOT  PROBLEMS  HELD
fra *   eu-west  7         following  0.0s      0         0
ns2     us-east  7         following  0.0s      0         0
ns10    us-east  7         following  0.0s      0         0
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}
