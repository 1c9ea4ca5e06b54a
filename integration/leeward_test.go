//go:build linux

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// server is one `leeward serve`.
type server struct {
	host    *host
	name    string
	process *process
	current atomic.Pointer[process] // the same, for others than who starts and stops it
	dns     string                  // address and port of its first --listen
	admin   string                  // address and port
	argv    []string                // to start it again
	clock   *wallClock              // nil: it has the machine's
	within  []string                // what it is run by: the command before its own, none usually
	http    http.Client
}

// serve starts `leeward serve` on loopback with ports of its own and waits until it is ready.
func serve(t testing.TB, name string, args ...string) *server {
	t.Helper()
	s := newServer(t, name, args...)
	s.start(t)
	s.ready(t)
	return s
}

// newServer is serve without starting it.
func newServer(t testing.TB, name string, args ...string) *server {
	t.Helper()
	port := loopbackPort(t)
	listen := []string{"--listen", fmt.Sprintf("127.0.0.1:%d", port)}
	if loopback6() {
		listen = append(listen, "--listen", fmt.Sprintf("[::1]:%d", port))
	}
	admin := fmt.Sprintf("127.0.0.1:%d", loopbackPort(t))
	return serverAt(nil, name, fmt.Sprintf("127.0.0.1:%d", port), admin, append(listen, args...)...)
}

// serverAt describes a server in a namespace, or on the machine where h is nil. args hold its --listen.
func serverAt(h *host, name, dnsAddr, adminAddr string, args ...string) *server {
	s := &server{host: h, name: name, dns: dnsAddr, admin: adminAddr}
	s.argv = append([]string{binary, "serve", "--id", name, "--admin", adminAddr}, args...)
	s.http = http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return h.dial(net.Dialer{Timeout: 2 * time.Second}, network, address)
		},
	}}
	return s
}

func (s *server) start(t testing.TB) {
	t.Helper()
	var env []string
	if s.clock != nil {
		env = append(os.Environ(), clockVariable+"="+s.clock.file)
	}
	s.process = startWith(t, s.host, "leeward "+s.name, env, append(slices.Clone(s.within), s.argv...)...)
	s.current.Store(s.process)
}

// ready waits for /readyz.
func (s *server) ready(t testing.TB) {
	t.Helper()
	until(t, 60*time.Second, s.name+" is ready", func() error {
		if !s.process.alive() {
			t.Fatalf("leeward %s ended with %d:\n%s", s.name, s.process.cmd.ProcessState.ExitCode(), s.process.out.tail(30))
		}
		code, body, err := s.get("/readyz")
		if err != nil {
			return err
		}
		if code != http.StatusOK {
			return fmt.Errorf("/readyz: %d %s", code, body)
		}
		return nil
	})
}

// get asks the admin HTTP.
func (s *server) get(path string) (int, string, error) {
	r, err := s.http.Get("http://" + s.admin + path)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return r.StatusCode, string(b), err
}

// status reads /api/v1/status into v.
func (s *server) status(v any) error {
	code, body, err := s.get("/api/v1/status")
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		return fmt.Errorf("/api/v1/status: %d %s", code, body)
	}
	return json.Unmarshal([]byte(body), v)
}

// leeward runs a verb to its end on the machine.
func leeward(t testing.TB, stdin string, args ...string) outcome {
	t.Helper()
	return command(t, nil, stdin, append([]string{binary}, args...)...)
}

// leewardOK is leeward that has to end with 0; it returns the standard output.
func leewardOK(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	o := leeward(t, stdin, args...)
	if o.code != 0 {
		t.Fatalf("leeward %v: %v", args, o)
	}
	return o.stdout
}

// loopback6 says whether the machine has ::1.
func loopback6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}
