package admin_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"leeward/server/admin"
	"leeward/server/answer"
)

// What is left of a status that is narrowed to one target.
func TestNarrow(t *testing.T) {
	now := time.Date(2026, 11, 28, 2, 30, 0, 0, time.UTC)
	s := headlined(now, "ap-south", "eu-west", "us-east")
	fail(s, "timeout", now.Add(-time.Minute), 4, 5)
	gone(s, 2)
	s.Moves = []admin.Move{{From: "us-east", To: []string{"eu-west"}}}
	s.FailingOpen = []string{"us.example.test"}
	s.Servers = []admin.Server{
		{ID: "fra", Region: "eu-west", Fresh: true, Source: admin.Source{State: "following"}},
		{ID: "nyc", Region: "us-east", Fresh: true, Source: admin.Source{State: "following"}},
	}
	s.Overrides = []admin.Override{
		{Target: "region/us-east", State: "drain"},
		{Target: "endpoint/www-eu-west/lb-1", State: "down"},
	}
	s.Problems = []admin.Problem{
		{Resource: "pools/www-us-east"},
		{Resource: "policies/us.example.test"},
		{Resource: "records/us.example.test/a/TXT"},
		{Resource: "overrides/region/us-east"},
	}
	s.Following = []admin.Following{{Zone: "bind.test"}}
	for _, tt := range []struct {
		target, want string
		pools        []string
	}{
		{"us-east", "regions us-east, pools www-us-east, endpoints 2, servers nyc, overrides region/us-east, " +
			"problems pools/www-us-east overrides/region/us-east: us-east is drained. Its clients go to eu-west. " +
			"2 resources have problems: overrides/region/us-east and pools/www-us-east.", nil},
		{"region/us-east", "regions us-east, pools www-us-east, endpoints 2, servers nyc, overrides region/us-east, " +
			"problems pools/www-us-east overrides/region/us-east: us-east is drained. Its clients go to eu-west. " +
			"2 resources have problems: overrides/region/us-east and pools/www-us-east.", nil},
		{"www-eu-west", "regions eu-west, pools www-eu-west, endpoints 2, servers , overrides " +
			"endpoint/www-eu-west/lb-1, problems : eu-west answers. 1 override is in force: " +
			"endpoint/www-eu-west/lb-1 (down).", nil},
		{"www-eu-west/lb-2", "regions eu-west, pools www-eu-west, endpoints 1, servers , overrides , problems : " +
			"eu-west answers.", nil},
		{"fra", "regions , pools , endpoints 0, servers fra, overrides , problems : fra follows its source.", nil},
		{"us.example.test", "regions ap-south us-east, pools www-ap-south www-us-east, endpoints 4, servers , " +
			"overrides region/us-east, problems pools/www-us-east policies/us.example.test " +
			"records/us.example.test/a/TXT overrides/region/us-east: us-east is drained. Its clients go to eu-west. " +
			"1 name fails open: us.example.test. 4 resources have problems: overrides/region/us-east, " +
			"policies/us.example.test and 2 more.", []string{"www-us-east", "www-ap-south"}},
	} {
		got, err := s.Narrow(tt.target, tt.pools)
		if err != nil {
			t.Errorf("%s: %v", tt.target, err)
			continue
		}
		names := func(n int, name func(int) string) string {
			var all []string
			for i := range n {
				all = append(all, name(i))
			}
			return strings.Join(all, " ")
		}
		text := fmt.Sprintf("regions %s, pools %s, endpoints %d, servers %s, overrides %s, problems %s: %s",
			names(len(got.Regions), func(i int) string {
				return got.Regions[i].Region
			}), names(len(got.Pools), func(i int) string { return got.Pools[i].Pool }),
			len(got.Endpoints), names(len(got.Servers), func(i int) string { return got.Servers[i].ID }),
			names(len(got.Overrides), func(i int) string { return got.Overrides[i].Target }),
			names(len(got.Problems), func(i int) string { return got.Problems[i].Resource }), got.Headline)
		if text != tt.want {
			t.Errorf("%s leaves\n%s\nnot\n%s", tt.target, text, tt.want)
		}
	}
	for _, target := range []string{"nowhere", "region/www-eu-west", "pool/us-east", ""} {
		var bad *answer.BadQuestion
		if _, err := s.Narrow(target, nil); !errors.As(err, &bad) ||
			!strings.Contains(err.Error(), fmt.Sprintf("%q", target)) {
			t.Errorf("%q: %v", target, err)
		}
	}
	if got, err := s.Narrow("bind.test", nil); err != nil || len(got.Following) != 1 {
		t.Errorf("a zone that is transferred: %v, %v", got, err)
	}
}

// If another server has a problem that this one does not have, the status names that server.
func TestElsewhere(t *testing.T) {
	told := func(resource, message string) []admin.Problem {
		return []admin.Problem{{Resource: resource, Field: "dnssec", Message: message}}
	}
	s := &admin.Status{
		Self: "fra", Problems: told("zones/a.test", "no key"),
		Servers: []admin.Server{
			{ID: "fra", Fresh: true, ProblemsFirst: told("zones/own.test", "not told twice")},
			{ID: "nyc", Fresh: true, ProblemsFirst: slices.Concat(
				told("zones/a.test", "no key"), told("zones/b.test", "lost"),
			)},
			{ID: "sin", Fresh: true, ProblemsFirst: told("zones/b.test", "lost")},
			{ID: "tyo", ProblemsFirst: told("zones/c.test", "long ago")},
		},
		Signers: []admin.Server{{ID: "sig", Fresh: true, ProblemsFirst: told("zones/d.test", "no key")}},
	}
	s.Elsewhere()
	var got []string
	for _, p := range s.Problems {
		got = append(got, p.Resource+" "+p.Message)
	}
	want := []string{"zones/a.test no key", "zones/b.test nyc and sin: lost", "zones/d.test sig: no key"}
	if !slices.Equal(got, want) {
		t.Errorf("the problems are %q, want %q", got, want)
	}
}

// Whatever needs attention stays in Ailing and counts as wrong. What is well does not.
func TestWrong(t *testing.T) {
	now := time.Date(2026, 11, 28, 2, 30, 0, 0, time.UTC)
	good := func() *admin.Status {
		s := headlined(now, "eu-west", "us-east")
		s.Servers = []admin.Server{{ID: "fra", Fresh: true, Source: admin.Source{State: "following"}}}
		s.Vantages = []admin.Vantage{{ID: "fra", Fresh: true}}
		s.Watches = []admin.Watch{{Watch: "reports", LagSeconds: 1}}
		s.Following = []admin.Following{{Zone: "bind.test", State: "current"}}
		s.Secondaries = []admin.Secondary{{Zone: "example.test"}}
		s.Database = &admin.Database{Bytes: 1}
		return s
	}
	if s := good(); s.Wrong() {
		t.Errorf("all is well, and %+v is wrong", s.Ailing())
	}
	for name, spoil := range map[string]func(*admin.Status){
		"a pool is out":               func(s *admin.Status) { s.Pools[1].IPv4.Available = false },
		"a pool is drained":           func(s *admin.Status) { s.Pools[1].Override = "drain" },
		"an address is down":          func(s *admin.Status) { fail(s, "", now, 2) },
		"a vantage is blind":          func(s *admin.Status) { s.Vantages[0].Blind = true },
		"a vantage is silent":         func(s *admin.Status) { s.Vantages[0].Fresh = false },
		"a server is not heard of":    func(s *admin.Status) { s.Servers[0].Fresh = false },
		"a server does not follow":    func(s *admin.Status) { s.Servers[0].Source.State = "cut off" },
		"a copy is not kept":          func(s *admin.Status) { s.Servers[0].CopyError = "disk full" },
		"a watch is late":             func(s *admin.Status) { s.Watches[0].LagSeconds = 3 },
		"the database is full":        func(s *admin.Status) { s.Database.Problem = "it is full" },
		"a secondary does not answer": func(s *admin.Status) { s.Secondaries[0].Pending = true },
		"a primary does not":          func(s *admin.Status) { s.Following[0].State = "failing" },
		"a problem":                   func(s *admin.Status) { s.Problems = []admin.Problem{{}} },
		"something is held":           func(s *admin.Status) { s.Held = []admin.Held{{}} },
		"a name fails open":           func(s *admin.Status) { s.FailingOpen = []string{"a.test"} },
		"a name says that it is down": func(s *admin.Status) {
			s.Denied = []admin.Denied{{Policy: "a.test", Says: "NODATA"}}
		},
	} {
		s := good()
		spoil(s)
		if !s.Wrong() {
			t.Errorf("%s, and nothing is wrong", name)
		}
		if said := s.Say(); said == good().Say() {
			t.Errorf("%s, and the headline is %q", name, said)
		}
	}
}
