package console_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leeward/server/answer"
	"leeward/server/console"
	"leeward/server/history"
)

// An explanation for a time in the past says which time, and has a link that lasts. A time that is not kept, or that is
// no time, is explained beside the form.
func TestExplainThen(t *testing.T) {
	var asked time.Time
	var fails error
	o := options(night())
	o.Explain = func(string, string, string) (*answer.Explanation, error) {
		return &answer.Explanation{Answer: []string{"now"}}, nil
	}
	o.ExplainAt = func(_ context.Context, at time.Time, name, qtype, client string) (*answer.Explanation, error) {
		asked = at
		if name != "www.example.test" || qtype != "A" || client != "192.0.2.7" {
			t.Errorf("asked is %q %q %q", name, qtype, client)
		}
		return &answer.Explanation{Answer: []string{"then"}, Notes: []string{"what chance drew is not kept"}}, fails
	}
	// Each page comes from another server, because one that has answered about the past rests for as long as that took.
	page := func(query string) (int, string) {
		r, page := get(t, console.New(o), "/explain?name=www.example.test&client=192.0.2.7"+query)
		return r.StatusCode, page
	}
	for query, want := range map[string]time.Time{
		"&at=2h":                  noon.Add(-2 * time.Hour),
		"&at=02:17":               time.Date(2026, 11, 28, 2, 17, 0, 0, time.UTC),
		"&at=13:00Z":              time.Date(2026, 11, 27, 13, 0, 0, 0, time.UTC),
		"&at=2026-11-28T02:17:30": time.Date(2026, 11, 28, 2, 17, 30, 0, time.UTC),
	} {
		asked = time.Time{}
		code, plain := page(query)
		if code != 200 || !asked.Equal(want) {
			t.Fatalf("%s: %d, asks for %v, want %v", query, code, asked, want)
		}
		stamp := want.Format(time.RFC3339)
		for _, part := range []string{
			"What ns1 answered on " + want.Format("2 January 15:04:05 UTC"), "what chance drew is not kept",
			"leeward explain www.example.test A --client 192.0.2.7 --at " + stamp,
			"This page does not change by itself.",
		} {
			if !strings.Contains(text(plain), part) {
				t.Errorf("%s: the page does not say %q:\n%s", query, part, text(plain))
			}
		}
		if !strings.Contains(plain, "at="+url.QueryEscape(stamp)) || strings.Contains(plain, `http-equiv="refresh"`) {
			t.Errorf("%s: no link that stays, or the page asks again by itself:\n%s", query, plain)
		}
	}
	asked = time.Time{}
	for _, query := range []string{"", "&at=", "&at=+"} {
		_, plain := page(query)
		if read := text(plain); !strings.Contains(read, "now") || strings.Contains(read, "--at") || !asked.IsZero() {
			t.Errorf("%q asks about the past:\n%s", query, read)
		}
	}
	if code, plain := page("&at=yore"); code != 200 || !strings.Contains(text(plain), `at "yore" is not a time`) {
		t.Errorf("a time that is none: %d %s", code, text(plain))
	}
	fails = &history.NotKept{Message: "nothing is kept from before 2026-11-27T12:00:00Z"}
	if code, plain := page("&at=3d"); code != 200 || !strings.Contains(text(plain), fails.Error()) ||
		strings.Contains(text(plain), "Answer of then") {
		t.Errorf("a time that is not kept: %d %s", code, text(plain))
	}
	o.ExplainAt = nil
	_, plain := page("&at=2h")
	if !strings.Contains(text(plain), "keeps no record of past answers") || strings.Contains(plain, `id="at"`) {
		t.Errorf("a process that keeps nothing: %s", text(plain))
	}
}

// Answers about the past take turns with simulations, at most one for each address, and end after ten seconds.
// Explanations of the present go on meanwhile.
func TestExplainThenTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(night())
		o.Explain = func(string, string, string) (*answer.Explanation, error) { return &answer.Explanation{}, nil }
		began := make(chan struct{}, 9)
		o.ExplainAt = func(ctx context.Context, _ time.Time, _, _, _ string) (*answer.Explanation, error) {
			began <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		h := console.New(o)
		ask := func(from, query string) chan *httptest.ResponseRecorder {
			r := httptest.NewRequest("GET", "/explain?name=x&client=192.0.2.7"+query, nil)
			r.RemoteAddr = from + ":4711"
			w, done := httptest.NewRecorder(), make(chan *httptest.ResponseRecorder, 1)
			go func() { h.ServeHTTP(w, r); done <- w }()
			return done
		}
		start := time.Now()
		first := ask("192.0.2.1", "&at=2h")
		<-began
		if w := <-ask("192.0.2.1", "&at=3h"); w.Code != http.StatusServiceUnavailable {
			t.Errorf("a second one of the same address is answered %d", w.Code)
		}
		if w := <-ask("192.0.2.1", ""); w.Code != 200 {
			t.Errorf("an explanation of now is answered %d", w.Code)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("an explanation of now waits for %v", took)
		}
		if w := <-ask("192.0.2.2", "&at=4h"); w.Code != http.StatusServiceUnavailable ||
			w.Header().Get("Retry-After") == "" {
			t.Errorf("the one that finds no turn is answered %d", w.Code)
		}
		w := <-first
		if took := time.Since(start); took != 10*time.Second ||
			!strings.Contains(w.Body.String(), "not worked out within") {
			t.Errorf("the first ends after %v: %s", took, text(w.Body.String()))
		}
		if len(began) != 0 {
			t.Error("two are worked out beside each other")
		}
		time.Sleep(time.Minute) // the rest
	})
}
