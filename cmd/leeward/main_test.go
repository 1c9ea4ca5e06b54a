//go:build unix && !noembed

package main

import (
	"bytes"
	"os/exec"
	"syscall"
	"testing"
	"time"
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
