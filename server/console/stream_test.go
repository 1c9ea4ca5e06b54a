package console_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leeward/server/console"
)

// lines is a ResponseWriter that hands over each line when it is flushed.
type lines struct {
	http.ResponseWriter
	to chan string
}

func (l lines) Write(b []byte) (int, error) {
	s := bufio.NewScanner(strings.NewReader(string(b)))
	for s.Scan() {
		if name, ok := strings.CutPrefix(s.Text(), "event: "); ok {
			l.to <- name
		}
	}
	return len(b), nil
}

func (l lines) Flush()                            {}
func (l lines) SetWriteDeadline(time.Time) error  { return nil }
func (l lines) SetReadDeadline(_ time.Time) error { return nil }

// A stream says "changed" at a change, at most once a second, and once more a second later. It says "alive" when
// nothing has changed for five seconds.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(night())
		waits := 0
		o.Waits = func(*http.Request) func() { waits++; return nil }
		h := console.New(o)
		ctx, stop := context.WithCancel(t.Context())
		out := lines{httptest.NewRecorder(), make(chan string, 100)}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			h.ServeHTTP(out, httptest.NewRequestWithContext(ctx, "GET", "/events", nil))
		}()
		began := time.Now()
		expect := func(event string, at time.Duration) {
			t.Helper()
			if got := <-out.to; got != event || time.Since(began) != at {
				t.Errorf("%q at %v, want %q at %v", got, time.Since(began), event, at)
			}
		}
		expect("alive", 0)
		expect("alive", 5*time.Second)
		time.Sleep(time.Second)
		o.Changes.Published()
		expect("changed", 6*time.Second)
		for range 100 {
			o.Changes.Published()
			time.Sleep(time.Millisecond)
		}
		expect("changed", 7*time.Second)
		expect("changed", 8*time.Second) // the page may have been made before the last of them
		expect("alive", 13*time.Second)
		stop()
		<-ended
		if waits != 1 {
			t.Errorf("%d requests are known to wait", waits)
		}
	})
}

// The number of open streams is bounded, and a stream that ends makes room. A stream ends with the process, and by
// itself after a while.
func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(night())
		stopped := make(chan struct{})
		o.Stopped = stopped
		h := console.New(o)
		open := func() (code func() int, ended chan struct{}) {
			w := httptest.NewRecorder()
			ended = make(chan struct{})
			go func() {
				defer close(ended)
				h.ServeHTTP(w, httptest.NewRequest("GET", "/events", nil))
			}()
			synctest.Wait()
			return func() int { return w.Code }, ended
		}
		_, first := open()
		_, second := open()
		if code, ended := open(); true {
			<-ended
			if code() != http.StatusServiceUnavailable {
				t.Errorf("the third is answered %d", code())
			}
		}
		began := time.Now()
		<-first
		<-second
		if took := time.Since(began); took != 10*time.Minute {
			t.Errorf("they end after %v", took)
		}
		_, again := open()
		close(stopped)
		<-again
	})
}
