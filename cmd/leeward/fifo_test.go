package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A flag may name a FIFO that nobody writes to, or a device. The verb fails with an error that names it, and never
// waits.
func TestFIFOsAreNotWaitedFor(t *testing.T) {
	dir, zones := t.TempDir(), t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(zones, "zone.yaml"), oneZone)
	serve := []string{"serve", "--files", zones, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}
	etcd := []string{"get", "--etcd", "https://127.0.0.1:1"}
	admin := []string{"status", "--admin", "https://127.0.0.1:1"}
	with := func(args []string, more ...string) []string { return append(args[:len(args):len(args)], more...) }
	for _, args := range [][]string{
		with(serve, "--tsig-key", fifo),
		with(serve, "--cookie-secret-file", fifo),
		with(serve, "--admin-token-file", fifo),
		with(serve, "--admin-tls-cert", fifo, "--admin-tls-key", fifo),
		with(serve, "--probe-cert", fifo, "--probe-key", fifo),
		with(etcd, "--etcd-ca", fifo),
		with(etcd, "--etcd-cert", fifo, "--etcd-key", fifo),
		with(etcd, "--etcd-user", "root", "--etcd-password-file", fifo),
		with(admin, "--admin-ca", fifo),
		with(admin, "--admin-cert", fifo, "--admin-key", fifo),
		with(admin, "--admin-token-file", fifo),
		{"bench", "--server", "127.0.0.1:1", "--names", fifo},
		{"bench", "--server", "127.0.0.1:1", "--names", "/dev/zero"},
		{"check", "-f", fifo},
		{"check", "-f", "/dev/zero"},
		{"import", "example.test", fifo, "--etcd", "http://127.0.0.1:1"},
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			code, out, errs := command(t, args...)
			if code == 0 || !strings.Contains(errs, "fifo") && !strings.Contains(errs, "/dev/zero") {
				t.Errorf("%v: exit status %d, want an error that names it:\n%s%s", args, code, out, errs)
			}
		}()
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatalf("%v waits for it", args)
		}
	}
}
