//go:build linux && !noembed

package process_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// daemon is a process of the installed etcd: a member, or its gRPC proxy. It ends with the test.
type daemon struct {
	host string // and port
	cmd  *exec.Cmd
}

func (d *daemon) url() string { return "http://" + d.host }

// startMember starts a cluster of one on loopback.
func startMember(t *testing.T, args ...string) *daemon {
	t.Helper()
	client, peer := freeAddress(t), freeAddress(t)
	return startDaemon(t, client, append([]string{
		"--data-dir", t.TempDir(), "--log-level", "error", "--unsafe-no-fsync",
		"--listen-client-urls", "http://" + client, "--advertise-client-urls", "http://" + client,
		"--listen-peer-urls", "http://" + peer, "--initial-advertise-peer-urls", "http://" + peer,
		"--initial-cluster", "default=http://" + peer,
	}, args...)...)
}

// startProxy starts a gRPC proxy before a member.
func startProxy(t *testing.T, member *daemon) *daemon {
	t.Helper()
	address := freeAddress(t)
	return startDaemon(t, address, "grpc-proxy", "start", "--endpoints", member.host, "--listen-addr", address)
}

func startDaemon(t *testing.T, host string, args ...string) *daemon {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("etcd is not installed (with CI=true this is a failure)")
		}
		t.Skip("etcd is not installed")
	}
	d := &daemon{host, exec.Command("etcd", args...)}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.cmd.Process.Kill(); d.cmd.Wait() })
	c := dialTo(t, d)
	for limit := time.Now().Add(time.Minute); ; {
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		_, err := c.Get(ctx, "ready")
		stop()
		if err == nil {
			return d
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
}

func dialTo(t *testing.T, d *daemon) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{d.url()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// usage is what a process has used so far: seconds of processor, octets sent to clients, and octets of memory.
type usage struct{ cpu, sent, memory float64 }

func (d *daemon) usage(t *testing.T) (u usage) {
	t.Helper()
	folder := fmt.Sprintf("/proc/%d/", d.cmd.Process.Pid)
	text, err := os.ReadFile(folder + "stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	parts := strings.Fields(rest)
	for _, ticks := range parts[11:13] { // user, system; a tick is 10 ms
		n, _ := strconv.ParseFloat(ticks, 64)
		u.cpu += n / 100
	}
	if text, err = os.ReadFile(folder + "status"); err != nil {
		t.Fatal(err)
	}
	u.memory = 1024 * figure(string(text), "VmRSS:")
	r, err := http.Get(d.url() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if text, err = io.ReadAll(r.Body); err != nil {
		t.Fatal(err)
	}
	u.sent = figure(string(text), "etcd_network_client_grpc_sent_bytes_total")
	return u
}

// figure returns the number behind a name at the start of a line, 0 if there is none.
func figure(text, name string) float64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			n, _ := strconv.ParseFloat(f[1], 64)
			return n
		}
	}
	return 0
}
