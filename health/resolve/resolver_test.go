package resolve

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// looks is the look-ups of a Resolver in tests, with their times.
type looks struct {
	mu        sync.Mutex
	four, six reply
	at        []time.Duration
	began     time.Time
}

func (l *looks) look(context.Context, string) (reply, reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = append(l.at, time.Since(l.began))
	return l.four, l.six
}

// tell sets the replies from now on.
func (l *looks) tell(four, six reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.four, l.six = four, six
}

// running is a Resolver in a synctest bubble. It stops at the end of the test.
func running(t *testing.T, l *looks, o Options) (r *Resolver, answers *[]Answer, stop func()) {
	answers = new([]Answer)
	o.OnAnswer = func(a Answer) { *answers = append(*answers, a) }
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l.began = time.Now()
	r.look = l.look
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	return r, answers, func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

func TestLookedUpBeforeItsTTLRunsOut(t *testing.T) {
	for _, c := range []struct{ ttl, least, most time.Duration }{
		{time.Minute, 43 * time.Second, 54 * time.Second},
		{0, MinInterval, MinInterval},
		{time.Second, MinInterval, MinInterval},
		{time.Hour, 4 * time.Minute * 8 / 10, MaxInterval},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := &looks{four: told(c.ttl, v4), six: told(c.ttl, v6)}
			r, answers, stop := running(t, l, Options{})
			defer stop()
			r.Assign([]string{"lb.example", "lb.example"})
			time.Sleep(30 * time.Minute)
			synctest.Wait()
			for i := 1; i < len(l.at); i++ {
				if wait := l.at[i] - l.at[i-1]; wait < c.least || wait > c.most {
					t.Errorf("TTL %v: looked up again after %v", c.ttl, wait)
				}
			}
			if len(l.at) < 6 || l.at[0] != 0 || len(*answers) != len(l.at) {
				t.Errorf("TTL %v: looked up at %v, %d answers", c.ttl, l.at, len(*answers))
			}
		})
	}
}

func TestLossOfTheResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		l := &looks{four: told(20*time.Second, v4), six: told(0)}
		r, answers, stop := running(t, l, Options{Registerer: registry})
		defer stop()
		r.Assign([]string{"lb.example"})
		time.Sleep(time.Second)
		synctest.Wait()
		l.tell(failed(), failed())
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		a, ok := r.Answer("lb.example")
		if !ok || !slices.Equal(a.Addresses, []netip.Addr{v4}) || a.Err == "" || !a.Expires.Before(time.Now()) ||
			time.Since(a.Since) < 23*time.Hour {
			t.Fatalf("after a day without a resolver: %+v", a)
		}
		for i := 10; i < len(l.at); i++ {
			if wait := l.at[i] - l.at[i-1]; wait > maxRetry {
				t.Fatalf("asked again after %v", wait)
			}
		}
		if v := testutil.ToFloat64(r.metrics.failing); v != 1 {
			t.Errorf("leeward_resolve_failing is %v", v)
		}
		l.tell(told(20*time.Second, v4b), told(0))
		time.Sleep(maxRetry)
		synctest.Wait()
		if a, _ := r.Answer("lb.example"); !slices.Equal(a.Addresses, []netip.Addr{v4b}) || a.Err != "" {
			t.Errorf("when it was back: %+v", a)
		}
		if last := (*answers)[len(*answers)-1]; !slices.Equal(last.Addresses, []netip.Addr{v4b}) {
			t.Errorf("handed over: %+v", last)
		}
		if v := testutil.ToFloat64(r.metrics.failing); v != 0 {
			t.Errorf("leeward_resolve_failing is %v", v)
		}
		r.Assign(nil)
		if _, ok := r.Answer("lb.example"); ok || testutil.ToFloat64(r.metrics.names) != 0 {
			t.Error("a name that nobody asks for is kept")
		}
	})
}

func TestAnswersOutliveTheProcess(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		l := &looks{four: told(time.Minute, v4), six: told(time.Minute, v6)}
		r, _, stop := running(t, l, Options{State: folder})
		r.Assign([]string{"lb.example"})
		time.Sleep(time.Second)
		synctest.Wait()
		stop()
	})
	synctest.Test(t, func(t *testing.T) {
		l := &looks{four: failed(), six: failed()}
		r, _, stop := running(t, l, Options{State: folder})
		defer stop()
		if kept := r.Kept(); len(kept) != 1 || kept[0].Hostname != "lb.example" || !kept[0].Expires.IsZero() {
			t.Fatalf("kept: %+v", kept)
		}
		r.Assign([]string{"lb.example"})
		time.Sleep(time.Minute)
		synctest.Wait()
		if a, _ := r.Answer("lb.example"); !slices.Equal(a.Addresses, []netip.Addr{v4, v6}) || a.Err == "" ||
			a.Known != [2]bool{true, true} {
			t.Errorf("after a restart without a resolver: %+v", a)
		}
	})
	if err := os.WriteFile(filepath.Join(folder, File), []byte("[{"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{State: folder})
	if err != nil || len(r.Kept()) != 0 {
		t.Errorf("a broken file: %v, %v", r.Kept(), err)
	}
}

func TestOnce(t *testing.T) {
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := &looks{four: failed(), six: failed(), began: time.Now()}
	r.look = l.look
	r.Assign([]string{"lb.example"})
	r.Once(t.Context())
	if a, _ := r.Answer("lb.example"); len(l.at) != 1 || a.Err == "" {
		t.Errorf("looked up %d times: %+v", len(l.at), a)
	}
}

// If a disk is full and has room later, the names are saved then, although none of them changes. That is logged once.
func TestNamesAreKeptOnceThereIsRoom(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(folder, nil, 0o600); err != nil { // a file, so that nothing can be written into it
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l := &looks{four: told(time.Hour, v4), six: told(time.Hour, v6)}
		r, _, stop := running(t, l, Options{State: folder, Log: slog.New(slog.NewTextHandler(&log, nil))})
		r.Assign([]string{"lb.example"})
		time.Sleep(time.Minute)
		if err := os.Remove(folder); err != nil {
			t.Fatal(err)
		}
		time.Sleep(saveAgain)
		synctest.Wait()
		kept, err := load(folder)
		if err != nil || len(kept) != 1 {
			t.Errorf("kept: %v, %v", kept, err)
		}
		stop()
		if n := strings.Count(log.String(), "are not kept on disk"); n != 1 {
			t.Errorf("told %d times: %s", n, &log)
		}
		if !strings.Contains(log.String(), "are kept on disk again") {
			t.Errorf("it is not told that it is over: %s", &log)
		}
	})
}
