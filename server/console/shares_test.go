package console_test

import (
	"strings"
	"testing"
	"time"

	"leeward/health"
	"leeward/server/answer"
	"leeward/server/console"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/document"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// resources are those behind the status of night.
const resources = `
{kind: Zone, name: example.test, nameservers: [ns1.example.net], hostmaster: hostmaster@example.test}
---
{kind: Region, name: eu-west, latitude: 53.3, longitude: -6.3}
---
{kind: Region, name: us-east, latitude: 39, longitude: -77.5}
---
{kind: Pool, name: www-eu, region: eu-west}
---
{kind: Pool, name: www-us, region: us-east}
---
{kind: Endpoint, name: www-eu/lb-1, addresses: [192.0.2.10]}
---
{kind: Endpoint, name: www-us/lb-1, addresses: [192.0.2.20]}
---
kind: Policy
name: www.example.test
rules:
  - when: {continents: [NA]}
    failover: [www-us, www-eu]
  - failover: [{www-eu: 75, www-us: 25}]
`

// stateOf returns the state that is served for some resources while all endpoints are up.
func stateOf(t testing.TB, text string) *answer.State {
	t.Helper()
	documents, problems := document.Read("zones.yaml", strings.NewReader(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	batch := zones.Batch{Full: true, Revision: 7}
	for _, d := range documents {
		batch.Changes = append(batch.Changes, zones.Change{Key: d.Resource.Key(), Resource: d.Resource, Revision: 7})
	}
	c := catalog.New(time.Now)
	delta := c.Apply(batch)
	if err := c.Problems().Err(); err != nil {
		t.Fatal(err)
	}
	s, problems := snapshot.NewBuilder(time.Now).Update(c, delta, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	view := steer.NewView(s.Program(), steer.Sight{State: func(health.Target) health.State { return health.Up }}, nil)
	return &answer.State{Snapshot: s, View: view}
}

// counted returns what was answered: us-east got 1 % of the last minute's answers, and 20 % of the last five minutes'.
func counted(of string, _ int) *answer.Counts {
	n := func(one, five uint64) answer.Count {
		return answer.Count{Total: 9 * five, LastMinute: one, LastFiveMinutes: five}
	}
	pools := []answer.PoolCount{{Pool: "www-eu", Count: n(594, 2400)}, {Pool: "www-us", Count: n(6, 600)}}
	return &answer.Counts{Windows: [2]float64{60, 300}, Pools: pools, Policies: []answer.PolicyCount{{
		Policy: "www.example.test", Count: n(600, 3000), Rules: []answer.RuleCount{
			{Rule: 0, When: "continents [NA]", Count: n(0, 0)},
			{Rule: 1, When: "always", Count: n(600, 3000), Pools: pools},
		},
	}}}
}

// What was answered stands beside what was intended, on the map and on the screens of regions, pools and policies.
func TestShares(t *testing.T) {
	s := night()
	s.Servers[0].Asked = &steer.Asked{Seconds: 100, Queries: 5000, Orders: []steer.AskedOrder{{
		Order: steer.Order{Policy: "www.example.test", Rule: 2}, Queries: 5000, Samples: 5000,
	}}}
	state := stateOf(t, resources)
	o := options(s)
	o.PoolCounts = func(most int) *answer.Counts { return o.Counts("", most) }
	o.Counts, o.State = counted, func() *answer.State { return state }
	h := console.New(o)
	for target, want := range map[string][]string{
		"/": {
			"2 answer. Shares are of the answers that this server gave in the last minute. us-east is out, and gave " +
				"1 % of the answers, where 2",
			"% were meant; its clients go to eu-west. eu-west answers, and gave 99 % of the answers, where 7",
			"us-east out eu-west 0/1 0/1 1 % 20 % 2",
		},
		"/pools":          {"www-eu eu-west answers 1/1 99 % 80 % 7", "www-us us-east out"},
		"/region/us-east": {"It gets 1 % of this server's answers (20 % in the last five minutes; meant: 2"},
		"/pool/www-us":    {"0/1 1 % 20 % 2"},
		"/policy/www.example.test": {
			"0 % of the answers", "100 % of the answers", "What was answered", "www-eu 99 % 80 % 7",
			"www-us 1 % 20 % 2",
		},
	} {
		_, page := get(t, h, target)
		for _, part := range want {
			if !strings.Contains(text(page), part) {
				t.Errorf("%s does not say %q:\n%s", target, part, text(page))
			}
		}
	}
	_, page := get(t, h, "/")
	if strings.Count(page, "scale(") != 2 || strings.Contains(page, "scale(1)") {
		t.Errorf("the shapes on the map are not of different sizes:\n%s", page)
	}
	_, page = get(t, h, "/policy/www.example.test")
	if strings.Count(page, "#s-part") < 2 {
		t.Error("a share that is far off what was meant is not pointed out")
	}
	// A process that only probes counts nothing, and so there is no column. Before the first query, the column has a
	// dash.
	all := o.PoolCounts
	o.Counts, o.PoolCounts = nil, nil
	if _, page := get(t, console.New(o), "/pools"); strings.Contains(page, "5 min") {
		t.Error("a process that counts nothing has columns of counts")
	}
	o.Counts = func(string, int) *answer.Counts { return &answer.Counts{Windows: [2]float64{1, 1}} }
	o.PoolCounts = all
	s.Servers[0].Asked = nil
	if _, page := get(t, console.New(o), "/pools"); !strings.Contains(text(page), "answers 1/1 – – –") {
		t.Errorf("before the first query: %s", text(page))
	}
}
