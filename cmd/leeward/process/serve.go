// Package process is one whole server, probe or observer: what is started, in which order it stops, and all that a
// process has and the control loop does not: sockets, files, credentials, what is kept on disk, the admin interface.
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
	"leeward/zones/etcd"
	"leeward/zones/steer"
)

// Settings are a server's, or a probe's.
type Settings struct {
	ID, Region string
	Listen     []string // of DNS; none: a vantage without DNS
	Admin      string   // address of the admin interface; "": none
	Token      string   // that the admin interface asks for; "": none
	TokenFile  string   // the file that Token was read from; "": none. This and all other files of credentials are read again when they change
	AdminTLS   AdminTLS // of the admin interface
	ProbeTLS   ProbeTLS // what probes show
	GeoDB      []string
	Resolvers  []netip.AddrPort // that endpoints' hostnames are looked up with; none: the system's
	NoProbe    bool             // nothing is probed and reported; with Etcd, where others do
	State      string           // folder of the last good snapshot; "": it is not kept
	TSIGKeys   []string         // files of TSIG keys
	Version    string
	Chaos      answer.Chaos  // what class CH is told
	Log        *slog.Logger  // its writer must not block, see Journal
	Dropped    func() uint64 // lines of the log that were lost; nil: none are

	RateLimit     answer.RateLimit // of responses over UDP; the zero value is no limit
	CookieSecrets string           // file of the secrets of DNS cookies; "": shared through etcd, or random

	Files string        // folder of resources, in place of
	Etcd  *etcd.Options // an etcd

	Compact time.Duration // etcd is asked to forget what is older, at most twice that; 0: it is not

	Notify  string          // socket of the service manager (sd_notify); "": there is none
	Reload  <-chan struct{} // files are read again at each; may be nil
	Started func(Running)   // called once everything listens; may be nil
}

// Running is where a server that has started listens.
type Running struct {
	DNS   []netip.AddrPort
	Admin string // "" where there is none
}

// Serve runs a whole server, or a vantage without DNS where there is nothing to listen on, until the context ends; then
// it takes back what it has reported, answers what it has received, and stops. An error says why it could not start, or
// what failed.
func Serve(ctx context.Context, s Settings) error {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.NoProbe && s.Etcd == nil {
		return errors.New("a server that probes nothing needs an etcd, where others report")
	}
	r := &run{Settings: s, registry: prometheus.NewRegistry(), started: time.Now(), programs: make(chan *steer.Program, 1), first: make(chan struct{}), heardAll: make(chan struct{})}
	if s.Dropped != nil {
		r.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "leeward_log_dropped_total", Help: "Lines of the log that were lost, as nobody read them.",
		}, func() float64 { return float64(s.Dropped()) }))
	}
	r.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
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

// drainLimit is how long a server that stops waits for its core; for other parts, and for etcd, half as long each.
// absorbedLimit is how much of that it waits for a loop that has its hands full of something large: the copy on disk, or
// a list of all there is. It cannot be interrupted in that, and nothing of it is served or kept yet.
const (
	drainLimit    = 5 * time.Second
	absorbedLimit = 500 * time.Millisecond
)

// settled waits for the core, and returns what is left of it that had something to keep on disk.
func settled(core *crew, l *control.Loop, limit, absorbed time.Duration) (left string) {
	if left = core.ended(absorbed); left == "" || l.Absorbed() {
		return "" // the source has what is taken up, and the copy on disk is of before
	}
	return core.ended(limit - absorbed)
}

func (r *run) serve(ctx context.Context) error {
	if err := r.listen(); err != nil {
		return err
	}
	r.resume(ctx)

	// Parts stop in this order: probing and following, then DNS once what was reported is withdrawn, then the loop,
	// which keeps what is not on disk yet, and the pages.
	parts, stopParts := context.WithCancel(context.WithoutCancel(ctx))
	core, stopCore := context.WithCancel(context.WithoutCancel(ctx))
	var partsDone, coreDone crew
	defer func() {
		// A disk that hangs, under the copies that are kept, does not hold up the end.
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
		return nil
	})
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
	start(&partsDone, "source", func() error { return r.follow(parts) })
	if r.dns != nil && r.etcd != nil && r.CookieSecrets == "" {
		c := &cookieSharing{etcd: r.etcd.Within(cookieLimit), now: time.Now, use: r.answers.SetCookieSecrets, log: r.Log}
		start(&partsDone, "cookie secrets", func() error { c.run(parts); return nil })
	}
	if r.serials != nil {
		start(&partsDone, "serials", func() error { r.serials.run(parts); return nil })
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
	r.Log.Info("serving", "id", r.ID, "region", r.Region, "dns", r.running.DNS, "admin", r.running.Admin, "version", r.Version)
	if r.Started != nil {
		r.Started(r.running)
	}

	var err error
	select {
	case <-ctx.Done():
		r.Log.Info("stopping")
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

// reload reads files again when asked to.
func (r *run) reload(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.Reload:
			r.Log.Info("reading files again")
			r.geo.Reload()
			r.readCookieSecrets() // only now: all servers of a set are to roll them step by step
			for _, c := range r.credentials() {
				c.read()
			}
			if r.files != nil {
				r.files.Reload()
			}
		}
	}
}
