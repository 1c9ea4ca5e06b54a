package screen

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leeward/server/answer"
)

func TestCounts(t *testing.T) {
	n := func(minute, five, total uint64) answer.Count {
		return answer.Count{Total: total, LastMinute: minute, LastFiveMinutes: five}
	}
	few, many := n(0, 1, 12), n(4500, 18000, 70000)
	type pools = []answer.PoolCount
	c := &answer.Counts{
		Server: "ams-1", Since: time.Date(2026, 11, 28, 2, 0, 0, 0, time.UTC), Windows: [2]float64{60, 300},
		Queries: n(6000, 24000, 99000), Steered: n(4500, 18000, 70000), FailOpen: n(30, 30, 30),
		Types: []answer.TypeCount{{Type: "A", Count: n(6000, 24000, 99000)}},
		Pools: pools{{Pool: "www-eu\x1b[2J", Count: many}, {Pool: "www-us", Count: few}},
		Policies: []answer.PolicyCount{{
			Policy: "www.example.test", Count: n(4500, 18001, 70012), FailOpen: n(30, 30, 30),
			Rules: []answer.RuleCount{
				{Rule: 0, When: "when countries [ES]", Count: few, Pools: pools{{Pool: "www-us", Count: few}}},
				{Rule: -1, When: "no rule holds", Count: many, Pools: pools{{Count: many}}},
			},
		}},
	}
	c.Left.Policies = 3
	var b strings.Builder
	if err := Counts(NewPageOf(&b, 80), c, true, false); err != nil {
		t.Fatal(err)
	}
	const want = `ams-1: 100 queries a second in the last minute, 75 % of them steered. All counts
    are since 2026-11-28 02:00:00.
0.50 answers a second fail open: nothing is healthy there.

TYPE  A SECOND (1 MIN)  (5 MIN)  TOTAL
A     100               80       99000

POOL        A SECOND (1 MIN)  (5 MIN)  TOTAL
www-eu?[2J  75                60       70000
www-us      0                 <0.01    12

POLICY                         A SECOND (1 MIN)  (5 MIN)  TOTAL
www.example.test               75                60       70012
  rule 1: when countries [ES]  0                 <0.01    12
    www-us                     0                 <0.01    12
  no rule held                 75                60       70000
    (without a pool)           75                60       70000
  failed open                  0.50              0.10     30

3 more policies and 0 more pools: see them with --most.
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("(- want, + got)\n%s", d)
	}
}
