package control_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"leeward/cmd/leeward/control"
	"leeward/cmd/leeward/screen"
	"leeward/server/admin"
	"leeward/zones"
)

// The status, its table, its problems and the metrics show what pools carry. One pool is above its target and max, and
// more is offered to it, as its load stays while it sheds. The other is well, although one endpoint says 0 beside
// others that are busy.
func TestLoadsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, registry := measured(t, 0)
		defer b.stop()
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, loaded+
			"---\nkind: Endpoint\nname: www-us/lb-2\naddresses: [192.0.2.3]\n---\nkind: Endpoint\nname: "+
			"www-us/lb-3\naddresses: [192.0.2.4]\n", 5)})
		still := func(v float64) func(time.Duration) float64 { return func(time.Duration) float64 { return v } }
		for range 4 {
			b.carry("www-us/lb-1", "192.0.2.2", 250*time.Millisecond, still(70))
			b.carry("www-us/lb-2", "192.0.2.3", 250*time.Millisecond, still(70))
			b.carry("www-us/lb-3", "192.0.2.4", 250*time.Millisecond, still(0))
			b.carry("www-eu/lb-1", "192.0.2.1", 500*time.Millisecond, still(160))
		}
		synctest.Wait()
		var s *admin.Status
		if err := b.Do(t.Context(), func(i control.Inside) { s = i.Summary(time.Now()).Status() }); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := screen.Wide(&text, &admin.Status{Time: s.Time, Pools: s.Pools, Problems: s.Problems},
			false); err != nil {
			t.Fatal(err)
		}
		_, got, _ := strings.Cut(text.String(), "\n\n")
		want := `POOL    LOAD  OFFERED  TARGET  MAX  KEEPS  WARM  ENDPOINTS WANTED
www-eu  160   201      100     120  50 %   all   3 of 1
www-us  210   210      300     360  all    all   3 of 3

Problems: what is wrong with the newest version, and which one is in service
RESOURCE                    IN SERVICE  WHAT IS WRONG
pools/www-eu load           newest      it carries 160, beyond the max of 120 at which it breaks
endpoints/www-us/lb-3 load  newest      says 0 while the others of its pool carry 0.7 of their target: counts as they do
`
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		for _, line := range strings.Split(strings.SplitN(got, "\n\n", 2)[0], "\n") {
			if len(line) > 80 {
				t.Errorf("%d columns: %s", len(line), line)
			}
		}
		err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP leeward_pool_capacity What a pool's endpoints that are up are to carry (target, as warm as they are), and where they break (max).
# TYPE leeward_pool_capacity gauge
leeward_pool_capacity{kind="max",pool="www-eu"} 120
leeward_pool_capacity{kind="max",pool="www-us"} 360
leeward_pool_capacity{kind="target",pool="www-eu"} 100
leeward_pool_capacity{kind="target",pool="www-us"} 300
# HELP leeward_pool_endpoints_wanted Endpoints that the offered load needs: offered, divided by the mean target, rounded up.
# TYPE leeward_pool_endpoints_wanted gauge
leeward_pool_endpoints_wanted{pool="www-eu"} 3
leeward_pool_endpoints_wanted{pool="www-us"} 3
# HELP leeward_pool_load Load of a pool's endpoints that are up, in the unit of its capacity.
# TYPE leeward_pool_load gauge
leeward_pool_load{pool="www-eu"} 160
leeward_pool_load{pool="www-us"} 210
`), "leeward_pool_capacity", "leeward_pool_endpoints_wanted", "leeward_pool_load")
		if err != nil {
			t.Error(err)
		}
		for name, n := range map[string]int{
			"leeward_pool_offered": 2, "leeward_pool_keep": 2,
			"leeward_policy_passed_on": 1,
		} {
			if got, err := testutil.GatherAndCount(registry, name); got != n || err != nil {
				t.Errorf("%s: %d series, %v; want %d", name, got, err, n)
			}
		}
	})
}
