package store

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"leeward/zones/etcd"
	"leeward/zones/sourcetest"
)

// member is an etcd in this process.
type member struct {
	t      *testing.T
	config *embed.Config
	etcd   *embed.Etcd
}

// lastPort is where the search for a port goes on. It begins at a random place, so that test programs that run at the
// same time do not meet.
var lastPort atomic.Uint32

func init() { lastPort.Store(rand.Uint32N(12_000)) }

// freeURL returns a URL with a free port, below the range from which the kernel takes ports for clients and for
// listeners on port 0. So nobody else gets it before it is used, or while the member that uses it is down.
func freeURL(t *testing.T, scheme string) url.URL {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+lastPort.Add(1)%12_000))
		if err != nil {
			continue
		}
		defer l.Close()
		return url.URL{Scheme: scheme, Host: l.Addr().String()}
	}
	t.Fatal("no port is free")
	return url.URL{}
}

// startCluster starts n members that form one cluster.
func startCluster(t *testing.T, n int, adapt ...func(*embed.Config)) []*member {
	t.Helper()
	var initial []string
	var members []*member
	for i := range n {
		c := embed.NewConfig()
		c.Name = string(rune('a' + i))
		c.Dir = t.TempDir()
		c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		c.UnsafeNoFsync = true
		c.TickMs, c.ElectionMs = 20, 200
		c.ListenClientUrls = []url.URL{freeURL(t, "http")}
		c.ListenPeerUrls = []url.URL{freeURL(t, "http")}
		for _, a := range adapt {
			a(c)
		}
		c.AdvertiseClientUrls, c.AdvertisePeerUrls = c.ListenClientUrls, c.ListenPeerUrls
		initial = append(initial, c.Name+"="+c.AdvertisePeerUrls[0].String())
		members = append(members, &member{t: t, config: c})
	}
	for _, m := range members {
		m.config.InitialCluster = strings.Join(initial, ",")
		m.start()
	}
	for _, m := range members {
		m.ready()
	}
	return members
}

// patient lets a lone member wait 25 s for a transaction with -race, since the largest take long on a busy machine.
// etcd itself waits for 5 s and two elections.
func patient(c *embed.Config) {
	if slower > 1 {
		c.ElectionMs = 10_000
	}
}

func startMember(t *testing.T) *member { return startCluster(t, 1)[0] }

func (m *member) start() {
	m.t.Helper()
	c := *m.config
	e, err := embed.StartEtcd(&c)
	if err != nil {
		m.t.Fatal(err)
	}
	m.etcd = e
	m.t.Cleanup(func() {
		if m.etcd == e {
			e.Close()
		}
	})
}

func (m *member) ready() {
	m.t.Helper()
	select {
	case <-m.etcd.Server.ReadyNotify():
	case <-time.After(sourcetest.Patience):
		m.t.Fatal("etcd does not become ready")
	}
}

// warm waits until the member has started everything with which it answers clients.
func (m *member) warm() {
	m.t.Helper()
	c, err := clientv3.NewFromURL(m.url())
	if err != nil {
		m.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Get(m.t.Context(), "x"); err != nil {
		m.t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport}).Get(m.url() + "/version")
	if err != nil {
		m.t.Fatal(err)
	}
	r.Body.Close()
}

// kill stops the member without a word to the others. Its data stay.
func (m *member) kill() {
	m.etcd.Server.HardStop()
	m.etcd.Close()
	m.etcd = nil
}

func (m *member) leads() bool { return m.etcd.Server.Leader() == m.etcd.Server.MemberID() }

func (m *member) url() string { return m.config.ListenClientUrls[0].String() }

func urls(members []*member) []string {
	var all []string
	for _, m := range members {
		all = append(all, m.url())
	}
	return all
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// dial opens a store with short deadlines.
func dial(t *testing.T, adapt func(*etcd.Options), endpoints ...string) *Store {
	t.Helper()
	o := etcd.Options{
		Endpoints: endpoints, Log: quiet(), Timeout: testTimeout,
		Silence: 2 * time.Second, Dice: func() float64 { return 0 },
	}
	if adapt != nil {
		adapt(&o)
	}
	e, err := Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func put(t *testing.T, e *Store, key, value string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sourcetest.Patience)
	defer cancel()
	for {
		r, err := e.Client.Put(ctx, e.Prefix()+key, value)
		if err == nil {
			return r.Header.Revision
		}
		if ctx.Err() != nil {
			t.Fatalf("put %s: %v", key, err)
		}
	}
}

func del(t *testing.T, e *Store, key string, o ...clientv3.OpOption) int64 {
	t.Helper()
	r, err := e.Client.Delete(t.Context(), e.Prefix()+key, o...)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

// proxy passes TCP on, and can fall silent: connections stay open, and nothing comes through.
type proxy struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	cond   *sync.Cond
	silent bool
	most   int // octets that the target may send over one connection since it was set; 0: any number
	stuck  int // connections that have reached that
	conns  []net.Conn
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: strings.TrimPrefix(target, "http://")}
	p.cond = sync.NewCond(&p.mu)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.silent, p.most = false, 0
		p.cond.Broadcast()
		for _, c := range p.conns {
			c.Close()
		}
	})
	return p
}

func (p *proxy) url() string { return "http://" + p.listener.Addr().String() }

func (p *proxy) silence(silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = silent
	p.cond.Broadcast()
}

// jam lets each connection carry that many more octets from the target, and then nothing.
func (p *proxy) jam(most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = most
	p.cond.Broadcast()
}

// jammed waits until a connection has carried all that it may.
func (p *proxy) jammed(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		stuck := p.stuck
		p.mu.Unlock()
		if stuck > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("no connection is jammed")
		}
	}
}

func (p *proxy) pass(in net.Conn) {
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		in.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, in, out)
	p.mu.Unlock()
	copying := func(to, from net.Conn) {
		defer to.Close()
		sent := 0
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			p.mu.Lock()
			if p.most > 0 && from == out {
				sent += n
			}
			for p.silent || p.most > 0 && sent > p.most {
				p.stuck++
				p.cond.Wait()
				p.stuck--
			}
			p.mu.Unlock()
			if n > 0 {
				if _, err := to.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
	go copying(in, out)
	copying(out, in)
}
