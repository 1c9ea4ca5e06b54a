//go:build linux

package integration

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// member is one etcd process: Debian's.
type member struct {
	host    *host
	name    string
	client  string // URL
	process *process
	argv    []string
}

// lastPort is where the search for a port goes on. It begins anywhere, so that test programs that run at once are
// apart.
var lastPort atomic.Uint32

func init() { lastPort.Store(rand.Uint32N(12_000)) }

// loopbackPort returns a port that is free for UDP and TCP. It is below the range from which the kernel takes those of
// clients and of who listens on port 0: nobody is given it before it is used, or while the process that uses it is
// down.
func loopbackPort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 20_000 + int(lastPort.Add(1)%12_000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		u, err := net.ListenPacket("udp", l.Addr().String())
		l.Close()
		if err != nil {
			continue
		}
		u.Close()
		return port
	}
	t.Fatal("no port is free on loopback for both UDP and TCP")
	return 0
}

// startEtcd starts one etcd on loopback and waits until it answers.
func startEtcd(t testing.TB) *member {
	t.Helper()
	need(t, "etcd", "etcdctl")
	client, peer := loopbackPort(t), loopbackPort(t)
	m := newMember(t, nil, "one", "127.0.0.1", client, peer, t.TempDir(), fmt.Sprintf("one=http://127.0.0.1:%d", peer))
	m.start(t)
	m.wait(t)
	return m
}

// newMember describes a member of the cluster that initial names; start starts it, and starts it again after a kill.
func newMember(t testing.TB, h *host, name, address string, client, peer int, dir, initial string) *member {
	t.Helper()
	url := func(port int) string { return "http://" + net.JoinHostPort(address, fmt.Sprint(port)) }
	return &member{host: h, name: name, client: url(client), argv: []string{
		"etcd", "--name", name, "--data-dir", dir,
		"--listen-client-urls", url(client), "--advertise-client-urls", url(client),
		"--listen-peer-urls", url(peer), "--initial-advertise-peer-urls", url(peer),
		"--initial-cluster", initial, "--initial-cluster-token", "leeward-integration",
		"--logger", "zap", "--log-level", "warn", "--unsafe-no-fsync",
		"--enable-v2=false",
	}}
}

func (m *member) start(t testing.TB) {
	t.Helper()
	m.process = start(t, m.host, "etcd "+m.name, m.argv...)
}

// wait returns once a linearizable read works.
func (m *member) wait(t testing.TB) {
	t.Helper()
	until(t, 60*time.Second, "etcd "+m.name+" answers", func() error {
		if !m.process.alive() {
			t.Fatalf("etcd %s ended: %s", m.name, m.process.out.tail(20))
		}
		if o := m.ctl(t, "", "--command-timeout=2s", "get", "/ready"); o.code != 0 {
			return fmt.Errorf("%s", strings.TrimSpace(o.stderr))
		}
		return nil
	})
}

// ctl runs etcdctl against this member.
func (m *member) ctl(t testing.TB, stdin string, args ...string) outcome {
	t.Helper()
	return command(t, m.host, stdin, append([]string{"etcdctl", "--endpoints", m.client}, args...)...)
}

// put is etcdctl put below the default prefix.
func (m *member) put(t testing.TB, key, value string) {
	t.Helper()
	if o := m.ctl(t, value, "put", "/leeward/"+key); o.code != 0 {
		t.Fatalf("etcdctl put %s: %v", key, o)
	}
}

// leads says whether this member is the cluster's leader.
func (m *member) leads(t testing.TB) bool {
	t.Helper()
	o := m.ctl(t, "", "endpoint", "status", "-w", "json")
	var status []struct {
		Status struct {
			Header struct {
				Member uint64 `json:"member_id"`
			} `json:"header"`
			Leader uint64 `json:"leader"`
		}
	}
	if err := json.Unmarshal([]byte(o.stdout), &status); err != nil || len(status) != 1 {
		t.Fatalf("etcdctl endpoint status: %v\n%v", err, o)
	}
	return status[0].Status.Leader == status[0].Status.Header.Member
}
