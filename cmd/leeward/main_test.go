//go:build unix && !noembed

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"leeward/cmd/leeward/hangup"
)

// unread returns a stream that holds little of what nobody reads.
func unread(t *testing.T) (r, w *os.File) {
	t.Helper()
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetsockoptInt(ends[1], syscall.SOL_SOCKET, syscall.SO_SNDBUF, 1024); err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(ends[0]), "reader"), os.NewFile(uintptr(ends[1]), "writer")
}

// The first signal ends a verb that writes where nobody reads, and it has not done what it was to do.
func TestSignalEndsWriting(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, bytes.Repeat([]byte("---\nkind: Region\nname: A\n"), 2000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		errs   bool // it is the errors that nobody reads
		signal syscall.Signal
	}{
		{[]string{"check", "-f", bad}, true, syscall.SIGTERM},
		{[]string{"check", "-f", bad, "-o", "json"}, false, syscall.SIGINT},
		{[]string{"completion", "bash"}, false, syscall.SIGTERM},
		{[]string{"reference", "zone"}, false, syscall.SIGTERM},
		{[]string{"serve", "--help"}, false, syscall.SIGINT},
	} {
		r, w := unread(t)
		cmd := exec.Command("leeward", c.args...)
		if cmd.Stdout = w; c.errs {
			cmd.Stdout, cmd.Stderr = nil, w
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		limit := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
		if _, err := r.Read(make([]byte, 1)); err != nil { // it has begun to print, and there is no room for the rest
			t.Fatalf("%v: %v", c.args, err)
		}
		_ = cmd.Process.Signal(c.signal)
		_ = cmd.Wait()
		limit.Stop()
		r.Close()
		if code := cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("%v ends with %v, want exit status 1", c.args, cmd.ProcessState)
		}
	}
}

// The first signal ends a verb that waits for input: from standard input, or from a pipe that the command line names.
func TestSignalEndsReading(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	held, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for _, args := range [][]string{
		{"check", "-f", "-"},
		{"check", "-f", "/dev/stdin"},
		{"check", "-f", fifo},
		{"apply", "-f", "-", "--etcd", "http://127.0.0.1:1"},
		{"import", "example.test", "-", "--etcd", "http://127.0.0.1:1"},
		{"bench", "--server", "127.0.0.1:1", "--names", fifo},
	} {
		cmd := exec.Command("leeward", args...)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		to := in.(io.Writer)
		if args[len(args)-1] == fifo {
			to = held
		}
		if _, err := to.Write(bytes.Repeat([]byte("\n"), 1<<19)); err != nil { // a pipe holds less: it reads
			t.Fatal(err)
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		limit := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		limit.Stop()
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(errs.String(), "terminated") {
			t.Errorf("%v: after a signal: %v, want exit status 1:\n%s", args, cmd.ProcessState, errs.String())
		}
		in.Close()
	}
}

// The second signal ends a verb at once: here, before it gives up to wait for a reader of what it prints.
func TestSecondSignalEnds(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		r, w := unread(t)
		cmd := exec.Command("leeward", "completion", "bash")
		cmd.Stdout = w
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 1)); err != nil { // it has begun to print, and there is no room for the rest
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		again := time.NewTicker(10 * time.Millisecond)
		limit := time.After(20 * time.Second)
		for waiting := true; waiting; {
			_ = cmd.Process.Signal(sig)
			select {
			case <-again.C:
			case <-ended:
				waiting = false
			case <-limit:
				_ = cmd.Process.Kill()
				t.Fatalf("%v does not end it", sig)
			}
		}
		again.Stop()
		r.Close()
		w.Close()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if status.ExitStatus() == 1 {
			t.Log("this machine was too busy for the second signal to come first")
		} else if !status.Signaled() || status.Signal() != sig {
			t.Errorf("after %v: %v", sig, cmd.ProcessState)
		}
	}
}

// SIGHUP ends a process that does not listen for it yet, and its packages take some 30 ms to initialize. So the
// listener is initialized before nearly all of them. Only the standard library comes before it.
func TestHangupIsHeardEarly(t *testing.T) {
	cmd := exec.Command("leeward", "version")
	cmd.Env = append(cmd.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	listens, after := -1, 0
	for line := range strings.Lines(string(out)) {
		switch name, _, ok := strings.Cut(strings.TrimPrefix(line, "init "), " @"); {
		case !ok:
		case name == "os/signal":
			listens = 0
		case name == "leeward/cmd/leeward/hangup":
			after = listens
			listens = -1
		case listens >= 0:
			listens++
		}
	}
	if after > 5 || listens >= 0 {
		t.Errorf("%d packages, in place of at most 5, are initialized after os/signal "+
			"and before who listens to SIGHUP:\n%s", max(after, listens), out)
	}
}

// A verb that reads files again at SIGHUP must be among those that listen early, or else an early SIGHUP kills it.
func TestWhoReadsAgainListensEarly(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	use := regexp.MustCompile(`Use: +"(\w+)`)
	var found []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("return inv.run(")) { // nothing else listens to SIGHUP
			found = append(found, string(use.FindSubmatch(b)[1]))
		}
	}
	early := slices.Sorted(slices.Values(hangup.Verbs[:]))
	slices.Sort(found)
	if !slices.Equal(found, early) {
		t.Errorf("%v read files again at SIGHUP, and %v listen early", found, early)
	}
}
