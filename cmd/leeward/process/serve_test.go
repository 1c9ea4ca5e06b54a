//go:build !noembed

package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"leeward/cmd/leeward/embedded"
	"leeward/cmd/leeward/process"
	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/document"
	"leeward/zones/etcd"
)

// cluster is a real etcd, and a client of the test's own.
type cluster struct {
	t    *testing.T
	etcd *embedded.Etcd
	*clientv3.Client
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	etcd, err := embedded.Start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.URL()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &cluster{t, etcd, c}
}

// put writes a key as etcdctl does.
func (c *cluster) put(key, value string) {
	c.t.Helper()
	if _, err := c.Put(c.t.Context(), etcd.DefaultPrefix+key, value); err != nil {
		c.t.Fatal(err)
	}
}

// resources are two regions with a pool of one endpoint each, and a policy for them.
var resources = func() string {
	text, err := os.ReadFile("../control/testdata/two-regions.yaml")
	if err != nil {
		panic(err)
	}
	return string(text)
}()

// putAll writes documents.
func (c *cluster) putAll(text string) {
	c.t.Helper()
	docs, problems := document.Read("test.yaml", strings.NewReader(text))
	if err := problems.Err(); err != nil {
		c.t.Fatal(err)
	}
	for _, doc := range docs {
		value, err := zones.Encode(doc.Resource)
		if err != nil {
			c.t.Fatal(err)
		}
		c.put(string(doc.Resource.Key()), string(value))
	}
}

// keys lists the keys in a folder.
func (c *cluster) keys(folder string) []string {
	c.t.Helper()
	r, err := c.Get(c.t.Context(), etcd.DefaultPrefix+folder, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		c.t.Fatal(err)
	}
	var keys []string
	for _, kv := range r.Kvs {
		keys = append(keys, strings.TrimPrefix(string(kv.Key), etcd.DefaultPrefix))
	}
	return keys
}

// member is a server or a probe that runs until end is called.
type member struct {
	t *testing.T
	process.Running
	stop context.CancelFunc
	done chan struct{}
	err  error
	log  *lockedLog
}

type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func serve(t *testing.T, s process.Settings) *member {
	t.Helper()
	p := &member{t: t, done: make(chan struct{}), log: &lockedLog{}}
	s.Log, s.Admin, s.Version = slog.New(slog.NewTextHandler(p.log, nil)), "127.0.0.1:0", "test"
	started := make(chan process.Running, 1)
	s.Started = func(r process.Running) { started <- r }
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go func() { defer close(p.done); p.err = process.Serve(ctx, s) }()
	t.Cleanup(p.end)
	select {
	case p.Running = <-started:
	case <-p.done:
		t.Fatalf("not started: %v\n%s", p.err, p.log)
	}
	return p
}

func (p *member) end() {
	p.t.Helper()
	p.stop()
	<-p.done
	if p.err != nil {
		p.t.Errorf("ended with %v\n%s", p.err, p.log)
	}
}

// answer asks the server over UDP. It returns the addresses, or the RCODE.
func (p *member) answer(name string) string {
	p.t.Helper()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
	r, err := dns.Exchange(m, p.DNS[0].String())
	if err != nil {
		return err.Error()
	}
	var got []string
	for _, rr := range r.Answer {
		got = append(got, rr.(*dns.A).A.String())
	}
	if len(got) == 0 {
		return dns.RcodeToString[r.Rcode]
	}
	return strings.Join(got, " ")
}

func (p *member) status() *admin.Status {
	p.t.Helper()
	r, err := http.Get("http://" + p.Admin + "/api/v1/status")
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	var s admin.Status
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		p.t.Fatal(err)
	}
	return &s
}

// await calls f until it returns "". f says what is still wrong.
func (p *member) await(what string, f func() string) {
	p.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(2 * time.Minute)
	for {
		wrong := f()
		if wrong == "" {
			return
		}
		select {
		case <-tick.C:
		case <-p.done:
			p.t.Fatalf("%s: ended before (%v)\n%s", what, p.err, p.log)
		case <-limit:
			p.t.Fatalf("%s: not within two minutes: %s\n%s", what, wrong, p.log)
		}
	}
}

func (p *member) awaitAnswer(name, want string) {
	p.t.Helper()
	p.await(name+" is answered "+want, func() string {
		if got := p.answer(name); got != want {
			return "the answer is " + got
		}
		return ""
	})
}

func settings(id string, c *cluster) process.Settings {
	return process.Settings{
		ID: id, Region: "eu-west", Listen: []string{"127.0.0.1:0"},
		Etcd: &etcd.Options{Endpoints: []string{c.etcd.URL()}},
	}
}

// target is a TCP endpoint that can be stopped and started.
type target struct {
	t       *testing.T
	address netip.AddrPort
	l       net.Listener
}

func listen(t *testing.T, address string) *target {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	x := &target{t, l.Addr().(*net.TCPAddr).AddrPort(), l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return x
}

// Two servers and a probe agree on an endpoint that dies. A bad value only keeps its own resource from changing.
func TestServersAgree(t *testing.T) {
	c := newCluster(t)
	near := listen(t, "127.0.0.1:0")
	far := listen(t, fmt.Sprintf("127.0.0.2:%d", near.address.Port()))
	// far will move to this address: with nobody there, it would soon be down too
	listen(t, fmt.Sprintf("127.0.0.3:%d", near.address.Port()))
	text := strings.NewReplacer("192.0.2.1", near.address.Addr().String(), "192.0.2.2", far.address.Addr().String(),
		"{port: 80}", fmt.Sprintf("{port: %d}", near.address.Port()), "interval: 1s",
		"interval: 1s\ntimeout: 1s\nfall: 2").Replace(resources)
	c.putAll(text)
	a, b := serve(t, settings("a", c)), serve(t, settings("b", c))
	probe := settings("z", c)
	probe.Listen = nil
	z := serve(t, probe)
	if z.DNS != nil {
		t.Errorf("a probe listens on %v", z.DNS)
	}
	for _, p := range []*member{a, b} {
		p.awaitAnswer("www.example.test", "127.0.0.1")
		p.await("all three vantages vote up", func() string { return votes(p, "up", "a", "b", "z") })
	}

	near.l.Close()
	for _, p := range []*member{a, b} {
		p.awaitAnswer("www.example.test", "127.0.0.2")
		p.await("all three vantages vote down", func() string { return votes(p, "down", "a", "b", "z") })
	}
	a.await("both servers have told of themselves", func() string {
		s := a.status()
		if len(s.Servers) != 2 || s.Servers[0].ID != "a" || s.Servers[1].ID != "b" || s.Self != "a" {
			return fmt.Sprintf("servers %+v", s.Servers)
		}
		if i := len(s.Vantages); i != 3 || s.Vantages[2].ID != "z" || s.Vantages[2].Server || !s.Vantages[0].Server {
			return fmt.Sprintf("vantages %+v", s.Vantages)
		}
		return ""
	})
	s := a.status()
	measured := map[string]int{}
	for _, p := range s.Failover {
		measured[p.Phase+" "+p.To] = p.Count
	}
	// Once each, unless a busy machine made other probes fail too.
	if measured["detect down"] < 1 || measured["agree down"] < 1 || measured["publish down"] < 1 {
		t.Errorf("an address went down; phases %+v", s.Failover)
	}
	if len(s.Watches) != 2 || s.Watches[0].Watch != "reports" || s.Watches[1].Watch != "resources" {
		t.Errorf("watches %+v", s.Watches)
	}

	// An Observer that reads etcd sees the same.
	o, err := process.Observe(t.Context(), process.Settings{Etcd: settings("", c).Etcd}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	seen, err := o.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(seen.Servers) != 2 || len(seen.Vantages) != 3 || !seen.Vantages[2].Fresh {
		t.Errorf("observed: servers %+v, vantages %+v", seen.Servers, seen.Vantages)
	}
	for _, e := range seen.Endpoints {
		if e.Endpoint == "www-eu/lb-1" && e.Addresses[0].Verdict != "down" {
			t.Errorf("observed: %+v", e)
		}
	}
	x, err := o.Explain("www.example.test", "A", "198.51.100.7")
	if err != nil || x.Pool != "www-us" {
		t.Errorf("observed: %+v, %v", x, err)
	}

	c.put("policies/www.example.test", `{"rules": [{"failover": ["www-eu"], "oops": 1}]}`)
	c.put("endpoints/www-us/lb-1", `{"addresses": ["127.0.0.3"]}`)
	for _, p := range []*member{a, b} {
		p.awaitAnswer("www.example.test", "127.0.0.3")
		p.await("the bad value is a problem", func() string {
			s := p.status()
			if len(s.Problems) == 1 && s.Problems[0].Resource == "policies/www.example.test" &&
				strings.Contains(s.Problems[0].Field, "oops") {
				return ""
			}
			return fmt.Sprintf("%+v", s.Problems)
		})
	}

	// A probe that stops withdraws its reports.
	z.end()
	for _, key := range append(c.keys("reports/"), c.keys("vantages/")...) {
		if strings.Contains(key, "/z") {
			t.Errorf("the probe has stopped and left %s behind", key)
		}
	}
	a.await("the probe's vote is gone", func() string { return votes(a, "down", "a", "b") })
}

// votes says how the votes on the first endpoint differ from fresh votes for that state by exactly these vantages.
func votes(p *member, state string, vantages ...string) string {
	for _, e := range p.status().Endpoints {
		if e.Endpoint != "www-eu/lb-1" {
			continue
		}
		var got []string
		for _, v := range e.Addresses[0].Votes {
			if v.Fresh && v.State == state {
				got = append(got, v.Vantage)
			}
		}
		if strings.Join(got, " ") == strings.Join(vantages, " ") {
			return ""
		}
		return fmt.Sprintf("%+v", e.Addresses[0].Votes)
	}
	return "no endpoint"
}

// A server goes on without etcd, and starts from its copy on disk.
func TestLifeWithoutEtcd(t *testing.T) {
	c := newCluster(t)
	c.putAll(strings.Replace(resources, "monitor: web", "", 2))
	s := settings("a", c)
	s.State = t.TempDir()
	a := serve(t, s)
	a.awaitAnswer("www.example.test", "192.0.2.1")
	c.put("endpoints/www-eu/lb-1", `{"addresses": ["192.0.2.7"]}`)
	a.awaitAnswer("www.example.test", "192.0.2.7")
	c.etcd.Close()
	a.await("the source is cut off", func() string {
		if s := a.status().Servers[0]; s.Source.State != "cut off" || s.SnapshotAgeSeconds <= 0 ||
			s.Source.Error == "" {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	a.await("both watches lag", func() string {
		for _, w := range a.status().Watches {
			if w.LagSeconds < 3 {
				return fmt.Sprintf("%+v", w)
			}
		}
		return ""
	})
	if got := a.answer("www.example.test"); got != "192.0.2.7" {
		t.Errorf("cut off, the answer is %s", got)
	}
	a.end()

	again := serve(t, s)
	again.awaitAnswer("www.example.test", "192.0.2.7")
	if !strings.Contains(again.log.String(), "last good snapshot from disk") {
		t.Errorf("the log does not say where the answers are from:\n%s", again.log)
	}
	again.await("ready from the copy", func() string {
		r, err := http.Get("http://" + again.Admin + "/readyz")
		if err != nil {
			return err.Error()
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return r.Status
		}
		return ""
	})
}

// Without a copy and without etcd a server is not ready, says so, and tells resolvers to ask another.
func TestNothingToServe(t *testing.T) {
	a := serve(t, process.Settings{
		ID: "a", Listen: []string{"127.0.0.1:0"},
		Etcd: &etcd.Options{Endpoints: []string{"http://127.0.0.1:1"}},
	})
	if got := a.answer("www.example.test"); got != "SERVFAIL" {
		t.Errorf("the answer is %s, want SERVFAIL", got)
	}
	r, err := http.Get("http://" + a.Admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %s", r.Status)
	}
}

// serial returns the zone's serial in the server's answer.
func (p *member) serial(zone string) uint32 {
	p.t.Helper()
	r, err := dns.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(zone), dns.TypeSOA), p.DNS[0].String())
	if err != nil || len(r.Answer) != 1 {
		return 0
	}
	return r.Answer[0].(*dns.SOA).Serial
}

// A change that leaves no trace in etcd still raises the serial, even on servers that start later, from nothing or from
// an older copy.
func TestSerialAfterWhatLeavesNoTrace(t *testing.T) {
	c := newCluster(t)
	c.putAll(strings.ReplaceAll(resources, "monitor: web", "") + `
---
kind: Record
name: example.test/old/TXT
data: ['"old"']
---
kind: Endpoint
name: www-eu/lb-2
addresses: [192.0.2.3]
`)
	state := t.TempDir()
	withState := func(id string) process.Settings {
		s := settings(id, c)
		s.State = state
		return s
	}
	a, b := serve(t, settings("a", c)), serve(t, withState("b"))
	for _, p := range []*member{a, b} {
		p.await("the zone is served", func() string {
			if p.serial("example.test") == 0 {
				return "no SOA"
			}
			return ""
		})
	}
	begin := a.serial("example.test")
	b.end() // it misses the next changes, and has a copy

	last := begin
	for _, gone := range []string{"records/example.test/old/TXT", "endpoints/www-eu/lb-2"} {
		r, err := c.Delete(t.Context(), etcd.DefaultPrefix+gone)
		if err != nil {
			t.Fatal(err)
		}
		a.await("the serial is that of the deletion", func() string {
			if got := a.serial("example.test"); int64(got) != r.Header.Revision {
				return fmt.Sprintf("%d, not %d", got, r.Header.Revision)
			}
			return ""
		})
		last = a.serial("example.test")
	}
	a.await("it is kept", func() string {
		r, err := c.Get(t.Context(), etcd.DefaultPrefix+"meta/serials/example.test")
		if err != nil || len(r.Kvs) != 1 || string(r.Kvs[0].Value) != fmt.Sprint(last) {
			return fmt.Sprintf("%v, %v", r, err)
		}
		return ""
	})
	for _, p := range []*member{serve(t, settings("new", c)), serve(t, withState("b"))} {
		p.awaitAnswer("old.example.test", "NXDOMAIN")
		p.await("it has the serial of the one that saw it", func() string {
			if got, want := p.serial("example.test"), a.serial("example.test"); got != want {
				return fmt.Sprintf("%d, not %d", got, want)
			}
			return ""
		})
	}
}

// A server whose folder is gone at the start still serves, if it has a copy.
func TestFolderGoneAtTheStart(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "zones")
	save := func(text string) {
		t.Helper()
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "all.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.ReplaceAll(resources, "monitor: web", "")
	save(text)
	s := process.Settings{ID: "a", Listen: []string{"127.0.0.1:0"}, Files: folder, State: t.TempDir()}
	a := serve(t, s)
	a.awaitAnswer("www.example.test", "192.0.2.1")
	a.end()
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}

	fresh := s
	fresh.State = t.TempDir()
	err := process.Serve(t.Context(), fresh)
	if err == nil || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), folder) {
		t.Errorf("without a copy: %v", err)
	}

	again := serve(t, s)
	again.awaitAnswer("www.example.test", "192.0.2.1")
	again.await("it says so", func() string {
		if got := again.status().Servers[0].Source; got.State != "cut off" || !strings.Contains(got.Error, folder) {
			return fmt.Sprintf("%+v", got)
		}
		return ""
	})
	if !strings.Contains(again.log.String(), "the folder of resources is not there") {
		t.Errorf("the log does not say so:\n%s", again.log)
	}
	save(strings.Replace(text, "192.0.2.1", "192.0.2.7", 1))
	again.awaitAnswer("www.example.test", "192.0.2.7")
}
