//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Member is one process of Debian's etcd.
type Member struct {
	Host    *Host
	Name    string
	Client  string // URL
	Process *Process
	Argv    []string
}

// lastPort is where the search for a port goes on. It begins at a random port, so that test programs that run at once
// do not collide.
var lastPort atomic.Uint32

func init() { lastPort.Store(rand.Uint32N(12_000)) }

// LoopbackPort returns a port that is free for UDP and TCP. It is below the range from which the kernel takes ports for
// clients and for listeners on port 0. So nobody else gets it before it is used, or while the process that uses it is
// down.
func LoopbackPort(t testing.TB) int {
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

// StartEtcd starts one etcd on loopback and waits until it answers.
func StartEtcd(t testing.TB) *Member {
	t.Helper()
	Need(t, "etcd")
	return StartEtcdOf(t, "")
}

// StartEtcdOf is StartEtcd with a program other than the installed one; "" is the installed one.
func StartEtcdOf(t testing.TB, program string) *Member {
	t.Helper()
	Need(t, "etcdctl")
	client, peer := LoopbackPort(t), LoopbackPort(t)
	m := NewMember(t, nil, "one", "127.0.0.1", client, peer, t.TempDir(), fmt.Sprintf("one=http://127.0.0.1:%d", peer))
	if program != "" { // a version without the v2 API
		m.Argv[0] = program
		m.Argv = slices.DeleteFunc(m.Argv, func(arg string) bool { return strings.HasPrefix(arg, "--enable-v2") })
	}
	m.Start(t)
	m.Wait(t)
	return m
}

// NewMember describes a member of the cluster that initial names. Start starts it, and starts it again after a kill.
func NewMember(t testing.TB, h *Host, name, address string, client, peer int, dir, initial string) *Member {
	t.Helper()
	url := func(port int) string { return "http://" + net.JoinHostPort(address, fmt.Sprint(port)) }
	return &Member{Host: h, Name: name, Client: url(client), Argv: []string{
		"etcd", "--name", name, "--data-dir", dir,
		"--listen-client-urls", url(client), "--advertise-client-urls", url(client),
		"--listen-peer-urls", url(peer), "--initial-advertise-peer-urls", url(peer),
		"--initial-cluster", initial, "--initial-cluster-token", "leeward-integration",
		"--logger", "zap", "--log-level", "warn", "--unsafe-no-fsync",
		"--enable-v2=false",
	}}
}

func (m *Member) Start(t testing.TB) {
	t.Helper()
	m.Process = Start(t, m.Host, "etcd "+m.Name, m.Argv...)
}

// Wait returns once a linearizable read works.
func (m *Member) Wait(t testing.TB) {
	t.Helper()
	Until(t, 60*time.Second, "etcd "+m.Name+" answers", func() error {
		if !m.Process.Alive() {
			t.Fatalf("etcd %s ended: %s", m.Name, m.Process.Out.Tail(20))
		}
		if o := m.Ctl(t, "", "--command-timeout=2s", "get", "/ready"); o.Code != 0 {
			return fmt.Errorf("%s", strings.TrimSpace(o.Stderr))
		}
		return nil
	})
}

// Ctl runs etcdctl against this member.
func (m *Member) Ctl(t testing.TB, stdin string, args ...string) Outcome {
	t.Helper()
	return Command(t, m.Host, stdin, append([]string{"etcdctl", "--endpoints", m.Client}, args...)...)
}

// Put is etcdctl put below the default prefix.
func (m *Member) Put(t testing.TB, key, value string) {
	t.Helper()
	if o := m.Ctl(t, value, "put", "/leeward/"+key); o.Code != 0 {
		t.Fatalf("etcdctl put %s: %v", key, o)
	}
}

// Leads says whether this member is the cluster's leader. It fails if the member does not say so, for example because
// it has no quorum yet.
func (m *Member) Leads(t testing.TB) (bool, error) {
	t.Helper()
	o := m.Ctl(t, "", "endpoint", "status", "--command-timeout=2s", "-w", "json")
	var status []struct {
		Status struct {
			Header struct {
				Member uint64 `json:"member_id"`
			} `json:"header"`
			Leader uint64 `json:"leader"`
		}
	}
	if err := json.Unmarshal([]byte(o.Stdout), &status); err != nil || len(status) != 1 {
		return false, fmt.Errorf("etcdctl endpoint status of %s: %v\n%v", m.Name, err, o)
	}
	return status[0].Status.Leader == status[0].Status.Header.Member, nil
}

// NoSpace raises etcd's alarm that its database is full, as etcd does when the database has reached its quota. From
// then on nothing can be written, and everything can be read. It can also end the alarm.
func (m *Member) NoSpace(is bool) error {
	c, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(m.Client, "http://"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(_ context.Context, address string) (net.Conn, error) {
			return m.Host.Dial(net.Dialer{Timeout: time.Second}, "tcp", address)
		}))
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	action := etcdserverpb.AlarmRequest_DEACTIVATE
	if is {
		action = etcdserverpb.AlarmRequest_ACTIVATE
	}
	_, err = etcdserverpb.NewMaintenanceClient(c).Alarm(ctx, &etcdserverpb.AlarmRequest{
		Action: action, MemberID: 1, Alarm: etcdserverpb.AlarmType_NOSPACE,
	})
	if err != nil {
		return fmt.Errorf("etcd's alarm NOSPACE: %w", err)
	}
	return nil
}
