package dnstap

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	golang "github.com/dnstap/golang-dnstap"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"leeward/server/answer"
)

// followed is a Responder without a snapshot, which answers all queries with SERVFAIL, and its Follower.
type followed struct {
	*Follower
	worker *answer.Worker
	end    func() // ends Run and waits for it
}

func follow(t *testing.T, target string, ring int) *followed {
	t.Helper()
	to, err := ParseTarget(target)
	if err != nil {
		t.Fatal(err)
	}
	tap := answer.NewTap(1, ring)
	r, err := answer.New(answer.Options{Tap: tap})
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(Options{
		Target: to, Identity: "ams-1", Version: "leeward test", Tap: tap, Log: slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { f.Run(ctx); close(done) }()
	x := &followed{Follower: f, worker: r.Worker(r.Over(answer.Transport{Name: "udp", Size: 1232}))}
	x.end = func() {
		stop()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("the follower does not end")
		}
	}
	t.Cleanup(x.end)
	return x
}

// ask lets the worker answer one query, and returns both messages.
func (f *followed) ask(name string) (query, response []byte) {
	query, _ = new(dns.Msg).SetQuestion(name, dns.TypeA).Pack()
	client := netip.MustParseAddrPort("192.0.2.7:4711")
	response, _ = f.worker.Respond(query, client.Addr(), false, make([]byte, 0, 1232))
	f.worker.Tap(query, response, client)
	return query, response
}

// until waits for a state.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// read reads messages from a stream with the reference implementation.
func read(t *testing.T, c io.ReadWriter, both bool, message func(*golang.Dnstap) (more bool)) {
	t.Helper()
	r, err := golang.NewReader(c, &golang.ReaderOptions{Bidirectional: both})
	if err != nil {
		t.Error(err)
		return
	}
	b := make([]byte, 1<<18)
	for {
		n, err := r.ReadFrame(b)
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Errorf("a frame: %v", err)
			return
		}
		d := new(golang.Dnstap)
		if err := proto.Unmarshal(b[:n], d); err != nil {
			t.Errorf("a message: %v", err)
			return
		}
		if !message(d) {
			return
		}
	}
}

// The reference implementation reads what went in, over a socket, and so does another reader that comes later.
func TestReferenceReads(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "s")
			}
			l, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			f := follow(t, network+":"+l.Addr().String(), 1<<20)
			due, lost := map[string]golang.Message_Type{}, map[string]bool{}
			ask := func(name string) {
				q, r := f.ask(name)
				due[string(q)], due[string(r)] = golang.Message_AUTH_QUERY, golang.Message_AUTH_RESPONSE
			}
			for round := range 2 {
				c, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				for i := range 100 {
					ask(fmt.Sprintf("n%d.example.test.", i))
				}
				read(t, c, true, func(d *golang.Dnstap) bool {
					m := d.GetMessage()
					if string(d.Identity) != "ams-1" || string(d.Version) != "leeward test" {
						t.Errorf("by %q %q", d.Identity, d.Version)
					}
					at, message := time.Unix(int64(m.GetQueryTimeSec()), 0), m.QueryMessage
					if m.GetType() == golang.Message_AUTH_RESPONSE {
						at, message = time.Unix(int64(m.GetResponseTimeSec()), 0), m.ResponseMessage
					}
					if time.Since(at) > time.Hour {
						t.Errorf("time %v", at)
					}
					if kind, sent := due[string(message)]; !lost[string(message)] && (!sent || kind != m.GetType()) {
						t.Errorf("nobody sent %v", m)
					}
					delete(due, string(message))
					if !bytes.Equal(m.QueryAddress, []byte{192, 0, 2, 7}) || m.GetQueryPort() != 4711 ||
						m.GetSocketProtocol() != golang.SocketProtocol_UDP ||
						m.GetSocketFamily() != golang.SocketFamily_INET {
						t.Errorf("sent by %v", m)
					}
					return len(due) > 0
				})
				c.Close() // the reader goes away
				if round == 0 {
					// The writer notices only by writing. Some of what was written meanwhile is lost, and counted.
					until(t, "a write fails", func() bool {
						q, r := f.ask("lost.example.test.")
						lost[string(q)], lost[string(r)] = true, true
						return !f.open.Load() || f.connects.Load() > 1
					})
					if f.lost.Load() == 0 {
						t.Error("what was lost is not counted")
					}
				}
			}
		})
	}
}

// A reader that hangs, or only accepts the connection, holds nobody up. The newest messages are dropped and counted,
// and the end comes.
func TestReaderHangs(t *testing.T) {
	for name, greets := range map[string]bool{"before the greeting": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					if greets {
						_, _ = golang.NewReader(c, &golang.ReaderOptions{Bidirectional: true})
					}
				}
			}()
			f := follow(t, "tcp:"+l.Addr().String(), 1<<18)
			until(t, "something is dropped", func() bool {
				for range 1000 {
					f.ask("www.example.test.")
				}
				return f.Dropped() > 0
			})
			f.end()
		})
	}
}

// A FIFO without a reader holds nobody up. Once somebody reads it, messages come.
func TestFIFO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	f := follow(t, path, 1<<18)
	q, _ := f.ask("www.example.test.")
	fifo, err := os.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer fifo.Close()
	found := false
	read(t, struct {
		io.Reader
		io.Writer
	}{fifo, io.Discard}, false, func(d *golang.Dnstap) bool {
		found = bytes.Equal(d.GetMessage().GetQueryMessage(), q)
		return false
	})
	if !found {
		t.Error("the query did not come")
	}
}

// When a file was moved away, SIGHUP begins a new one, and nothing is lost between the two. A file that was there
// before is kept beside the new one.
func TestRotation(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "tap")
	if err := os.WriteFile(path, []byte("what was there"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := follow(t, path, 1<<20)
	sent := uint64(0)
	send := func(n int) {
		for range n {
			f.ask("www.example.test.")
		}
		sent += uint64(n)
		until(t, "all is written", func() bool { return f.messages.Load() == 2*sent })
	}
	send(100)
	f.Reopen() // the file was not moved, so it goes on
	send(50)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	send(50)
	f.Reopen()
	until(t, "a new file", func() bool { return f.connects.Load() == 2 })
	send(25)
	f.end()
	for name, want := range map[string]int{"tap.1": 400, "tap": 50} {
		file, err := os.Open(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		read(t, file, false, func(*golang.Dnstap) bool { got++; return true })
		if got != want {
			t.Errorf("%s has %d messages, want %d", name, got, want)
		}
		file.Close()
	}
	kept, _ := filepath.Glob(path + ".2*")
	if len(kept) != 1 {
		t.Fatalf("what was there before: %v", kept)
	}
	if b, _ := os.ReadFile(kept[0]); string(b) != "what was there" {
		t.Errorf("it is now %q", b)
	}
}

// Debian's reader reads a file.
func TestDebianReads(t *testing.T) {
	reader, err := exec.LookPath("dnstap-ldns")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("dnstap-ldns is missing: .ci/run installs it")
		}
		t.Skip("dnstap-ldns is not installed: apt-get install dnstap-ldns")
	}
	path := filepath.Join(t.TempDir(), "tap")
	f := follow(t, path, 1<<20)
	f.ask("www.example.test.")
	until(t, "it is written", func() bool { return f.messages.Load() == 2 })
	f.end()
	out, err := exec.CommandContext(t.Context(), reader, "-r", path).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(lines) != 2 || !strings.Contains(lines[0], " AQ ") || !strings.Contains(lines[1], " AR ") ||
		!strings.Contains(lines[0], "192.0.2.7") || !strings.Contains(lines[0], "www.example.test.") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]string{
		"unix:/run/x.sock": "unix:/run/x.sock", "tcp:127.0.0.1:6000": "tcp:127.0.0.1:6000",
		"tcp:[::1]:6000": "tcp:[::1]:6000",
		"/var/log/tap":   "/var/log/tap", "tap": "tap", "./a:b": "./a:b",
	} {
		if got, err := ParseTarget(text); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"": "empty", "tcp:6000": "HOST:PORT", "udp:1.2.3.4:5": "no kind of target", "unix:": "no kind of target",
	} {
		if _, err := ParseTarget(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
