//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Server is one `leeward serve`.
type Server struct {
	Host    *Host
	Name    string
	Process *Process
	Current atomic.Pointer[Process] // the same, for those who do not start and stop it
	DNS     string                  // address and port of its first --listen
	Admin   string                  // address and port
	Argv    []string                // to start it again
	Clock   *wallClock              // nil: the machine's
	Within  []string                // a command before its own; usually none
	HTTP    http.Client

	ran []*Process // all of them, in order
}

// Serve starts `leeward serve` on loopback with ports of its own and waits until it is ready.
func Serve(t testing.TB, name string, args ...string) *Server {
	t.Helper()
	s := NewServer(t, name, args...)
	s.Start(t)
	s.Ready(t)
	return s
}

// NewServer is Serve without starting it.
func NewServer(t testing.TB, name string, args ...string) *Server {
	t.Helper()
	port := LoopbackPort(t)
	listen := []string{"--listen", fmt.Sprintf("127.0.0.1:%d", port)}
	if Loopback6() {
		listen = append(listen, "--listen", fmt.Sprintf("[::1]:%d", port))
	}
	admin := fmt.Sprintf("127.0.0.1:%d", LoopbackPort(t))
	return ServerAt(nil, name, fmt.Sprintf("127.0.0.1:%d", port), admin, append(listen, args...)...)
}

// ServerAt describes a server in a namespace, or on the machine if h is nil. args hold its --listen.
func ServerAt(h *Host, name, dnsAddr, adminAddr string, args ...string) *Server {
	s := &Server{Host: h, Name: name, DNS: dnsAddr, Admin: adminAddr}
	s.Argv = append([]string{Binary, "serve", "--id", name, "--admin", adminAddr}, args...)
	s.HTTP = http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return h.Dial(net.Dialer{Timeout: 2 * time.Second}, network, address)
		},
	}}
	return s
}

func (s *Server) Start(t testing.TB) {
	t.Helper()
	var env []string
	if s.Clock != nil {
		env = append(os.Environ(), clockVariable+"="+s.Clock.file)
	}
	s.Process = StartWith(t, s.Host, "leeward "+s.Name, env, append(slices.Clone(s.Within), s.Argv...)...)
	s.Current.Store(s.Process)
	s.ran = append(s.ran, s.Process)
}

// Logged returns what the server has logged between two times by its clock, also before it was started again.
func (s *Server) Logged(from, until time.Time) string {
	var b strings.Builder
	for _, p := range s.ran {
		for line := range strings.Lines(p.Out.String()) {
			first, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
			if at, err := time.Parse(time.RFC3339, first); err == nil && !at.Before(from) && at.Before(until) {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// Ready waits for /readyz.
func (s *Server) Ready(t testing.TB) {
	t.Helper()
	Until(t, 60*time.Second, s.Name+" is ready", func() error {
		if !s.Process.Alive() {
			t.Fatalf("leeward %s ended with %d:\n%s", s.Name, s.Process.Cmd.ProcessState.ExitCode(),
				s.Process.Out.Tail(30))
		}
		code, body, err := s.Get("/readyz")
		if err != nil {
			return err
		}
		if code != http.StatusOK {
			return fmt.Errorf("/readyz: %d %s", code, body)
		}
		return nil
	})
}

// Get asks the admin HTTP.
func (s *Server) Get(path string) (int, string, error) {
	r, err := s.HTTP.Get("http://" + s.Admin + path)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return r.StatusCode, string(b), err
}

// Status reads /api/v1/status into v.
func (s *Server) Status(v any) error {
	code, body, err := s.Get("/api/v1/status")
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		return fmt.Errorf("/api/v1/status: %d %s", code, body)
	}
	return json.Unmarshal([]byte(body), v)
}

// Leeward runs a verb to its end on the machine.
func Leeward(t testing.TB, stdin string, args ...string) Outcome {
	t.Helper()
	return Command(t, nil, stdin, append([]string{Binary}, args...)...)
}

// LeewardOK is Leeward, and fails the test unless the exit status is 0. It returns the standard output.
func LeewardOK(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	o := Leeward(t, stdin, args...)
	if o.Code != 0 {
		t.Fatalf("leeward %v: %v", args, o)
	}
	return o.Stdout
}

// Loopback6 says whether the machine has ::1.
func Loopback6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// Samples sums the samples of a metric whose labels contain all of the texts, such as state="following". found is false
// if there are none.
func (s *Server) Samples(name string, labels ...string) (sum float64, found bool, err error) {
	_, body, err := s.Get("/metrics")
	if err != nil {
		return 0, false, err
	}
	for line := range strings.Lines(body) {
		rest, ok := strings.CutPrefix(line, name)
		lacks := func(label string) bool { return !strings.Contains(rest, label) }
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' || slices.ContainsFunc(labels, lacks) {
			continue
		}
		f := strings.Fields(rest)
		v, err := strconv.ParseFloat(f[len(f)-1], 64)
		if err != nil {
			return 0, false, fmt.Errorf("%s: %w", strings.TrimSpace(line), err)
		}
		sum, found = sum+v, true
	}
	return sum, found, nil
}

// Metric is Samples for labels that contain one text; it is 0 if there are none.
func (s *Server) Metric(t testing.TB, name, labels string) float64 {
	t.Helper()
	sum, _, err := s.Samples(name, labels)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
