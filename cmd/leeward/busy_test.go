//go:build !noembed

package main

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"leeward/cmd/leeward/embedded"
)

// busy accepts connections in etcd's place, and passes nothing on until it is released.
type busy struct {
	net.Listener
	released chan struct{}
	once     sync.Once
}

func newBusy(t *testing.T, url string) *busy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &busy{Listener: l, released: make(chan struct{})}
	t.Cleanup(func() { l.Close(); b.release() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer near.Close()
				<-b.released
				far, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
				if err != nil {
					return
				}
				defer far.Close()
				go func() { _, _ = io.Copy(far, near); far.Close() }()
				_, _ = io.Copy(near, far)
			}()
		}
	}()
	return b
}

func (b *busy) release() { b.once.Do(func() { close(b.released) }) }

// releasing passes on what a verb prints. It releases etcd once the verb says that it waits.
type releasing struct {
	*busy
	mu   sync.Mutex
	text strings.Builder
}

func (r *releasing) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, _ := r.text.Write(b)
	if strings.Contains(r.text.String(), "does not answer yet; waiting for up to") {
		r.release()
	}
	return n, nil
}

// Every verb that speaks to a busy etcd says that it waits, and goes on when etcd answers.
func TestVerbsWaitForBusyEtcd(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	etcd, err := embedded.Start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	file, secret := filepath.Join(t.TempDir(), "zone.yaml"), filepath.Join(t.TempDir(), "secret")
	write(t, file, oneZone)
	write(t, secret, strings.Repeat("0123456789abcdef", 4)+"\n")
	if status, out, errs := command(t, "apply", "-f", file, "--etcd", etcd.URL()); status != 0 {
		t.Fatal(status, out, errs)
	}
	for _, line := range []string{
		"accept --force", "accept --dry-run", "apply -f " + file, "status",
		"explain www.example.test A --client 192.0.2.1", "get zones", "drain pool/www-us --dry-run",
		"restore pool/www-us", "delete policy www.example.test --dry-run", "export example.test",
		"simulate --down pool/www-us", "key list --key-secret-file " + secret,
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			b := newBusy(t, etcd.URL())
			errs := &releasing{busy: b}
			args := append(strings.Fields(line), "--etcd", "http://"+b.Addr().String())
			run(t.Context(), args, nil, strings.NewReader(""), io.Discard, errs)
			select {
			case <-b.released:
			default:
				t.Errorf("it did not say that it waits, but: %s", errs.text.String())
			}
			for _, word := range []string{"no connection", "not answer within", "not read within"} {
				if strings.Contains(errs.text.String(), word) {
					t.Errorf("it gave up: %s", errs.text.String())
				}
			}
		})
	}
}
