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
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"leeward/zones"
	"leeward/zones/etcd"
)

// patience is how long a test waits for what must happen; nothing is judged by time.
const patience = 60 * time.Second

// member is an etcd in this process.
type member struct {
	t      *testing.T
	config *embed.Config
	etcd   *embed.Etcd
}

// lastPort is where the search for a port goes on. It begins anywhere, so that test programs that run at once are
// apart.
var lastPort atomic.Uint32

func init() { lastPort.Store(rand.Uint32N(12_000)) }

// freeURL has a port that is free, below the range from which the kernel takes those of clients and of who listens on
// port 0: nobody is given it before it is used, or while the member that uses it is down.
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

// startCluster starts n members that are one cluster.
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
	case <-time.After(patience):
		m.t.Fatal("etcd does not become ready")
	}
}

// warm waits until the member has started all that it answers clients with.
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

// kill stops the member without a word to the others; its data stay.
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
func dial(t *testing.T, adapt func(*etcd.Options), endpoints ...string) *Etcd {
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

func put(t *testing.T, e *Etcd, key, value string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
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

func del(t *testing.T, e *Etcd, key string, o ...clientv3.OpOption) int64 {
	t.Helper()
	r, err := e.Client.Delete(t.Context(), e.Prefix()+key, o...)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

// reader is the receiver of a Follow.
type reader struct {
	t    *testing.T
	stop func()

	mu         sync.Mutex
	changed    *sync.Cond
	batches    []zones.Batch
	conditions []Condition
	have       map[zones.Key]string // what a receiver that takes everything has: Encode's text, or "!" and the error
	late       bool
}

// read follows until the test ends or stop is called.
func read(t *testing.T, follow func(context.Context, func(zones.Batch), func(Condition)) error) *reader {
	r := &reader{t: t, have: map[zones.Key]string{}}
	r.changed = sync.NewCond(&r.mu)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := follow(ctx, r.deliver, r.tell); err != context.Canceled {
			t.Errorf("Follow ended with %v", err)
		}
	}()
	r.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(r.stop)
	return r
}

func (r *reader) deliver(b zones.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.batches); n > 0 && !b.Full && b.Revision <= r.batches[n-1].Revision {
		r.t.Errorf("revision %d after %d", b.Revision, r.batches[n-1].Revision)
	}
	r.batches = append(r.batches, b)
	if b.Full {
		clear(r.have)
	}
	for _, c := range b.Changes {
		switch {
		case c.Err != nil:
			r.have[c.Key] = "!" + c.Err.Error()
		case c.Resource == nil:
			delete(r.have, c.Key)
		default:
			text, err := zones.Encode(c.Resource)
			if err != nil {
				r.t.Error(err)
			}
			r.have[c.Key] = string(text)
		}
	}
	r.changed.Broadcast()
}

func (r *reader) tell(c Condition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conditions = append(r.conditions, c)
	r.changed.Broadcast()
}

// until waits until the condition, under the lock, holds.
func (r *reader) until(what string, holds func() bool) {
	r.t.Helper()
	watchdog := time.AfterFunc(patience, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.late = true
		r.changed.Broadcast()
	})
	defer watchdog.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for !holds() {
		if r.late {
			last := Condition{}
			if n := len(r.conditions); n > 0 {
				last = r.conditions[n-1]
			}
			r.t.Fatalf("waited in vain for %s; last condition %+v; has %v", what, last, r.have)
		}
		r.changed.Wait()
	}
}

// state waits for a state, told after mark conditions.
func (r *reader) state(s State, mark int) Condition {
	r.t.Helper()
	var found Condition
	r.until(string(s), func() bool {
		for _, c := range r.conditions[mark:] {
			if c.State == s {
				found = c
				return true
			}
		}
		return false
	})
	return found
}

// mark returns how many conditions have been told.
func (r *reader) mark() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conditions)
}

// revision waits until a batch of at least that revision is delivered.
func (r *reader) revision(at int64) {
	r.t.Helper()
	r.until("the revision", func() bool { return len(r.batches) > 0 && r.batches[len(r.batches)-1].Revision >= at })
}

// since returns the conditions told since a mark.
func (r *reader) since(mark int) []Condition {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.conditions[mark:])
}

func (r *reader) full() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, b := range r.batches {
		if b.Full {
			n++
		}
	}
	return n
}

func (r *reader) value(k zones.Key) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.have[k]
	return v, ok
}

// proxy passes TCP on, and can go silent: connections stay open and nothing comes through.
type proxy struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	cond   *sync.Cond
	silent bool
	most   int // bytes that the target may send over one connection from when it was set; 0: any number
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

// jam lets each connection carry so many bytes more from the target, and then nothing.
func (p *proxy) jam(most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = most
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
				p.cond.Wait()
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
