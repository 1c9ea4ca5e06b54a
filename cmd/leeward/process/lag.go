package process

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/admin"
)

// lag says how old a server's knowledge of etcd may be: the time since a watch last said something. A watch asks about
// once a second whether anything has changed. So "nothing has" counts too.
type lag struct {
	watch string
	since func() time.Time // when it last said something
}

func (l lag) seconds(now time.Time) float64 { return max(0, now.Sub(l.since()).Seconds()) }

// registerLags registers leeward_watch_lag_seconds for each watch.
func registerLags(r prometheus.Registerer, lags []lag, now func() time.Time) error {
	for _, l := range lags {
		if err := r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "leeward_watch_lag_seconds", ConstLabels: prometheus.Labels{"watch": l.watch},
			Help: "Time since the watch on etcd (resources, or the reports of other vantages) last said something, " +
				"if only that nothing has changed.",
		}, func() float64 { return l.seconds(now()) })); err != nil {
			return err
		}
	}
	return nil
}

// watches describes the lags in a status.
func watches(lags []lag, now time.Time) []admin.Watch {
	var all []admin.Watch
	for _, l := range lags {
		all = append(all, admin.Watch{Watch: l.watch, LagSeconds: l.seconds(now)})
	}
	return all
}
