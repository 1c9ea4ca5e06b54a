// Package process runs one whole server, probe or observer.
//
//	assemble   makes all parts; nothing runs yet
//	listen     binds DNS and the admin interface
//	resume     publishes the copy on disk
//	serve      starts the parts, and stops them in the reverse order of who needs whom
//
// It owns everything that the control loop must not wait for: sockets, files, credentials, the disk, the admin
// interface.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"leeward/cmd/leeward/control"
	"leeward/server/answer"
	"leeward/server/console"
	"leeward/server/history"
	"leeward/zones/etcd"
	"leeward/zones/steer"
)

// Settings say how a server or a probe is started.
type Settings struct {
	ID, Region string
	Listen     []string // addresses for DNS; none: a vantage without DNS
	Admin      string   // address of the admin interface; "": none
	AdminURL   string   // where people and other servers reach it; "": at Admin
	Token      string   // required by the admin interface; "": none
	// TokenFile is the file that Token was read from; "": none. Like all files of credentials, it is read again when it
	// changes.
	TokenFile string
	AdminTLS  AdminTLS // of the admin interface
	ProbeTLS  ProbeTLS // certificate that probes present
	GeoDB     []string
	Resolvers []netip.AddrPort // for endpoints' hostnames; none: those of the system
	History   HistoryBounds    // bounds of the history
	DNSTap    *DNSTap          // nil: queries are not followed
	// Drills reads the reports of earlier drills, for the console. nil: it shows none. Only with Etcd.
	Drills         func(context.Context, *etcd.Cluster) ([]console.Drill, error)
	NoProbe        bool     // do not probe or report; needs Etcd, where others report
	CountCountries bool     // count clients of policies by country
	CountTop       bool     // count who asks most, and for which names
	MetricsDetail  bool     // add metrics by endpoint, and by policy, rule and pool
	State          string   // folder of the last good snapshot; "": none is kept
	TSIGKeys       []string // files of TSIG keys
	Keys           string   // folder of the keys that zones are signed with; "": below State, for Files
	KeySecrets     string   // file of the secrets that seal keys in etcd; only with Etcd, without Keys
	Sign           bool     // sign for servers without keys, through etcd, and serve no DNS; needs Keys and Etcd
	Edge           bool     // hold no keys: signatures come through etcd from a process with Sign
	Version        string
	Chaos          answer.Chaos  // answers to queries of class CH
	Log            *slog.Logger  // its writer must not block, see Journal
	Dropped        func() uint64 // number of log lines that were lost; nil: none are

	RateLimit     answer.RateLimit // of responses over UDP; the zero value sets no limit
	CookieSecrets string           // file of DNS cookie secrets; "": they are shared through etcd, or random

	Files string        // folder of the resources, instead of Etcd
	Etcd  *etcd.Options // nil: the resources are in Files

	Clock func() time.Time // for signing zones and rolling keys; nil: time.Now. Only tests set it

	Compact time.Duration // etcd keeps history for this long, and at most twice as long; 0: it is not compacted

	Notify  string          // socket of the service manager (sd_notify); "": there is none
	Reload  <-chan struct{} // each value has the files read again; nil: never
	Started func(Running)   // called once everything listens; nil: not called
}

// clock returns the clock for signing zones.
func (s *Settings) clock() func() time.Time {
	if s.Clock != nil {
		return s.Clock
	}
	return time.Now
}

// Running says where a started server listens.
type Running struct {
	DNS   []netip.AddrPort
	Admin string // "": there is no admin interface
}

// Serve runs a server, or a vantage without DNS if there is nothing to listen on, until the context ends. Then it
// withdraws its reports, answers the queries that it has received, and stops. It returns an error if it could not
// start, or if a part failed.
func Serve(ctx context.Context, s Settings) error {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.NoProbe && s.Etcd == nil {
		return errors.New("a server that probes nothing needs an etcd, where others report")
	}
	r := &run{
		Settings: s, registry: prometheus.NewRegistry(), started: time.Now(),
		programs: make(chan *steer.Program, 1), first: make(chan struct{}), heardAll: make(chan struct{}),
	}
	if s.Dropped != nil {
		r.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "leeward_log_dropped_total", Help: "Lines of the log that were lost because nobody read them.",
		}, func() float64 { return float64(s.Dropped()) }))
	}
	r.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.starting = ctx
	if s.State != "" {
		unlock, err := lockFolder(s.State)
		if err != nil {
			return err
		}
		defer unlock()
	}
	if err := r.assemble(); err != nil {
		return err
	}
	defer r.close()
	return r.serve(ctx)
}

// drainLimit is how long a stopping server waits for its core. It waits half as long for the other parts, and for etcd.
// absorbedLimit is how long it waits for a loop that is applying the copy on disk or a list of everything. Such a loop
// cannot be interrupted, and has nothing new to save yet.
const (
	drainLimit    = 5 * time.Second
	absorbedLimit = 500 * time.Millisecond
)

// settled waits for the core. It returns the parts that still run and may have something to save, or "" if there are
// none.
func settled(core *crew, l *control.Loop, limit, absorbed time.Duration) (left string) {
	if left = core.ended(absorbed); left == "" || l.Absorbed() {
		return "" // what the loop is applying is safe at the source, and the copy on disk is older
	}
	return core.ended(limit - absorbed)
}

func (r *run) serve(ctx context.Context) error {
	if err := r.listen(); err != nil {
		return err
	}
	resumed := r.resume(ctx)

	// Parts stop in this order: first probing and following; then DNS, once the reports are withdrawn; then the loop,
	// which saves what is not on disk yet, and the pages.
	parts, stopParts := context.WithCancel(context.WithoutCancel(ctx))
	core, stopCore := context.WithCancel(context.WithoutCancel(ctx))
	var partsDone, coreDone crew
	defer func() {
		// A hanging disk does not delay the end.
		if left := settled(&coreDone, r.loop, drainLimit, absorbedLimit); left != "" {
			r.Log.Error("ending although not all has ended: what is kept on disk may be older than what was served",
				"left", left, "state", r.State)
		}
	}()
	defer stopCore()
	failed := make(chan error, 8)
	start := func(c *crew, what string, f func() error) {
		c.start(what, func() {
			if err := f(); err != nil && !errors.Is(err, context.Canceled) {
				select {
				case failed <- fmt.Errorf("%s: %w", what, err):
				default:
				}
			}
		})
	}
	start(&coreDone, "control loop", func() error {
		r.loop.Run(core)
		if r.keeper != nil {
			r.keeper.close()
			r.memory.close()
		}
		r.history.Close()
		return nil
	})
	if r.pages != nil {
		start(&partsDone, "loads", func() error { r.loads.run(parts, r); return nil })
	}
	start(&coreDone, "history", func() error { r.history.Run(); return nil })
	if r.pages != nil {
		start(&coreDone, "admin", func() error { return r.pages.serve(core) })
	}
	if r.keeper != nil {
		start(&coreDone, "state", func() error { r.keeper.run(); return nil })
		start(&coreDone, "verdicts", func() error { r.memory.run(); return nil })
	}
	start(&partsDone, "location databases", func() error { r.geo.Follow(parts, r.loop.Geo); return nil })
	start(&partsDone, "assigning", func() error { r.assigning(parts); return nil })
	if r.prober != nil {
		start(&partsDone, "probes", func() error { return r.prober.Run(parts) })
	}
	start(&partsDone, "hostnames", func() error { return r.names.Run(parts) })
	start(&partsDone, "source", func() error { return r.follow(parts, resumed) })
	if r.dns != nil && r.etcd != nil && r.CookieSecrets == "" {
		c := &cookieSharing{
			etcd: r.etcd.Within(cookieLimit), now: time.Now, use: r.answers.SetCookieSecrets,
			log: r.Log,
		}
		start(&partsDone, "cookie secrets", func() error { c.run(parts); return nil })
	}
	if r.follower != nil {
		start(&partsDone, "dnstap", func() error { r.follower.Run(parts); return nil })
	}
	if r.opened != nil {
		start(&partsDone, "failing open", func() error { r.opened.run(parts, r); return nil })
	}
	if r.serials != nil {
		start(&partsDone, "serials", func() error { r.serials.run(parts); return nil })
	}
	if r.keyring != nil {
		start(&partsDone, "keys", func() error { r.keyring.run(parts); return nil })
	}
	if r.edge != nil {
		start(&partsDone, "signatures received", func() error { r.edge.run(parts); return nil })
	}
	if r.signatory != nil {
		start(&partsDone, "signatures for others", func() error { r.signatory.run(parts); return nil })
	}
	if r.kept != nil {
		start(&partsDone, "signatures", func() error { r.epochs.run(parts); return nil })
		start(&partsDone, "signatures on disk", func() error { r.kept.run(parts, &r.epochs); return nil })
		start(&partsDone, "signatures ahead", func() error { r.epochs.ahead.run(parts); return nil })
	}
	if r.roller != nil {
		start(&partsDone, "rolls of keys", func() error { r.roller.run(parts); return nil })
	}
	if r.parents != nil {
		start(&partsDone, "parents", func() error { r.parents.run(parts); return nil })
	}
	if r.primary != nil {
		start(&partsDone, "transfers", func() error { r.primary.Run(parts); return nil })
		start(&partsDone, "zones of other primaries", func() error { r.secondary.Run(parts); return nil })
	}
	start(&partsDone, "notifying", func() error { notifier{r.Notify}.run(parts, r.ready); return nil })
	start(&partsDone, "reloading", func() error { r.reload(parts); return nil })
	start(&partsDone, "credentials", func() error { watchFiles(parts, credentialsEvery, r.credentials()); return nil })
	if r.etcd != nil {
		start(&partsDone, "compaction", func() error { r.etcd.Compact(parts, r.ID, r.Compact); return nil })
		start(&partsDone, "etcd's size", func() error { r.database.run(parts, r); return nil })
		start(&partsDone, "drills", func() error { r.drilled.run(parts, r.etcd.Cluster); return nil })
	}
	if r.link != nil {
		start(&partsDone, "reports", func() error { return r.link.Run(parts) })
		start(&partsDone, "others' reports", func() error { return r.link.Follow(parts, r.take) })
		start(&partsDone, "describing", func() error { r.describe(parts); return nil })
	}
	dnsDone := make(chan error, 1)
	dns, stopDNS := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDNS()
	if r.dns != nil {
		go func() {
			r.awaitFirst(dns)
			dnsDone <- r.dns.Serve(dns)
		}()
	}
	r.Log.Info("serving", "id", r.ID, "region", r.Region, "dns", r.running.DNS, "admin", r.running.Admin, "version",
		r.Version)
	if r.Started != nil {
		r.Started(r.running)
	}

	var err error
	select {
	case <-ctx.Done():
		r.Log.Info("stopping")
		r.history.Add(history.Event{Kind: history.Server, Of: []string{"server/" + r.ID}, Text: r.ID + " stopped"}, nil)
	case err = <-failed:
	case err = <-dnsDone:
		dnsDone <- nil
		if err == nil {
			err = errors.New("the DNS server ended by itself")
		}
	}
	stopParts()
	if left := partsDone.ended(drainLimit / 2); left != "" {
		r.Log.Warn("ending although not all has ended", "left", left)
	}
	if r.link != nil {
		limited, stop := context.WithTimeout(context.WithoutCancel(ctx), drainLimit/2)
		if err := r.link.Withdraw(limited); err != nil {
			r.Log.Warn("reports are not withdrawn; others will see them go stale", "err", err)
		}
		stop()
	}
	stopDNS()
	if r.dns != nil {
		err = errors.Join(err, <-dnsDone)
	}
	return err
}

// reload reads the files again each time it is asked to.
func (r *run) reload(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.Reload:
			r.Log.Info("reading files again")
			r.geo.Reload()
			r.readCookieSecrets() // only when asked: operators roll the secrets of all servers step by step
			for _, c := range r.credentials() {
				c.read()
			}
			if r.follower != nil {
				r.follower.Reopen()
			}
			if r.keyring != nil {
				r.keyring.look()
			}
			if r.roller != nil {
				r.roller.reload()
			}
			if r.parents != nil {
				r.parents.reload()
			}
			if r.files != nil {
				r.files.Reload()
			}
		}
	}
}
