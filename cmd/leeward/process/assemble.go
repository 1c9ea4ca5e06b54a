package process

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/cmd/leeward/control"
	"leeward/geo"
	"leeward/health/probe"
	"leeward/health/resolve"
	"leeward/health/vantage"
	"leeward/server/answer"
	"leeward/server/console"
	"leeward/server/dnstap"
	"leeward/server/history"
	"leeward/server/socket"
	"leeward/server/transfer"
	"leeward/zones/folder"
	"leeward/zones/steer"
	"leeward/zones/store"
)

// run holds a server's parts.
type run struct {
	Settings
	registry *prometheus.Registry
	started  time.Time
	starting context.Context // ends reading at the start

	loop        *control.Loop
	geo         *geo.Watcher
	answers     *answer.Responder   // nil: no DNS is served
	dns         *socket.Server      // with answers
	primary     *transfer.Primary   // answers transfers; nil: no DNS is served
	keyring     *keyring            // nil: no zone is signed here, or the keys are elsewhere
	roller      *roller             // nil: there are no keys in etcd to roll
	parents     *parents            // with keyring
	signatory   *signatory          // with Sign
	edge        *edge               // with Edge
	epochs      epochs              // with kept
	kept        *kept               // with answers or signatory
	secondary   *transfer.Secondary // transfers zones that live on other primaries; with primary
	strange     atomic.Bool         // etcd has another history than the one in service
	prober      *probe.Prober       // nil: this process does not probe
	names       *resolve.Resolver
	looked      atomic.Bool   // the server has been ready at least once
	assigned    atomic.Bool   // the prober knows its targets
	etcd        *store.Store  // nil: the resources are files
	link        *vantage.Link // with etcd
	database    database
	drilled     *drilled
	opened      *opened // watches which policies have no pool
	bystanders  bystanders
	files       *folder.Folder // nil: the resources are in etcd
	keeper      *keeper        // nil: nothing is kept
	memory      *memory        // with keeper
	history     *history.Journal
	recalling   sync.Mutex    // held while an answer of the past is explained
	serials     *serialKeeper // nil: there is no etcd to keep them
	metrics     *control.Metrics
	heard       atomic.Pointer[time.Time] // when the watch on the resources last said something; nil: never
	lags        []lag
	pages       *pages // nil: none
	shownStatus shownStatus
	loads       *loads          // nil: there are no pages
	changes     console.Changes // for those who look at pages
	reached     reached
	token       token
	shown       atomic.Pointer[tls.Certificate] // certificate that probes present; nil: none
	reading     sync.Mutex                      // held while credentials are read
	renewals    renewals
	running     Running

	programs chan *steer.Program // the newest, until assigning takes it
	firstly  sync.Once
	first    chan struct{} // closed at the first snapshot

	follower *dnstap.Follower // nil: queries are not followed

	heardOnce sync.Once
	heardAll  chan struct{} // closed when everything that the vantages had written has been read
}

// assemble makes the parts. Nothing listens and nothing runs yet.
func (r *run) assemble() error {
	if err := r.registry.Register(&r.renewals); err != nil {
		return err
	}
	if r.Etcd != nil && r.Etcd.TLS.Cert != "" {
		r.readEtcdCertificate()
	}
	var err error
	if r.Edge && len(r.Listen) > 0 {
		own := r.clock()
		r.edge = &edge{own: own}
		r.Clock = r.edge.clock
	}
	if r.geo, err = geo.NewWatcher(r.GeoDB, r.State, r.Log); r.geo == nil {
		return err
	} else if err != nil {
		r.Log.Error("location databases: going on without these until they can be read", "err", err)
	}
	if len(r.Listen) > 0 {
		if err := r.openTransfer(); err != nil {
			return err
		}
		updates, err := r.updates()
		if err != nil {
			return err
		}
		connections := r.shares().tcp
		if connections < socket.DefaultConnections {
			r.Log.Warn("few file descriptors: fewer TCP connections of clients are open at once",
				"limit", descriptorLimit(), "connections", connections)
		}
		tap, err := r.openTap()
		if err != nil {
			return err
		}
		r.answers, err = answer.New(answer.Options{
			ID: r.ID, Chaos: r.Chaos, Tap: tap, CountTop: r.CountTop,
			Log: r.Log, Registerer: r.registry, RateLimit: r.RateLimit,
			Handlers: answer.Handlers{
				Transfer: r.primary.Serve, Notify: r.primary.Notified, Update: updates.Handle, Keys: r.primary.Keys,
			},
		})
		if err != nil {
			return err
		}
		r.dns, err = socket.New(socket.Options{
			TCP: socket.TCPLimits{Connections: connections}, Listen: r.Listen, Log: r.Log, Registerer: r.registry,
		}, r.answers)
		if err != nil {
			return err
		}
		if r.CookieSecrets != "" {
			secrets, err := CookieSecretFile(r.CookieSecrets)
			if err != nil {
				return fmt.Errorf("cookie secrets: %w", err)
			}
			if err := r.answers.SetCookieSecrets(secrets...); err != nil {
				return err
			}
		} else if r.Etcd == nil {
			r.Log.Info("the secret of DNS cookies is random: other servers do not accept this one's cookies, " +
				"nor does this one after a restart")
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
		Log: r.Log, Now: time.Now, Clock: r.clock(), Geo: r.geo.Table(), Sources: r.geo.Sources,
		Metrics: r.metrics, Own: r.ID,
		Region: r.Region, CountCountries: r.CountCountries,
		Publish: func(answer.State) { r.changes.Published() }, Assign: r.assign, Names: r.names.Answer, Pace: paceHeap,
	}
	if r.dns != nil || r.Sign {
		if err := r.openSigning(&o); err != nil {
			return err
		}
	}
	if r.dns != nil {
		r.opened = newOpened()
		if err := r.registry.Register(r.opened); err != nil {
			return err
		}
		o.Publish = func(s answer.State) {
			r.answers.Publish(s)
			r.primary.Publish(s)
			r.epochs.snapshot.Store(s.Snapshot)
			r.epochs.ahead.publish(s)
			r.reached.set(r.edge.reached(s.Snapshot.Revision()))
			r.firstly.Do(func() { close(r.first) })
			r.opened.published()
			r.changes.Published()
		}
		o.Follow = r.secondary.Assign
	}
	r.roller = newRoller(r)
	if r.parents, err = newParents(r); err != nil {
		return err
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
			Name: "leeward_state_failing", Help: "1 if the last good snapshot could not be kept on disk.",
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
			r.Log.Warn("what was down before this start is not known: everything counts as up until it is probed",
				"err", err)
		}
		if past != nil && r.prober != nil {
			r.prober.Recall(past)
		}
		o.Past, o.Recall = past, r.memory.keep
	}
	if r.NoProbe {
		o.Own = "" // this process is not a vantage
	}
	r.openHistory()
	o.Happened = r.history.Add
	r.loop = control.NewLoop(o)
	if r.keyring != nil {
		r.keyring.start()
	}
	if r.edge != nil {
		r.edge.start()
	}
	for _, a := range r.names.Kept() { // they are in place before the first answer
		r.loop.Resolved(a)
	}
	return nil
}

func (r *run) close() {
	if r.etcd != nil {
		r.etcd.Close()
	}
}
