package vantage

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"leeward/health"
	"leeward/zones/etcd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// member is a real etcd of one member on loopback, which can be stopped and started again on the same folder and ports.
type member struct {
	t            *testing.T
	folder       string
	client, peer url.URL
	server       *embed.Etcd
}

func startEtcd(t *testing.T) *member {
	e := &member{t: t, folder: t.TempDir(), client: freeURL(t), peer: freeURL(t)}
	e.start()
	t.Cleanup(e.stop)
	return e
}

// lastPort is where the search for a port goes on. It begins at a random place, so that test programs that run at the
// same time do not meet.
var lastPort atomic.Uint32

func init() { lastPort.Store(rand.Uint32N(12_000)) }

// freeURL returns a URL with a free port, below the range from which the kernel takes ports for clients and for
// listeners on port 0. So nobody else gets it before it is used, or while the etcd that uses it is down.
func freeURL(t *testing.T) url.URL {
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+lastPort.Add(1)%12_000))
		if err != nil {
			continue
		}
		defer l.Close()
		return url.URL{Scheme: "http", Host: l.Addr().String()}
	}
	t.Fatal("no port is free")
	return url.URL{}
}

func (e *member) start() {
	e.t.Helper()
	c := embed.NewConfig()
	c.Dir = e.folder
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{e.client}, []url.URL{e.client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{e.peer}, []url.URL{e.peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.UnsafeNoFsync = true
	c.TickMs, c.ElectionMs = 10, 100
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	server, err := embed.StartEtcd(c)
	if err != nil {
		e.t.Fatal(err)
	}
	e.server = server
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		e.t.Fatal("etcd does not start")
	}
}

func (e *member) stop() {
	if e.server != nil {
		e.server.Close()
		e.server = nil
	}
}

func (e *member) dial() *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{"http://" + e.client.Host}, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithDisableServiceConfig()},
	})
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { client.Close() })
	return client
}

// cluster dials an etcd as a Link does.
func cluster(t *testing.T, change func(*etcd.Options), endpoints ...string) *etcd.Cluster {
	t.Helper()
	o := etcd.Options{Endpoints: endpoints, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	c, err := etcd.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// wire passes connections on to etcd. Once cut, it keeps open connections and passes on nothing more of them, like a
// firewall that has lost its state. New ones work.
type wire struct {
	listener net.Listener
	cut      chan struct{}
	mu       sync.Mutex
}

func (e *member) wire() *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.t.Fatal(err)
	}
	w := &wire{listener: l, cut: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	e.t.Cleanup(func() {
		l.Close()
		cancel()
		running.Wait()
	})
	running.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", e.client.Host)
			if err != nil {
				near.Close()
				continue
			}
			w.mu.Lock()
			cut := w.cut
			w.mu.Unlock()
			running.Go(func() { pass(ctx, cut, near, far) })
			running.Go(func() { pass(ctx, cut, far, near) })
		}
	})
	return w
}

// pass copies until the wire is cut. Then it keeps both ends open until the test ends.
func pass(ctx context.Context, cut <-chan struct{}, from, to net.Conn) {
	stop := context.AfterFunc(ctx, func() { from.Close(); to.Close() })
	defer stop()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		select {
		case <-cut:
			<-ctx.Done()
			return
		default:
		}
		if _, werr := to.Write(buffer[:n]); err != nil || werr != nil {
			from.Close()
			to.Close()
			return
		}
	}
}

func (w *wire) breakAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.cut)
	w.cut = make(chan struct{})
}

// link is a Link that runs and follows until the test ends, with the events it has received.
type link struct {
	*Link
	t        *testing.T
	registry *prometheus.Registry
	events   chan Event
	board    *health.Board // all events up to the last one awaited
	stop     func()        // as a crash would: nothing is withdrawn
}

func (e *member) link(id string, change ...func(*Options)) *link {
	e.t.Helper()
	k := &link{t: e.t, registry: prometheus.NewRegistry(), events: make(chan Event, 100_000), board: health.NewBoard()}
	o := Options{ID: id, Region: "eu", Registerer: k.registry, Every: 100 * time.Millisecond, Stale: 10 * time.Second}
	for _, f := range change {
		f(&o)
	}
	if o.Etcd == nil {
		o.Etcd = cluster(e.t, nil, e.client.Host)
	}
	var err error
	if k.Link, err = New(o); err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- k.Run(ctx) }()
	go func() {
		done <- k.Follow(ctx, func(all []Event) {
			for _, ev := range all {
				k.events <- ev
			}
		})
	}()
	stopped := false
	k.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				e.t.Error(err)
			}
		}
	}
	e.t.Cleanup(k.stop)
	return k
}

// await applies events to the board until an event, with the board, is as wanted.
func (k *link) await(what string, wanted func(Event) bool) Event {
	k.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case ev := <-k.events:
			ev.Apply(k.board, time.Now())
			k.board.Judge(time.Now())
			if wanted(ev) {
				return ev
			}
		case <-deadline:
			k.t.Fatalf("waited in vain for %s; the link is %+v", what, k.Status())
		}
	}
}

func (k *link) awaitState(target health.Target, s health.State) {
	k.t.Helper()
	if k.board.State(target) == s {
		return
	}
	k.await(target.Endpoint+" "+s.String(), func(Event) bool { return k.board.State(target) == s })
}

func put(t *testing.T, c *clientv3.Client, key, value string) int64 {
	t.Helper()
	r, err := c.Put(context.Background(), key, value)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

func get(t *testing.T, c *clientv3.Client, key string) string {
	t.Helper()
	r, err := c.Get(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Kvs) == 0 {
		return ""
	}
	return string(r.Kvs[0].Value)
}
