package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestNotify: a service manager learns that the server is ready when it can answer and not before, what it waits for
// until then, and that it stops.
func TestNotify(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	told := make(chan string, 100)
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, _, err := manager.ReadFromUnix(buffer)
			if err != nil {
				close(told)
				return
			}
			told <- string(buffer[:n])
		}
	}()
	next := func() string {
		t.Helper()
		select {
		case state := <-told:
			return state
		case <-time.After(30 * time.Second):
			t.Fatal("nothing is told")
			return ""
		}
	}

	t.Setenv("NOTIFY_SOCKET", socket)
	dir := t.TempDir()
	s := serveFiles(t, dir)
	for state := next(); !strings.HasPrefix(state, "READY=1\n"); state = next() {
		if !strings.HasPrefix(state, "STATUS=not answering yet: ") {
			t.Errorf("it is told %q", state)
		}
	}
	answer, err := dns.Exchange(new(dns.Msg).SetQuestion("example.test.", dns.TypeSOA), s.dns)
	if err != nil || answer.Rcode != dns.RcodeRefused {
		t.Errorf("when it is said to be ready the answer is %v, %v", answer, err)
	}
	s.end()
	if state := next(); state != "STOPPING=1" {
		t.Errorf("at the end it is told %q", state)
	}
}

// TestNotifyNobody: a manager that is not there, or does not read, holds nothing up.
func TestNotifyNobody(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "full")
	deaf, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	for _, name := range []string{socket, "/nowhere/notify", "@leeward-nobody"} {
		t.Setenv("NOTIFY_SOCKET", name)
		s := serveFiles(t, t.TempDir())
		if status := s.end(); status != 0 {
			t.Errorf("%s: exit status %d", name, status)
		}
	}
}
