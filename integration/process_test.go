//go:build linux

package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that runs beside the test, on the machine or in a namespace. It dies with the test process.
type process struct {
	name string
	cmd  *exec.Cmd
	out  transcript
	gone chan struct{} // closed when it has been waited for
}

// start runs argv in the namespace of h, or on the machine where h is nil, and stops it when the test ends. What it
// wrote is shown if the test failed.
func start(t testing.TB, h *host, name string, argv ...string) *process {
	t.Helper()
	return startWith(t, h, name, nil, argv...)
}

// startWith is start with an environment; nil is that of the test.
func startWith(t testing.TB, h *host, name string, env []string, argv ...string) *process {
	t.Helper()
	if h != nil {
		argv = append([]string{"ip", "netns", "exec", h.namespace}, argv...)
	}
	p := &process{name: name, cmd: exec.Command(argv[0], argv[1:]...), gone: make(chan struct{})}
	p.cmd.Env = env
	// A pipe of our own, so that a process can be seen to end although nobody reads what it wrote.
	read, written, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = written, written
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = p.cmd.Start()
	written.Close()
	if err != nil {
		read.Close()
		t.Fatalf("start %s: %v", name, err)
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		defer read.Close()
		io.Copy(&p.out, read)
	}()
	go func() {
		p.cmd.Wait()
		select {
		case <-copied:
		case <-time.After(time.Second): // nobody reads, or a child of it lives on
		}
		close(p.gone)
	}()
	t.Cleanup(func() {
		p.kill()
		if strings.Contains(p.out.String(), "WARNING: DATA RACE") {
			t.Errorf("%s: the race detector has found something", name)
		}
		if strings.Contains(p.out.String(), "\ngoroutine ") && strings.Contains(p.out.String(), "panic: ") {
			t.Errorf("%s: it has panicked", name)
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, p.out.tail(60))
		}
	})
	return p
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.gone
}

// signal sends sig and does not wait.
func (p *process) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("%v to %s: %v", sig, p.name, err)
	}
}

// terminate sends SIGTERM and returns the exit status; -1 for death by a signal.
func (p *process) terminate(t testing.TB) int {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s has not ended 20 s after SIGTERM", p.name)
	}
	return p.cmd.ProcessState.ExitCode()
}

// alive says whether the process still runs.
func (p *process) alive() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

// transcript keeps what a process wrote.
type transcript struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	deaf chan struct{} // not nil: nothing is read from the pipe until it is closed
}

func (w *transcript) Write(b []byte) (int, error) {
	w.mu.Lock()
	deaf := w.deaf
	w.mu.Unlock()
	if deaf != nil {
		<-deaf
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(b)
}

// unread leaves in the pipe all that the process writes from now on, until the test ends: once it is full, who writes
// waits.
func (w *transcript) unread(t testing.TB) {
	deaf := make(chan struct{})
	w.mu.Lock()
	w.deaf = deaf
	w.mu.Unlock()
	t.Cleanup(func() { close(deaf) })
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

func (w *transcript) tail(lines int) string {
	all := strings.Split(strings.TrimRight(w.String(), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// outcome is what a command that ran to its end left.
type outcome struct {
	stdout, stderr string
	code           int
}

func (o outcome) String() string {
	return fmt.Sprintf("exit status %d\nstdout:\n%s\nstderr:\n%s", o.code, o.stdout, o.stderr)
}

// command runs argv to its end, with stdin if it is not empty, in the namespace of h or on the machine.
func command(t testing.TB, h *host, stdin string, argv ...string) outcome {
	t.Helper()
	if h != nil {
		argv = append([]string{"ip", "netns", "exec", h.namespace}, argv...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(argv, " "), err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must is command that has to succeed; it returns the standard output.
func must(t testing.TB, h *host, argv ...string) string {
	t.Helper()
	o := command(t, h, "", argv...)
	if o.code != 0 {
		t.Fatalf("%s: %v", strings.Join(argv, " "), o)
	}
	return o.stdout
}

// until asks met again every 20 ms until it returns nil; it fails the test with met's last word once limit has passed.
// A black box has nothing to wait on but its answers.
func until(t testing.TB, limit time.Duration, what string, met func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := met()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", limit, what, err)
		}
		<-tick.C
	}
}
