package process

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/admin"
	"leeward/zones/etcd"
	"leeward/zones/store"
)

// database watches the size of etcd's database. At its quota etcd takes no writes: no configuration and no reports.
type database struct {
	last  atomic.Pointer[etcd.Database] // nil: not known yet
	asked time.Time                     // when once last asked
}

// databaseEvery is how often etcd is asked.
const databaseEvery = 30 * time.Second

// databaseWait is how long an Observer waits for the answer.
const databaseWait = time.Second

// databaseFull is the share of the quota from which on the size is a problem.
const databaseFull = 0.5

func (d *database) register(r prometheus.Registerer) error {
	gauge := func(name, help string, value func(*etcd.Database) float64) error {
		return r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			if s := d.last.Load(); s != nil {
				return value(s)
			}
			return 0
		}))
	}
	if err := gauge("leeward_etcd_database_bytes", "Size of etcd's database, that of the largest member; 0: not "+
		"known yet.",
		func(s *etcd.Database) float64 { return float64(s.Bytes) }); err != nil {
		return err
	}
	if err := gauge("leeward_etcd_database_used_bytes", "How much of it is in use; what is compacted is used again.",
		func(s *etcd.Database) float64 { return float64(s.InUse) }); err != nil {
		return err
	}
	return gauge("leeward_etcd_quota_bytes", "Size at which etcd takes no more writes; 2 GiB where it does not say.",
		func(s *etcd.Database) float64 { return float64(s.Quota) })
}

// run asks until the context ends. It logs when the database becomes too full, and when it no longer is.
func (d *database) run(ctx context.Context, r *run) {
	full := false
	for range turns(ctx, databaseEvery) {
		if s, err := r.etcd.Database(ctx); err == nil {
			d.last.Store(s)
			switch problem := databaseProblem(s); {
			case problem != "" && !full:
				r.Log.Warn("etcd: "+problem, "bytes", s.Bytes, "used", s.InUse, "quota", s.Quota)
			case problem == "" && full:
				r.Log.Info("etcd: the database is well within its quota again", "bytes", s.Bytes, "quota", s.Quota)
			}
			full = databaseProblem(s) != ""
		}
	}
}

// once asks on behalf of an Observer: briefly, and at most every databaseEvery.
func (d *database) once(ctx context.Context, e *store.Store) {
	if time.Since(d.asked) < databaseEvery {
		return
	}
	d.asked = time.Now()
	limited, stop := context.WithTimeout(ctx, databaseWait)
	defer stop()
	if s, err := e.Database(limited); err == nil {
		d.last.Store(s)
	}
}

// databaseProblem says what is wrong with the database and what to do. It returns "" if nothing is wrong.
func databaseProblem(d *etcd.Database) string {
	switch {
	case d.Alarm != "":
		return fmt.Sprintf("an alarm is raised (%s); where it is NOSPACE nothing can be written: "+
			"compact, defragment, then: etcdctl alarm disarm", d.Alarm)
	case d.Fill() >= databaseFull && d.InUse < d.Bytes/2:
		return fmt.Sprintf("the database has taken %.0f %% of its quota, of which most is free: "+
			"defragment it (etcdctl defrag), one member at a time", 100*d.Fill())
	case d.Fill() >= databaseFull:
		return fmt.Sprintf("the database has taken %.0f %% of its quota; at all of it nothing can be written: "+
			"compact and defragment, or raise --quota-backend-bytes", 100*d.Fill())
	}
	return ""
}

// tell adds the database to a status.
func (d *database) tell(s *admin.Status) {
	if last := d.last.Load(); last != nil {
		s.Database = &admin.Database{
			Bytes: last.Bytes, UsedBytes: last.InUse, QuotaBytes: last.Quota,
			Problem: databaseProblem(last),
		}
	}
}
