//go:build unix && !noembed

package main

import (
	"bytes"
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

// What waits for something that nothing in the process can end, here standard input, ends at the second signal.
func TestSecondSignalEnds(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd := exec.Command("leeward", "check", "-f", "-")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(bytes.Repeat([]byte("#\n"), 1<<20)); err != nil { // more than a pipe holds: it is reading
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
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != sig {
			t.Errorf("after %v: %v", sig, cmd.ProcessState)
		}
	}
}

// SIGHUP ends a process that does not listen for it yet, which is for as long as its packages are initialized: some 30
// ms. So who listens is initialized before nearly all of them; what is before it is the standard library's.
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
		t.Errorf("%d packages, in place of at most 5, are initialized after os/signal and before who listens to SIGHUP:\n%s",
			max(after, listens), out)
	}
}

// A verb that reads files again at SIGHUP, and is not among those that listen early, is killed by one that comes early.
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
		if bytes.Contains(b, []byte("return inv.run(")) { // which alone listens to SIGHUP
			found = append(found, string(use.FindSubmatch(b)[1]))
		}
	}
	early := slices.Sorted(slices.Values(hangup.Verbs[:]))
	slices.Sort(found)
	if !slices.Equal(found, early) {
		t.Errorf("%v read files again at SIGHUP, and %v listen early", found, early)
	}
}
