package process

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/zones/etcd"
)

// drilled keeps the outcome of the last drill as a metric, for alerts.
type drilled struct {
	last     atomic.Pointer[lastDrill] // nil: none is known
	revision int64                     // of the report that was read last
	desc     *prometheus.Desc
}

// lastDrill is the part of a drill's report that the metric needs.
type lastDrill struct {
	Target  string    `json:"target"`
	Outcome string    `json:"outcome"`
	Until   time.Time `json:"until"`
	Ended   time.Time `json:"ended"`
}

// The last drill is looked up every drilledEvery. etcd has drilledWait to answer.
const (
	drilledEvery = 30 * time.Second
	drilledWait  = 5 * time.Second
)

func newDrilled() *drilled {
	return &drilled{desc: prometheus.NewDesc("leeward_drill_last_ended_seconds",
		"When the last drill ended, as Unix seconds, and how: succeeded, failed, interrupted, or capacity check "+
			"failed.",
		[]string{"target", "outcome"}, nil)}
}

func (d *drilled) Describe(c chan<- *prometheus.Desc) { c <- d.desc }

func (d *drilled) Collect(c chan<- prometheus.Metric) {
	last := d.last.Load()
	if last == nil {
		return
	}
	outcome, at := last.Outcome, last.Ended
	if at.IsZero() { // nobody has reported how it ended
		if at = last.Until; time.Now().Before(at.Add(time.Minute)) {
			return
		}
		outcome = "interrupted"
	}
	c <- prometheus.MustNewConstMetric(d.desc, prometheus.GaugeValue, float64(at.Unix()), last.Target, outcome)
}

// run looks for the last drill until the context ends. While etcd does not answer, the metric stays.
func (d *drilled) run(ctx context.Context, e *etcd.Cluster) {
	for range turns(ctx, drilledEvery) {
		d.look(ctx, e)
	}
}

func (d *drilled) look(ctx context.Context, e *etcd.Cluster) {
	c := e.Within(drilledWait)
	var newest etcd.KV
	_, err := c.Read(ctx, 0, []etcd.Range{etcd.Folder(etcd.Drills)}, func(kv etcd.KV) { newest = kv }, etcd.KeysOnly())
	switch {
	case err != nil:
		return
	case newest.Name == "":
		d.last.Store(nil)
		return
	case newest.Revision == d.revision:
		return
	}
	got, _, err := c.Get(ctx, newest.Name)
	if err != nil || got == nil {
		return
	}
	var last lastDrill
	if json.Unmarshal(got.Value, &last) != nil || last.Target == "" {
		return // leeward drills reports what cannot be read
	}
	last.Target = strings.ToValidUTF8(last.Target, "?")
	last.Outcome = strings.ToValidUTF8(last.Outcome, "?")
	d.revision = got.Revision
	d.last.Store(&last)
}
