package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"leeward/cmd/leeward/control"
	"leeward/health"
	"leeward/server/admin"
	"leeward/server/answer"
	"leeward/zones"
)

// measured runs a loop in the bubble of synctest, with metrics that are registered. Publishing takes the given time.
func measured(t *testing.T, publishing time.Duration) (*bench, *control.Metrics, *prometheus.Registry) {
	registry := prometheus.NewRegistry()
	metrics, err := control.NewMetrics(registry, "v1", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, Loop: control.NewLoop(control.LoopOptions{
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Own: "fra", Metrics: metrics,
		Publish: func(answer.State) { time.Sleep(publishing) },
	})}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	b.stop = func() { stop(); <-done }
	return b, metrics, registry
}

// Two of three vantages must say that an endpoint is down, and then that it is up. The time that agreeing took is
// counted for each address, and shown.
func TestFailoverIsTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, metrics, registry := measured(t, 3*time.Millisecond)
		defer b.stop()
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		time.Sleep(time.Second) // so that the next report has a turn of its own
		var sequence uint64
		say := func(vantage string, s health.State) {
			sequence++
			b.say(vantage, "www-eu/lb-1", "192.0.2.1", s, sequence)
			time.Sleep(time.Second)
		}
		for _, v := range []string{"fra", "nyc", "sin"} {
			say(v, health.Up)
		}
		say("nyc", health.Down)
		say("sin", health.Down)
		say("nyc", health.Up)
		want := []admin.Phase{
			{Phase: "agree", To: "down", Count: 1, LastSeconds: 1, MeanSeconds: 1, WorstSeconds: 1},
			// fra has said so for 5 s
			{Phase: "agree", To: "up", Count: 1, LastSeconds: 5, MeanSeconds: 5, WorstSeconds: 5},
			{Phase: "publish", To: "down", Count: 1, LastSeconds: .003, MeanSeconds: .003, WorstSeconds: .003},
			{Phase: "publish", To: "up", Count: 1, LastSeconds: .003, MeanSeconds: .003, WorstSeconds: .003},
		}
		if diff := cmp.Diff(want, metrics.Failovers()); diff != "" {
			t.Error(diff)
		}
		if n, err := testutil.GatherAndCount(registry, "leeward_failover_seconds"); n != 6 || err != nil {
			t.Errorf("%d series, %v", n, err)
		}
		for _, c := range []struct {
			after  time.Duration
			stale  float64 // votes
			stands float64 // verdicts
		}{
			{0, 0, 0},
			{12 * time.Second, 2, 0}, // nyc and sin are silent; this server's own vote does not go stale
		} {
			time.Sleep(c.after)
			synctest.Wait()
			err := testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(`
# HELP leeward_votes_stale Votes on addresses that are no longer fresh: the last ones of vantages that have fallen silent.
# TYPE leeward_votes_stale gauge
leeward_votes_stale %v
# HELP leeward_verdicts_stale Addresses without a fresh vote: their last verdicts stand.
# TYPE leeward_verdicts_stale gauge
leeward_verdicts_stale %v
`, c.stale, c.stands)), "leeward_votes_stale", "leeward_verdicts_stale")
			if err != nil {
				t.Error(err)
			}
		}
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, registry := measured(t, 0)
		defer b.stop()

		show := func(want string) {
			t.Helper()
			synctest.Wait()
			names := []string{
				"leeward_verdict_down", "leeward_verdict_targets", "leeward_snapshot_revision",
				"leeward_snapshot_age_seconds", "leeward_problems",
			}
			if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
				t.Error(err)
			}
		}
		const help = `
# HELP leeward_problems Problems of the newest versions of resources; most of these versions are not in service.
# TYPE leeward_problems gauge
# HELP leeward_snapshot_age_seconds Time since the snapshot was last known to be the newest; 0 while the source is followed.
# TYPE leeward_snapshot_age_seconds gauge
# HELP leeward_snapshot_revision Revision of the source that answers are made from.
# TYPE leeward_snapshot_revision gauge
# HELP leeward_verdict_down Addresses with the verdict down.
# TYPE leeward_verdict_down gauge
# HELP leeward_verdict_targets Addresses that are probed and judged.
# TYPE leeward_verdict_targets gauge
`
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		b.Condition(zones.Condition{State: zones.Following, Since: time.Now(), Heard: time.Now()})
		b.say("fra", "www-eu/lb-1", "192.0.2.1", health.Down, 1)
		show(help + `
leeward_problems 0
leeward_snapshot_age_seconds 0
leeward_snapshot_revision 5
leeward_verdict_down{region="eu-west"} 1
leeward_verdict_down{region="us-east"} 0
leeward_verdict_targets{region="eu-west"} 1
leeward_verdict_targets{region="us-east"} 1
`)
		// The pool that is down moves to the other region, and its endpoint gets a second address.
		b.Condition(zones.Condition{State: "cut off", Since: time.Now(), Heard: time.Now()})
		b.Batch(zones.Batch{Revision: 6, Changes: changes(t, "kind: Pool\nname: www-eu\nregion: us-east\nmonitor: "+
			"web\n---\n"+
			"kind: Endpoint\nname: www-eu/lb-1\naddresses: [192.0.2.1, 192.0.2.3]\n", 6)})
		time.Sleep(30 * time.Second)
		show(help + `
leeward_problems 0
leeward_snapshot_age_seconds 30
leeward_snapshot_revision 6
leeward_verdict_down{region="us-east"} 1
leeward_verdict_targets{region="us-east"} 3
`)
		b.say("fra", "www-eu/lb-1", "192.0.2.1", health.Up, 2)
		show(help + `
leeward_problems 0
leeward_snapshot_age_seconds 30
leeward_snapshot_revision 6
leeward_verdict_down{region="us-east"} 0
leeward_verdict_targets{region="us-east"} 3
`)
	})
}
