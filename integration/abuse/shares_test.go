//go:build linux

package abuse

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// sharedResources are a monitored pool, a pool of endpoints that accept connections and say nothing, and zones whose
// primaries do the same.
func sharedResources() string {
	var b strings.Builder
	b.WriteString(siegeZone + `---
kind: Region
name: eu
latitude: 50
longitude: 8
---
kind: Monitor
name: web
http: {port: 80, path: /}
interval: 1s
timeout: 500ms
fall: 2
rise: 1
---
kind: Pool
name: watched
region: eu
monitor: web
---
kind: Endpoint
name: watched/one
addresses: [10.77.0.3]
---
kind: Endpoint
name: watched/two
addresses: [10.77.0.4]
---
kind: Policy
name: watched.example.test
ttl: 30s
pick: all
rules:
  - failover: [watched]
---
kind: Pool
name: hung
region: eu
monitor: web
`)
	for n := range 300 {
		fmt.Fprintf(&b, "---\nkind: Endpoint\nname: hung/e%d\naddresses: [10.66.%d.%d]\n", n, 4+n/250, 1+n%250)
	}
	for n := range 200 {
		fmt.Fprintf(&b, "---\nkind: Zone\nname: z%d.test\ntransfer: {primaries: [10.66.3.%d:80]}\n", n, 1+n)
	}
	return b.String()
}

// TestSharesOfDescriptors uses up one share of a server's descriptors after the other: connections of the admin
// interface, of DNS, probes that hang, primaries that hang, and then all of them at once. Each time a dead endpoint
// leaves the answers, and queries over TCP and the admin interface are answered. No more descriptors are open than
// allowed. A server whose etcd is killed and started again meanwhile finds it: what is put afterwards is answered.
func TestSharesOfDescriptors(t *testing.T) {
	const limit = 256
	x := newSiege(t)
	x.server.Process.Kill()
	dir := t.TempDir()
	lab.Write(t, filepath.Join(dir, "all.yaml"), sharedResources())
	town := x.server.Host
	lab.Must(t, x.honest, "ip", "address", "add", "10.77.0.4/24", "dev", "cable")
	var hangs atomic.Bool
	for _, address := range []string{"10.77.0.3:80", "10.77.0.4:80"} {
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if hangs.Load() && strings.HasPrefix(address, "10.77.0.4") {
				<-r.Context().Done()
			}
		})}
		go s.Serve(x.honest.Listen(t, address))
		t.Cleanup(func() { s.Close() })
	}
	hung := x.attacker.Listen(t, "0.0.0.0:80") // connections to it are never answered
	t.Cleanup(func() { hung.Close() })

	lab.Need(t, "etcd", "etcdctl")
	etcd := lab.NewMember(t, town, "one", "127.0.0.1", 2379, 2380, t.TempDir(), "one=http://127.0.0.1:2380")
	etcd.Start(t)
	etcd.Wait(t)
	lab.Must(t, town, lab.Binary, "apply", "--etcd", etcd.Client, "-f", dir)
	x.server = lab.ServerAt(town, "town", "10.77.0.1:53", "127.0.0.1:8053", "--listen", "10.77.0.1:53", "--etcd",
		etcd.Client)
	x.server.Within = []string{"prlimit", fmt.Sprintf("--nofile=%d:%d", limit, limit)}
	x.server.Start(t)
	x.server.Ready(t)
	watched := lab.Question{Name: "watched.example.test", Qtype: dns.TypeA}
	addresses := func(want int) func() error {
		return func() error {
			m, err := lab.Ask(x.honest, x.server.DNS, watched)
			if err != nil {
				return err
			}
			if len(m.Answer) != want {
				return fmt.Errorf("%d addresses, want %d", len(m.Answer), want)
			}
			return nil
		}
	}
	lab.Until(t, time.Minute, "all are up", addresses(2))

	var conns []net.Conn
	crowd := func(open func(n int) (net.Conn, error)) {
		for n := range 2 * limit {
			c, err := open(n)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
	}
	pages := func() {
		crowd(func(n int) (net.Conn, error) {
			from := net.IPv4(127, 0, 1, byte(1+n%200))
			return town.Dial(net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: 5 * time.Second}, "tcp",
				"127.0.0.1:8053")
		})
	}
	streams := func() { crowd(func(n int) (net.Conn, error) { return x.connect(n) }) }
	for _, share := range []struct {
		name string
		take func()
	}{
		{"probes and transfers", func() {}}, {"admin", pages}, {"TCP", streams}, {"all", func() { pages(); streams() }},
	} {
		share.take()
		etcd.Process.Kill()
		hangs.Store(true)
		begin := time.Now()
		lab.Until(t, 20*time.Second, share.name+": the endpoint that hangs is out", addresses(1))
		took := time.Since(begin)
		m, err := lab.Ask(x.honest, x.server.DNS,
			lab.Question{Name: "www.example.test", Qtype: dns.TypeA, Network: "tcp"})
		if err != nil || len(m.Answer) != 1 {
			t.Errorf("%s: over TCP: %v, %v", share.name, m, err)
		}
		files := x.server.Metric(t, "process_open_fds", "")
		if files > limit {
			t.Errorf("%s: %v descriptors are open", share.name, files)
		}
		t.Logf("%s: the endpoint was out after %v, %v of %d descriptors are open, %v probes lost", share.name,
			took.Round(10*time.Millisecond),
			files, limit, x.server.Metric(t, "leeward_probe_skipped_total", ""))
		hangs.Store(false)
		lab.Until(t, 20*time.Second, share.name+": it is back", addresses(2))
		etcd.Start(t)
		etcd.Wait(t)
		etcd.Put(t, "records/example.test/note/TXT", fmt.Sprintf(`{"data":["\"%s\""]}`, share.name))
		lab.Until(t, 30*time.Second, share.name+": what is put is answered", func() error {
			m, err := lab.Ask(x.honest, x.server.DNS, lab.Question{Name: "note.example.test", Qtype: dns.TypeTXT})
			if err != nil {
				return err
			}
			if len(m.Answer) != 1 || m.Answer[0].(*dns.TXT).Txt[0] != share.name {
				return fmt.Errorf("it is %v", m.Answer)
			}
			return nil
		})
		for _, c := range conns {
			c.Close()
		}
		conns = nil
	}
}
