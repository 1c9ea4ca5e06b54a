//go:build linux

package operate

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// mountsApart is a command that gives the command behind it mounts of its own, and changes them first. "$1" is the
// folder of --state.
func mountsApart(state, mounts string) []string {
	return []string{
		"unshare", "-m", "sh", "-ec", "mount --make-rprivate /; " + mounts + `; shift; exec "$@"`, "sh",
		state,
	}
}

// TestOddPlaces starts servers in unusual places: on a read-only root, without /proc, with a folder of --state that is
// full, is a link, or has links in it. Each answers, says what it cannot do, and ends when it is told to. Nothing is
// written through a link.
func TestOddPlaces(t *testing.T) {
	lab.NeedRoot(t)
	type place struct {
		name string
		// how the server's mounts are changed; "": not at all
		mounts string
		before func(t *testing.T, state string)                // makes the files
		kept   bool                                            // the copy can be written
		says   string                                          // in its log
		after  func(t *testing.T, s *lab.Server, state string) // while it runs
	}
	elsewhere := func(state string) string { return filepath.Join(filepath.Dir(state), "elsewhere") }
	for _, p := range []place{
		{
			name:   "read-only root",
			mounts: `mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; mount -o remount,ro,bind /`,
			says:   "the folder of --state cannot be written",
		},
		{
			name: "no /proc", mounts: "mount -t tmpfs none /proc", kept: true,
			after: func(t *testing.T, s *lab.Server, _ string) {
				if n := s.Metric(t, "leeward_build_info", ""); n != 1 {
					t.Errorf("its metrics say leeward_build_info %v", n)
				}
			},
		},
		{
			name:   "full disk",
			mounts: `mount -t tmpfs -o size=64k none "$1"; cat /dev/zero > "$1/filler" || true`,
			says:   "no space left on device",
			after: func(t *testing.T, s *lab.Server, state string) {
				// Its files, seen through the process, because the mount is its own.
				inside := fmt.Sprintf("/proc/%d/root%s/", s.Process.Cmd.Process.Pid, state)
				if err := os.Remove(inside + "filler"); err != nil {
					t.Fatal(err)
				}
				lab.Until(t, time.Minute, "the copy is written", func() error {
					_, err := os.Stat(inside + "last-good")
					return err
				})
				lab.Until(t, time.Minute, "nothing fails any more", func() error {
					if n := s.Metric(t, "leeward_state_failing", ""); n != 0 {
						return fmt.Errorf("leeward_state_failing is %v", n)
					}
					return nil
				})
				if n := strings.Count(s.Process.Out.String(), "the last good snapshot is not kept on disk"); n > 1 {
					t.Errorf("it is told %d times", n)
				}
			},
		},
		{
			name: "the folder is a link", kept: true,
			before: func(t *testing.T, state string) {
				if err := os.Mkdir(elsewhere(state), 0o700); err != nil {
					t.Fatal(err)
				}
				symlink(t, elsewhere(state), state)
			},
			after: func(t *testing.T, _ *lab.Server, state string) {
				if _, err := os.Stat(filepath.Join(elsewhere(state), "last-good")); err != nil {
					t.Error(err)
				}
				again := lab.NewServer(t, "second", "--files", filepath.Dir(state)+"/files", "--state",
					elsewhere(state))
				again.Start(t)
				<-again.Process.Gone
				if !strings.Contains(again.Process.Out.String(), "is in use by another leeward") {
					t.Error("a second server uses the same folder under its other name")
				}
			},
		},
		{
			name:   "the folder is a link to nowhere",
			before: func(t *testing.T, state string) { symlink(t, elsewhere(state), state) },
			says:   "the folder of --state cannot be written",
		},
		{
			name: "what is kept are links", kept: true,
			before: func(t *testing.T, state string) {
				if err := os.Mkdir(state, 0o700); err != nil {
					t.Fatal(err)
				}
				lab.Write(t, elsewhere(state), "not ours")
				for _, name := range []string{"last-good", "verdicts.jsonl", "resolved.json", "trial"} {
					symlink(t, elsewhere(state), filepath.Join(state, name))
				}
			},
			says: "no copy of the last good snapshot",
			after: func(t *testing.T, _ *lab.Server, state string) {
				if b, err := os.ReadFile(elsewhere(state)); err != nil || string(b) != "not ours" {
					t.Errorf("what the link led to is %q now, %v", b, err)
				}
			},
		},
	} {
		t.Run(p.name, func(t *testing.T) {
			dir := t.TempDir()
			files, state := filepath.Join(dir, "files"), filepath.Join(dir, "state")
			if err := os.Mkdir(files, 0o700); err != nil {
				t.Fatal(err)
			}
			lab.Write(t, filepath.Join(files, "example.test.zone"), lab.MasterFile)
			if p.before != nil {
				p.before(t, state)
			} else if err := os.Mkdir(state, 0o700); err != nil {
				t.Fatal(err)
			}
			s := lab.NewServer(t, "odd", "--files", files, "--state", state)
			if p.mounts != "" {
				s.Within = mountsApart(state, p.mounts)
			}
			s.Start(t)
			s.Ready(t)
			lab.Expect(t, 20*time.Second, s.DNS, lab.Question{Name: "mail.example.test", Qtype: dns.TypeA},
				"192.0.2.25")
			if p.says != "" {
				lab.Until(t, time.Minute, "it says so", func() error {
					if !strings.Contains(s.Process.Out.String(), p.says) {
						return fmt.Errorf("nothing of %q", p.says)
					}
					return nil
				})
			}
			if p.kept {
				lab.Until(t, time.Minute, "the copy is a file of its own", func() error {
					at, err := os.Lstat(filepath.Join(state, "last-good"))
					if err == nil && !at.Mode().IsRegular() {
						err = fmt.Errorf("it is %v", at.Mode())
					}
					return err
				})
			} else if n := s.Metric(t, "leeward_state_failing", ""); n != 1 {
				t.Errorf("leeward_state_failing is %v", n)
			}
			if p.after != nil {
				p.after(t, s, state)
			}
			s.Process.Signal(t, syscall.SIGTERM)
			select {
			case <-s.Process.Gone:
			case <-time.After(time.Minute):
				t.Fatal("it has not ended a minute after SIGTERM")
			}
			if code := s.Process.Cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("exit status %d", code)
			}
		})
	}
}

// TestLockIsALink: a lock that is a link is refused. Or else two folders could share a lock, or a file could be made
// wherever the link leads.
func TestLockIsALink(t *testing.T) {
	dir := t.TempDir()
	symlink(t, filepath.Join(dir, "elsewhere"), filepath.Join(dir, "lock"))
	files := lab.Folder(t, map[string]string{"example.test.zone": lab.MasterFile})
	s := lab.NewServer(t, "locked", "--files", files, "--state", dir)
	s.Start(t)
	<-s.Process.Gone
	code := s.Process.Cmd.ProcessState.ExitCode()
	if code == 0 || !strings.Contains(s.Process.Out.String(), "symbolic link; remove it") {
		t.Errorf("exit status %d: %s", code, s.Process.Out.Tail(5))
	}
	if _, err := os.Lstat(filepath.Join(dir, "elsewhere")); err == nil {
		t.Error("a file was made where the link leads")
	}
}

func symlink(t *testing.T, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}
