package control_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"leeward/cmd/leeward/control"
	"leeward/health"
	"leeward/server"
	"leeward/zones"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		metrics, err := control.NewMetrics(registry, "v1", time.Now)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{t: t}
		b.Loop = control.NewLoop(control.LoopOptions{
			Log: slog.New(slog.DiscardHandler), Now: time.Now, Own: "fra", Metrics: metrics, Publish: func(server.State) {},
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); b.Run(ctx) }()
		defer func() { stop(); <-done }()

		show := func(want string) {
			t.Helper()
			synctest.Wait()
			names := []string{"leeward_verdict_down", "leeward_verdict_targets", "leeward_snapshot_revision", "leeward_snapshot_age_seconds", "leeward_problems"}
			if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
				t.Error(err)
			}
		}
		const help = `
# HELP leeward_problems What is wrong with newest versions of resources: most are not in service.
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
		b.Condition(control.Condition{State: control.Following, Since: time.Now(), Heard: time.Now()})
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
		b.Condition(control.Condition{State: "cut off", Since: time.Now(), Heard: time.Now()})
		b.Batch(zones.Batch{Revision: 6, Changes: changes(t, "kind: Pool\nname: www-eu\nregion: us-east\nmonitor: web\n---\n"+
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
