package process

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/cmd/leeward/control"
	"leeward/server/admin"
	"leeward/server/answer"
	"leeward/server/console"
)

// pages are the admin interface: a listener and an HTTP server.
type pages struct {
	listener net.Listener
	http     *http.Server
	tls      *adminTLS // nil: plain HTTP
}

// CheckAdmin returns an error if the admin interface may not listen on address. An address that is not loopback needs a
// token or clients' certificates.
func CheckAdmin(address, token string, t AdminTLS) error {
	if err := t.Check(); err != nil || address == "" {
		return err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("admin address %q: %w; write it as 127.0.0.1:8053", address, err)
	}
	if token != "" || t.ClientCA != "" || host == "localhost" {
		return nil
	}
	if a, err := netip.ParseAddr(host); err == nil && a.IsLoopback() {
		return nil
	}
	return fmt.Errorf("admin address %s is not loopback: everybody who reaches it could read; give --admin-token-file "+
		"(or --admin-token), or ask for clients' certificates with --admin-client-ca", address)
}

// CheckAdminURL returns an error unless text says where an admin interface is reached: http:// or https://, a host, and
// a port if it is not the default one of the scheme.
func CheckAdminURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	web := err == nil && (u.Scheme == "http" || u.Scheme == "https")
	if web && u.Hostname() != "" && text == u.Scheme+"://"+u.Host {
		return nil
	}
	return fmt.Errorf("%q does not say where the admin interface is reached; write it as https://ns1.example.net or "+
		"http://10.0.0.1:8053, without a path or a user", text)
}

// openPages binds the admin interface.
func (r *run) openPages() (*pages, error) {
	if err := CheckAdmin(r.Admin, r.Token, r.AdminTLS); err != nil {
		return nil, err
	}
	var secure *adminTLS
	if r.AdminTLS.Cert != "" {
		var err error
		if secure, err = openAdminTLS(r.AdminTLS); err != nil {
			return nil, err
		}
		r.presented(useAdmin, "admin interface", r.AdminTLS.Cert, secure.certificate(), nil)
	}
	r.token.now.Store(&r.Token)
	l, err := net.Listen("tcp", r.Admin)
	if err != nil {
		return nil, fmt.Errorf("admin interface: %w; give another address with --admin", err)
	}
	r.loads = newLoads()
	c := newCrowd(l, r.shares().admin)
	stopped := make(chan struct{})
	metrics := prometheus.Gatherer(r.registry)
	if r.MetricsDetail {
		metrics = detail{r.registry, r}
	}
	o := admin.Options{
		Metrics: metrics, Token: r.token.get, Log: r.Log, Status: r.status, Ready: r.ready,
		PoolsOf: func(name string) []string { return control.PoolsOf(r.loop.State(), name) },
		Explain: func(name, qtype, client string) (*answer.Explanation, error) {
			ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
			defer stop()
			e, err := r.loop.Explain(ctx, name, qtype, client)
			if e != nil {
				e.Server = r.ID
			}
			return e, err
		},
		ExplainAt: r.explainAt,
		History:   r.past, Changes: r.revised,
		TLS: secure != nil, ClientCert: r.AdminTLS.ClientCA != "", URL: r.AdminURL,
	}
	var poolCounts func(most int) *answer.Counts
	if r.answers != nil {
		o.Counts, o.Top, poolCounts = r.answers.Counts, r.answers.Top, r.answers.PoolCounts
	}
	var drills func(context.Context) ([]console.Drill, error)
	if r.Drills != nil && r.etcd != nil {
		drills = func(ctx context.Context) ([]console.Drill, error) { return r.Drills(ctx, r.etcd.Cluster) }
	}
	o.Pages = console.New(console.Options{
		Drills: drills, Loads: r.loads.course,
		Counts: o.Counts, PoolCounts: poolCounts,
		Simulate: r.simulate,
		ID:       r.ID, Region: r.Region, TLS: secure != nil, Log: r.Log,
		Admin: cmp.Or(r.AdminURL, l.Addr().String()), Files: r.Etcd == nil,
		Status: r.status, Explain: o.Explain, ExplainAt: r.explainAt, State: r.loop.State, History: r.past,
		Changes: &r.changes, Streams: max(1, r.shares().admin/4), Waits: c.waits, Stopped: stopped,
	})
	l = c
	if secure != nil {
		l = tls.NewListener(l, secure.config())
	}
	s := &http.Server{
		Handler: c.handler(admin.NewHandler(o)), ConnContext: c.known,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
		// Anybody can fail a TLS handshake, and the client is told. So it deserves no more than a debug line.
		ErrorLog: slog.NewLogLogger(r.Log.Handler(), slog.LevelDebug),
	}
	s.RegisterOnShutdown(func() { close(stopped) })
	return &pages{l, s, secure}, nil
}

func (p *pages) address() string { return p.listener.Addr().String() }

// serve answers until the context ends.
func (p *pages) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if p.http.Shutdown(limited) != nil {
			p.http.Close()
		}
	})
	defer stop()
	if err := p.http.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// shownFor is how long one status is shown to everybody who asks.
const shownFor = 100 * time.Millisecond

// shownStatus is the last status. All who ask within shownFor share it, so a page that many people watch costs no more
// than one that a single person watches. A status does not change once it is made.
type shownStatus struct {
	mu     sync.Mutex // held while a status is made: others wait and get the same one
	at     time.Time
	status *admin.Status
}

func (x *shownStatus) get(make func() (*admin.Status, error)) (*admin.Status, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.status != nil && time.Since(x.at) < shownFor {
		return x.status, nil
	}
	s, err := make()
	if err == nil {
		x.status, x.at = s, time.Now()
	}
	return s, err
}

// status describes what the server knows, itself included.
func (r *run) status(ctx context.Context) (*admin.Status, error) {
	ctx, stop := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("the server is busy: no status within 10 s"))
	defer stop()
	return r.shownStatus.get(func() (*admin.Status, error) { return r.gather(ctx) })
}

// gather makes a status. The loop only copies what it knows.
func (r *run) gather(ctx context.Context) (*admin.Status, error) {
	var summary *control.Summary
	var self admin.Server
	now := time.Now()
	if err := r.loop.Do(ctx, func(i control.Inside) { summary, self = i.Summary(now), r.self(i) }); err != nil {
		return nil, err
	}
	s := summary.Status()
	r.database.tell(s)
	if r.link != nil {
		if text := r.link.Status().Problem; text != "" {
			s.Problems = append(s.Problems,
				admin.Problem{Resource: r.resource(), InService: admin.InServiceNewest, Message: text})
		}
	}
	s.Problems = append(s.Problems, r.renewals.problems(r.resource(), now)...)
	s.Failover, s.Watches = r.metrics.Failovers(), watches(r.lags, now)
	if r.dns != nil {
		s.Self, s.Secondaries = r.ID, r.secondaries()
		s.Following = r.following()
		self.Asked = r.answers.Asked(control.AskedShown)
	}
	if r.dns != nil || r.Sign {
		s.AddServer(self)
		if s.Signing = r.epochs.signings(nil); r.parents != nil && s.Signing != nil {
			r.parents.says(s.Signing.List)
		}
	}
	r.bystanders.tell(ctx, s)
	s.Elsewhere()
	s.Headline = s.Say()
	return s, nil
}
