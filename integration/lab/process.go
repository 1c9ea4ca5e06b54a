//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a program that runs beside the test, on the machine or in a namespace. It dies with the test process.
type Process struct {
	name string
	Cmd  *exec.Cmd
	Out  transcript
	Gone chan struct{} // closed when it has been waited for
}

// Start runs argv in the namespace of h, or on the machine if h is nil, and stops it when the test ends. If the test
// failed, it shows what the process wrote.
func Start(t testing.TB, h *Host, name string, argv ...string) *Process {
	t.Helper()
	return StartWith(t, h, name, nil, argv...)
}

// StartWith is Start with an environment; nil is that of the test.
func StartWith(t testing.TB, h *Host, name string, env []string, argv ...string) *Process {
	t.Helper()
	if h != nil {
		argv = append([]string{"ip", "netns", "exec", h.namespace}, argv...)
	}
	p := &Process{name: name, Cmd: exec.Command(argv[0], argv[1:]...), Gone: make(chan struct{})}
	p.Cmd.Env = env
	// A pipe of our own shows that a process ends even if nobody reads what it wrote.
	read, written, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Cmd.Stdout, p.Cmd.Stderr = written, written
	p.Cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = p.Cmd.Start()
	written.Close()
	if err != nil {
		read.Close()
		t.Fatalf("start %s: %v", name, err)
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		defer read.Close()
		io.Copy(&p.Out, read)
	}()
	go func() {
		p.Cmd.Wait()
		select {
		case <-copied:
		case <-time.After(time.Second): // nobody reads, or a child lives on
		}
		close(p.Gone)
	}()
	t.Cleanup(func() {
		p.Kill()
		if _, report, found := strings.Cut(p.Out.String(), "WARNING: DATA RACE\n"); found {
			report, _, _ = strings.Cut(report, "==================")
			t.Errorf("%s: the race detector has found something:\n%s", name, report)
		}
		if strings.Contains(p.Out.String(), "\ngoroutine ") && strings.Contains(p.Out.String(), "panic: ") {
			t.Errorf("%s: it has panicked", name)
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, p.Out.Tail(60))
		}
	})
	return p
}

func (p *Process) Kill() {
	p.Cmd.Process.Kill()
	<-p.Gone
}

// Signal sends sig and does not wait.
func (p *Process) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := p.Cmd.Process.Signal(sig); err != nil {
		t.Fatalf("%v to %s: %v", sig, p.name, err)
	}
}

// Terminate sends SIGTERM and returns the exit status; -1 if a signal ended the process.
func (p *Process) Terminate(t testing.TB) int {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	select {
	case <-p.Gone:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s has not ended 20 s after SIGTERM", p.name)
	}
	return p.Cmd.ProcessState.ExitCode()
}

// Alive says whether the process still runs.
func (p *Process) Alive() bool {
	select {
	case <-p.Gone:
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

// Unread leaves in the pipe everything that the process writes from now on, until the test ends. Once the pipe is full,
// a writer waits.
func (w *transcript) Unread(t testing.TB) {
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

func (w *transcript) Tail(lines int) string {
	all := strings.Split(strings.TrimRight(w.String(), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Outcome is the result of a command that has ended.
type Outcome struct {
	Stdout, Stderr string
	Code           int
}

func (o Outcome) String() string {
	return fmt.Sprintf("exit status %d\nstdout:\n%s\nstderr:\n%s", o.Code, o.Stdout, o.Stderr)
}

// Command runs argv to its end, with stdin if it is not empty, in the namespace of h or on the machine.
func Command(t testing.TB, h *Host, stdin string, argv ...string) Outcome {
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
	return Outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// Must is Command, and fails the test if that fails. It returns the standard output.
func Must(t testing.TB, h *Host, argv ...string) string {
	t.Helper()
	o := Command(t, h, "", argv...)
	if o.Code != 0 {
		t.Fatalf("%s: %v", strings.Join(argv, " "), o)
	}
	return o.Stdout
}

// Until calls met every 20 ms until it returns nil. Once limit has passed, it fails the test with met's last error. A
// black box offers nothing to wait on but its answers.
func Until(t testing.TB, limit time.Duration, what string, met func() error) {
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

// CPU returns the processor time that a process has taken, in steps of 10 ms.
func CPU(t testing.TB, p *Process) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:])) // from the state on, the third field
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * (time.Second / 100) // USER_HZ is 100
}

// RSS returns a process's resident memory now and at its most, in MiB.
func RSS(t *testing.T, p *Process) (now, most float64) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "VmRSS:":
			now = kib / 1024
		case "VmHWM:":
			most = kib / 1024
		}
	}
	return now, most
}
