package admin_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"leeward/health"
	"leeward/server/admin"
	"leeward/zones/steer"
)

// headlined returns a status of regions that have one pool of two endpoints each.
func headlined(now time.Time, regions ...string) *admin.Status {
	s := &admin.Status{Time: now}
	for i, region := range regions {
		s.Regions = append(s.Regions, admin.Region{Region: region, Pools: 1, Available: 1})
		s.Pools = append(s.Pools, admin.Pool{
			Pool: "www-" + region, Region: region,
			IPv4: steer.FamilyStatus{Available: true, Healthy: 2, Total: 2},
		})
		for k := range 2 {
			s.Endpoints = append(s.Endpoints, admin.Endpoint{
				Endpoint: fmt.Sprintf("www-%s/lb-%d", region, k+1), Pool: "www-" + region, Region: region,
				Addresses: []admin.Address{{
					Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(10*i + k)}),
					Verdict: "up",
				}},
			})
		}
	}
	return s
}

// fail makes endpoints down, by the votes of three vantages.
func fail(s *admin.Status, reason string, since time.Time, endpoints ...int) {
	for _, i := range endpoints {
		a := &s.Endpoints[i].Addresses[0]
		a.Verdict, a.Since = "down", &since
		a.Votes = nil
		for _, v := range []string{"fra", "nyc", "sin"} {
			a.Votes = append(a.Votes, admin.Vote{Vantage: v, State: "down", Counted: true, Reason: reason})
		}
	}
}

func gone(s *admin.Status, region int) {
	s.Regions[region].Available, s.Pools[region].IPv4.Available = 0, false
}

// A terminal, a page and JSON have exactly these sentences.
func TestHeadline(t *testing.T) {
	now := time.Date(2026, 11, 28, 2, 30, 0, 0, time.UTC)
	at := func(h, m int) time.Time { return time.Date(2026, 11, 28, h, m, 0, 0, time.UTC) }
	until := at(3, 0)
	for _, tt := range []struct {
		name string
		make func() *admin.Status
		want string
	}{
		{"nothing", func() *admin.Status { return &admin.Status{Time: now} }, "Nothing is steered: there is no pool."},
		{"all is well", func() *admin.Status {
			return headlined(now, "eu-west", "us-east", "ap-south")
		}, "All 3 regions answer."},
		{"one region", func() *admin.Status { return headlined(now, "eu-west") }, "eu-west answers."},
		{"an endpoint is down", func() *admin.Status {
			s := headlined(now, "eu-west", "us-east")
			fail(s, "timeout", at(2, 14), 1)
			return s
		}, "Both regions answer; 1 of 4 endpoints is down."},
		{"a region is out", func() *admin.Status {
			s := headlined(now, "ap-south", "eu-west", "us-east")
			fail(s, "connection refused", at(2, 10), 4)
			fail(s, "connection refused", at(2, 14), 5)
			gone(s, 2)
			s.Moves = []admin.Move{{From: "us-east", To: []string{"eu-west"}}}
			s.FailingOpen = []string{"batch.example.test", "jobs.example.test"}
			return s
		}, "us-east is out since 02:14 UTC (3 of 3 vantages: connection refused). Its clients go to eu-west. " +
			"2 names fail open: batch.example.test and jobs.example.test."},
		{"a name says that there is nothing", func() *admin.Status {
			s := headlined(now, "eu-west", "us-east")
			fail(s, "timeout", at(2, 14), 2, 3)
			gone(s, 1)
			s.FailingOpen = []string{"batch.example.test"}
			s.Denied = []admin.Denied{
				{Policy: "a.test", Says: "SERVFAIL"},
				{Policy: "b.test", Says: "NODATA"},
				{Policy: "c.test", Says: "NODATA"},
			}
			return s
		}, "us-east is out since 02:14 UTC (3 of 3 vantages: timeout). 1 name fails open: batch.example.test. " +
			"2 names say NODATA: b.test and c.test. 1 name says SERVFAIL: a.test."},
		{"vantages differ", func() *admin.Status {
			s := headlined(now, "eu-west", "us-east")
			fail(s, "timeout", at(2, 14), 2, 3)
			for _, i := range []int{2, 3} {
				s.Endpoints[i].Addresses[0].Votes[1] = admin.Vote{Vantage: "nyc", State: "up", Counted: true}
			}
			s.Endpoints[3].Addresses[0].Votes[0].Reason = "a reset"
			gone(s, 1)
			return s
		}, "us-east is out since 02:14 UTC (2 of 3 vantages: timeout)."},
		{"two regions are out, and nobody is left for one", func() *admin.Status {
			s := headlined(now, "ap-south", "eu-west", "us-east")
			fail(s, "timeout", at(2, 14), 0, 1)
			fail(s, "", now.Add(-24*time.Hour), 4, 5)
			gone(s, 0)
			gone(s, 2)
			s.Moves = []admin.Move{{From: "ap-south", To: []string{"eu-west"}}}
			s.FailingOpen = []string{"us.example.test"}
			return s
		}, "ap-south is out since 02:14 UTC (3 of 3 vantages: timeout). us-east is out since yesterday 02:30 UTC (3 " +
			"of 3 vantages). " +
			"Clients of ap-south go to eu-west. 1 name fails open: us.example.test."},
		{"most of many are out", func() *admin.Status {
			s := headlined(now, "a", "b", "c", "d", "e")
			for i := range 4 {
				gone(s, i)
			}
			return s
		}, "4 of 5 regions are out: a, b and 2 more."},
		{"an operator has drained it", func() *admin.Status {
			s := headlined(now, "eu-west", "us-east")
			gone(s, 1)
			s.Overrides = []admin.Override{{Target: "region/us-east", State: "drain", Until: &until, Reason: "kernel"}}
			s.Moves = []admin.Move{{From: "us-east", To: []string{"eu-west"}}}
			return s
		}, "us-east is drained until 03:00 UTC (kernel). Its clients go to eu-west."},
		{"a drill", func() *admin.Status {
			s := headlined(now, "eu-west", "us-east")
			gone(s, 0)
			s.Overrides = []admin.Override{{Target: "region/eu-west", State: "drain", Until: &until, Drill: true}}
			return s
		}, "eu-west is out for a drill until 03:00 UTC."},
		{"a pool is out beside another of its region", func() *admin.Status {
			s := headlined(now, "eu-west", "us-east")
			s.Pools = append(s.Pools, admin.Pool{
				Pool: "mail-us", Region: "us-east",
				IPv6: steer.FamilyStatus{Total: 1},
			}, admin.Pool{Pool: "none-us", Region: "us-east"})
			s.Regions[1].Pools = 3
			s.Moves = []admin.Move{{From: "us-east", To: []string{"eu-west"}}}
			return s
		}, "Pool mail-us is out. Its clients go to eu-west."},
		{"a server is cut off", func() *admin.Status {
			s := headlined(now, "eu-west", "us-east")
			s.Servers = []admin.Server{
				{ID: "fra", Fresh: true, Source: admin.Source{State: "following"}},
				{ID: "nyc", Fresh: true, Source: admin.Source{State: "cut off"}},
				{ID: "sin", Source: admin.Source{State: "cut off"}},
			}
			return s
		}, "Both regions answer. 1 of 3 servers does not follow the source: nyc. 1 of 3 servers is not heard of: sin."},
		{"all regions went at once", func() *admin.Status {
			s := headlined(now, "ap-south", "eu-west", "us-east")
			for i := range 6 {
				fail(s, "timeout", at(2, 14).Add(time.Duration(i)*time.Second), i)
			}
			for i := range 3 {
				gone(s, i)
			}
			s.FailingOpen = []string{"us.example.test"}
			return s
		}, "All 3 regions are out since 02:14:05 UTC (3 of 3 vantages: timeout). 1 name fails open: us.example.test."},
		{"many of more went at once", func() *admin.Status {
			s := headlined(now, "a", "b", "c", "d", "e")
			for i := range 8 {
				fail(s, "timeout", at(2, 14), i)
			}
			for i := range 4 {
				gone(s, i)
			}
			return s
		}, "4 of 5 regions are out since 02:14 UTC (3 of 3 vantages: timeout): a, b and 2 more."},
		{"the server that answers is cut off", func() *admin.Status {
			s := headlined(now, "eu-west", "us-east")
			s.Self = "fra"
			s.Servers = []admin.Server{
				{ID: "fra", Fresh: true, Source: admin.Source{Kind: "etcd", State: "cut off", Since: at(2, 14)}},
				{ID: "nyc", Source: admin.Source{Kind: "etcd", State: "following"}},
			}
			s.Vantages = []admin.Vantage{{ID: "fra", Fresh: true}, {ID: "nyc"}}
			s.Watches = []admin.Watch{{Watch: "reports", LagSeconds: 900}}
			s.Problems = []admin.Problem{{Resource: "vantages/fra", Message: "etcd cannot be written to"}}
			return s
		}, "Both regions answer. fra is cut off from etcd since 02:14 UTC, and answers from what it knew."},
		{"a server is silent, and a vantage blind", func() *admin.Status {
			s := headlined(now, "eu-west", "us-east")
			s.Servers = []admin.Server{
				{ID: "fra", Fresh: true, Source: admin.Source{State: "following"}},
				{ID: "nyc", Source: admin.Source{State: "following"}},
			}
			s.Vantages = []admin.Vantage{{ID: "fra", Fresh: true}, {ID: "nyc"}, {ID: "sin", Fresh: true, Blind: true}}
			return s
		}, "Both regions answer. 1 of 2 servers is not heard of: nyc. 1 of 3 vantages does not vote: sin (blind)."},
		{"a pool is full", func() *admin.Status {
			s := headlined(now, "eu-west", "us-east")
			s.Pools[1].LoadStatus = &steer.LoadStatus{Load: health.Load{Value: 900, Known: true}, Target: 800, Keep: .7}
			s.Problems = []admin.Problem{{Resource: "pools/www-us-east", Field: "load"}}
			return s
		}, "Both regions answer. 1 pool is over its target: www-us-east (passes clients on)."},
		{"an operator has drained the only pool of a region", func() *admin.Status {
			s := headlined(now, "eu-west", "us-east")
			gone(s, 1)
			s.Pools[1].Override = "drain"
			s.Overrides = []admin.Override{
				{Target: "pool/www-us-east", State: "drain", Until: &until, Reason: "kernel"},
			}
			if s.Hurts() {
				t.Error("what an operator has taken out hurts")
			}
			return s
		}, "us-east is drained until 03:00 UTC (kernel)."},
		{"an operator has drained all endpoints of a region, one by one", func() *admin.Status {
			s := headlined(now, "eu-west", "us-east")
			gone(s, 1)
			s.Overrides = []admin.Override{
				{Target: "endpoint/www-us-east/lb-1", State: "drain"},
				{Target: "endpoint/www-us-east/lb-2", State: "drain", Until: &until, Reason: "kernel"},
			}
			if s.Hurts() {
				t.Error("what an operator has taken out hurts")
			}
			return s
		}, "us-east is drained until 03:00 UTC (kernel)."},
		{"an operator has drained one endpoint, and the other is down", func() *admin.Status {
			s := headlined(now, "eu-west", "us-east")
			gone(s, 1)
			fail(s, "timeout", at(2, 14), 3)
			s.Overrides = []admin.Override{{Target: "endpoint/www-us-east/lb-1", State: "drain", Until: &until}}
			if !s.Hurts() {
				t.Error("an endpoint that nobody has taken out does not hurt")
			}
			return s
		}, "us-east is out since 02:14 UTC (3 of 3 vantages: timeout). " +
			"1 override is in force: endpoint/www-us-east/lb-1 (drain)."},
		{"another pool of the region is out by itself", func() *admin.Status {
			s := headlined(now, "eu-west", "us-east")
			gone(s, 1)
			s.Pools = append(s.Pools, admin.Pool{Pool: "api", Region: "us-east", IPv4: steer.FamilyStatus{Total: 2}})
			s.Overrides = []admin.Override{{Target: "pool/www-us-east", State: "drain", Until: &until}}
			if !s.Hurts() {
				t.Error("a pool that nobody has taken out does not hurt")
			}
			return s
		}, "us-east is out. 1 override is in force: pool/www-us-east (drain)."},
		{"all was deleted, and who reads etcd knows of nothing", func() *admin.Status {
			s := &admin.Status{Time: now}
			for _, id := range []string{"fra", "nyc"} {
				s.Servers = append(s.Servers, admin.Server{
					ID: id, Fresh: true, Held: 9, Source: admin.Source{State: "following"},
				})
			}
			if !s.Wrong() {
				t.Error("nothing is wrong")
			}
			return s
		}, "Nothing is steered: there is no pool. 2 of 2 servers hold removals back: fra and nyc."},
		{"five kinds of faults", func() *admin.Status {
			s := headlined(now, "eu-west", "us-east")
			s.Vantages = []admin.Vantage{{ID: "fra", Fresh: true}, {ID: "sin", Fresh: true, Blind: true}}
			s.Pools[1].IPv6.Total = 1
			s.Problems = []admin.Problem{
				{Resource: "zones/a.test"}, {Resource: "zones/a.test"}, {Resource: "zones/b.test"},
			}
			s.Held = []admin.Held{{Resource: "records/a.test/@/MX"}}
			s.Database = &admin.Database{Problem: "it is full"}
			return s
		}, "Both regions answer. 1 of 2 vantages does not vote: sin (blind). 1 pool is out in part: www-us-east " +
			"(AAAA). 2 resources have problems: zones/a.test and zones/b.test. 2 more kinds of fault: see " +
			"below."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.make().Say(); got != tt.want {
				t.Errorf("it says\n%s\nnot\n%s", got, tt.want)
			}
		})
	}
}
