package process

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/zones/store"
)

// Drills is where the reports of drills are kept, below etcd's prefix: of each, a JSON document by the time of its
// beginning.
const Drills = "meta/drills/"

// drilled watches how the last drill ended, for alerts.
type drilled struct {
	last     atomic.Pointer[lastDrill] // nil: none is known
	revision int64                     // of what was read last
	desc     *prometheus.Desc
}

// lastDrill is what a report says that matters here.
type lastDrill struct {
	Target  string    `json:"target"`
	Outcome string    `json:"outcome"`
	Until   time.Time `json:"until"`
	Ended   time.Time `json:"ended"`
}

// drilledEvery is how often it is asked for, and drilledWait how long each time.
const (
	drilledEvery = 30 * time.Second
	drilledWait  = 5 * time.Second
)

func newDrilled() *drilled {
	return &drilled{desc: prometheus.NewDesc("leeward_drill_last_ended_seconds",
		"When the last drill ended, as Unix seconds, and how: succeeded, failed, interrupted, or capacity check failed.",
		[]string{"target", "outcome"}, nil)}
}

func (d *drilled) Describe(c chan<- *prometheus.Desc) { c <- d.desc }

func (d *drilled) Collect(c chan<- prometheus.Metric) {
	last := d.last.Load()
	if last == nil {
		return
	}
	outcome, at := last.Outcome, last.Ended
	if at.IsZero() { // nobody has said how it ended
		if at = last.Until; time.Now().Before(at.Add(time.Minute)) {
			return
		}
		outcome = "interrupted"
	}
	c <- prometheus.MustNewConstMetric(d.desc, prometheus.GaugeValue, float64(at.Unix()), last.Target, outcome)
}

// run looks until the context ends. While etcd does not answer, what was known stands.
func (d *drilled) run(ctx context.Context, e *store.Etcd) {
	tick := time.NewTicker(drilledEvery)
	defer tick.Stop()
	for {
		d.look(ctx, e)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (d *drilled) look(ctx context.Context, e *store.Etcd) {
	ctx, stop := context.WithTimeout(ctx, drilledWait)
	defer stop()
	newest, err := e.Client().Get(ctx, e.Prefix()+Drills, clientv3.WithPrefix(), clientv3.WithKeysOnly(),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend), clientv3.WithLimit(1))
	switch {
	case err != nil:
		return
	case len(newest.Kvs) == 0:
		d.last.Store(nil)
		return
	case newest.Kvs[0].ModRevision == d.revision:
		return
	}
	got, err := e.Client().Get(ctx, string(newest.Kvs[0].Key))
	if err != nil || len(got.Kvs) == 0 {
		return
	}
	var last lastDrill
	if json.Unmarshal(got.Kvs[0].Value, &last) != nil || last.Target == "" {
		return // leeward drills says what cannot be read
	}
	last.Target = strings.ToValidUTF8(last.Target, "?")
	last.Outcome = strings.ToValidUTF8(last.Outcome, "?")
	d.revision = got.Kvs[0].ModRevision
	d.last.Store(&last)
}
