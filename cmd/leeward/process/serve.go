// Package process is one whole server, probe or observer: what is started, in which order it stops, and all that a
// process has and the control loop does not: sockets, files, credentials, what is kept on disk, the admin interface.
package process

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"leeward/cmd/leeward/control"
	"leeward/geo"
	"leeward/health/probe"
	"leeward/health/resolve"
	"leeward/health/vantage"
	"leeward/server"
	"leeward/server/transfer"
	"leeward/zones"
	"leeward/zones/etcd"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
	"leeward/zones/store"
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
	Chaos      server.Chaos  // what class CH is told
	Log        *slog.Logger  // its writer must not block, see Journal
	Dropped    func() uint64 // lines of the log that were lost; nil: none are

	RateLimit     server.RateLimit // of responses over UDP; the zero value is no limit
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

// run is a server's parts.
type run struct {
	Settings
	registry *prometheus.Registry
	started  time.Time
	starting context.Context // ends what the start reads

	loop        *control.Loop
	geo         *geo.Watcher
	dns         *server.Server      // nil: none
	desk        *transfer.Desk      // transfers; nil: none
	secondary   *transfer.Secondary // of the zones that live elsewhere; with desk
	strange     atomic.Bool         // etcd has another history than the one in service
	prober      *probe.Prober       // nil: nothing is probed here
	names       *resolve.Resolver
	looked      atomic.Bool   // hostnames have been looked up once, and targets probed
	assigned    atomic.Bool   // the prober knows its targets
	etcd        *store.Etcd   // nil: files
	link        *vantage.Link // with etcd
	database    database
	drilled     *drilled
	bystanders  bystanders
	files       *store.Files
	keeper      *keeper       // nil: nothing is kept
	memory      *memory       // with keeper
	serials     *serialKeeper // nil: there is nowhere to keep them
	metrics     *control.Metrics
	heard       atomic.Pointer[time.Time] // when the watch on the resources said something last; nil: never
	lags        []lag
	pages       *pages // nil: none
	shownStatus shownStatus
	reached     reached
	token       token
	shown       atomic.Pointer[tls.Certificate] // that probes show; nil: none
	reading     sync.Mutex                      // of credentials
	running     Running

	programs chan *steer.Program // at most one waits, the newest
	firstly  sync.Once
	first    chan struct{} // closed when there is something to answer from

	heardOnce sync.Once
	heardAll  chan struct{} // closed when all that the vantages have written has been read once
}

// assemble makes the parts; nothing listens and nothing runs yet.
func (r *run) assemble() error {
	var err error
	if r.geo, err = geo.NewWatcher(r.GeoDB, r.State, r.Log); r.geo == nil {
		return err
	} else if err != nil {
		r.Log.Error("location databases: going on without these until they can be read", "err", err)
	}
	if len(r.Listen) > 0 {
		if err := r.openDesk(); err != nil {
			return err
		}
		updates, err := r.updates()
		if err != nil {
			return err
		}
		connections := r.shares().tcp
		if connections < server.DefaultConnections {
			r.Log.Warn("few file descriptors: fewer TCP connections of clients are open at once", "limit", descriptorLimit(), "connections", connections)
		}
		r.dns, err = server.New(server.Options{
			TCP:    server.TCPLimits{Connections: connections},
			Listen: r.Listen, ID: r.ID, Chaos: r.Chaos, Log: r.Log, Registerer: r.registry, RateLimit: r.RateLimit, Special: r.desk.Handle(updates),
		})
		if err != nil {
			return err
		}
		if r.CookieSecrets != "" {
			secrets, err := CookieSecretFile(r.CookieSecrets)
			if err != nil {
				return fmt.Errorf("cookie secrets: %w", err)
			}
			if err := r.dns.SetCookieSecrets(secrets...); err != nil {
				return err
			}
		} else if r.Etcd == nil {
			r.Log.Info("the secret of DNS cookies is random: other servers do not accept this one's cookies, nor does this one after a restart")
		}
	}
	if r.metrics, err = control.NewMetrics(r.registry, r.Version, time.Now); err != nil {
		return err
	}
	if err := r.openProber(); err != nil {
		return err
	}
	r.names, err = resolve.New(resolve.Options{
		Servers: r.Resolvers, State: r.State, Log: r.Log, Registerer: r.registry,
		OnAnswer: func(a resolve.Answer) { r.loop.Resolved(a) },
	})
	if err != nil {
		return err
	}
	if err := r.source(); err != nil {
		return err
	}
	o := control.LoopOptions{
		Log: r.Log, Now: time.Now, Geo: r.geo.Table(), Sources: r.geo.Sources, Metrics: r.metrics, Own: r.ID, Region: r.Region,
		Publish: func(server.State) {}, Assign: r.assign, Names: r.names.Answer, Pace: paceHeap,
	}
	if r.dns != nil {
		o.Publish = func(s server.State) {
			r.dns.Publish(s)
			r.desk.Publish(s)
			r.reached.set(s.Snapshot.Revision())
			r.firstly.Do(func() { close(r.first) })
		}
		o.Follow = r.secondary.Assign
	}
	if r.link != nil {
		o.Fleet, o.Measure, o.Unmeasure = true, r.link.Measure, r.link.Unmeasure
	}
	if r.dns != nil && r.etcd != nil {
		r.serials = newSerialKeeper(r.etcd.KeepSerials, r.Log, rand.Float64)
		o.Owed = r.serials.owes
	}
	if r.State != "" {
		r.keeper = newKeeper(r.State, r.Log, time.Now)
		r.keeper.trial()
		if err := r.registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "leeward_state_failing", Help: "1 where the last good snapshot could not be kept on disk.",
		}, func() float64 {
			if r.keeper.trouble() != nil || r.memory.trouble() != nil {
				return 1
			}
			return 0
		})); err != nil {
			return err
		}
		o.Keep = r.keeper.keep
		r.memory = newMemory(r.State, r.Log)
		if r.prober != nil {
			r.memory.add = r.prober.Remember
		}
		past, err := loadVerdicts(r.State)
		if err != nil {
			r.Log.Warn("what was down before this start is not known: everything counts as up until it is probed", "err", err)
		}
		if past != nil && r.prober != nil {
			r.prober.Recall(past)
		}
		o.Past, o.Recall = past, r.memory.keep
	}
	if r.NoProbe {
		o.Own = "" // no vantage is this process
	}
	r.loop = control.NewLoop(o)
	for _, a := range r.names.Kept() { // before the first answers are given
		r.loop.Resolved(a)
	}
	return nil
}

func (r *run) close() {
	if r.etcd != nil {
		r.etcd.Close()
	}
}

// probesWait is how long a server that starts waits for the first round of its probes before it is ready: with many
// targets, or long timeouts, that takes longer, and what it knows from before the start is then good enough.
const probesWait = 10 * time.Second

// primariesWait is how long a server that starts waits for primaries of zones before it is ready: others may be gone
// for good.
const primariesWait = 10 * time.Second

// ready returns nil once queries can be answered: from a snapshot, and, at the start, when the hostnames of its
// endpoints have been looked up once, their addresses probed once, and the primaries of zones that live elsewhere been
// asked once. Those that come later are no reason to be taken out of service.
func (r *run) ready() error {
	if err := r.loop.Ready(); err != nil || r.looked.Load() {
		return err
	}
	for _, name := range r.loop.State().Snapshot.Program().Hostnames() {
		if !r.names.Tried(name) {
			return fmt.Errorf("hostnames of endpoints are being looked up, such as %s", name)
		}
	}
	if r.secondary != nil && time.Since(r.started) < primariesWait {
		var left []string
		r.loop.State().Snapshot.EachZone(func(z *snapshot.Zone) bool {
			if origin := zones.NameText(z.Origin()); z.Elsewhere() && !r.secondary.Tried(origin) {
				left = append(left, origin)
			}
			return left == nil
		})
		if left != nil {
			return fmt.Errorf("zones are being transferred from their primaries, such as %s", left[0])
		}
	}
	if time.Since(r.started) < probesWait {
		if !r.assigned.Load() {
			return errors.New("endpoints are about to be probed")
		}
		if r.prober == nil {
			if r.link.Heard().IsZero() {
				return errors.New("what vantages report is being read")
			}
		} else if left, such := r.prober.Untried(); left > 0 {
			return fmt.Errorf("endpoints are being probed, %d are left, such as %s at %s", left, such.Endpoint, such.Address)
		}
	}
	r.looked.Store(true)
	return nil
}

// assignShare bounds what following a flood of changes costs: assigning takes at most one part in assignShare of the
// time. It looks at all targets, of which there may be 100,000, and is in no hurry: answers do not wait for it.
const (
	assignShare = 10
	assignRest  = 5 * time.Second // and it rests no longer than that, however long it took on a busy machine
)

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
		c := &cookieSharing{etcd: r.etcd.Within(cookieLimit), now: time.Now, use: r.dns.SetCookieSecrets, log: r.Log}
		start(&partsDone, "cookie secrets", func() error { c.run(parts); return nil })
	}
	if r.serials != nil {
		start(&partsDone, "serials", func() error { r.serials.run(parts); return nil })
	}
	if r.desk != nil {
		start(&partsDone, "transfers", func() error { r.desk.Run(parts); return nil })
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

// firstWait is for how long queries that come before there is a snapshot, and the zones of other primaries that are on
// disk, are left in the sockets' buffers, which are bound by then. The copies on disk take milliseconds, as does an
// etcd that is there, and the queries are then answered; without either they get their SERVFAIL, so that resolvers go
// elsewhere.
//
// heardWait is for how long they are left there until what the vantages say has been read too. An endpoint that died
// while this server was down is up in the copy on disk, and the others know better. An etcd that is there tells within
// some 50 ms; without one the copy on disk is the best there is.
const (
	firstWait = time.Second
	heardWait = 300 * time.Millisecond
)

func (r *run) awaitFirst(ctx context.Context) {
	limited, stop := context.WithTimeout(ctx, firstWait)
	defer stop()
	heard := time.After(heardWait)
	select {
	case <-r.first:
	case <-limited.Done():
		return
	}
	r.secondary.Resumed(limited)
	if r.link != nil {
		select {
		case <-r.heardAll:
		case <-heard:
			r.Log.Warn("answering although what vantages report has not been read yet", "after", heardWait)
		case <-limited.Done():
		}
	}
	_ = r.loop.Do(limited, func(control.Inside) {}) // what has been handed over is published by then
}

// take hands over what a vantage has written.
func (r *run) take(e vantage.Event) {
	r.loop.Event(e)
	if e.Synced {
		r.heardOnce.Do(func() { close(r.heardAll) })
	}
}

// listen binds DNS and the admin interface.
func (r *run) listen() error {
	if r.Admin != "" {
		var err error
		if r.pages, err = r.openPages(); err != nil {
			return err
		}
		r.running.Admin = r.pages.address()
	}
	if r.dns == nil {
		return nil
	}
	if err := r.dns.Bind(); err != nil {
		if r.pages != nil {
			r.pages.listener.Close()
		}
		return err
	}
	r.running.DNS = r.dns.Addrs()
	return nil
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

// describeEvery is how often a server looks whether what it says of itself has changed: not at each revision, lest a
// flood of changes become a flood of writes.
const describeEvery = 500 * time.Millisecond
