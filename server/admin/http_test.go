package admin_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/admin"
	"leeward/server/answer"
)

// ask sends one request to the handler; edit may be nil.
func ask(t *testing.T, h http.Handler, method, target string, edit func(*http.Request)) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:8053"+target, nil)
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func options() admin.Options {
	registry := prometheus.NewRegistry()
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "leeward_snapshot_revision"})
	g.Set(42)
	registry.MustRegister(g)
	return admin.Options{
		Log:     slog.New(slog.DiscardHandler),
		Metrics: registry,
		Status: func(context.Context) (*admin.Status, error) {
			return &admin.Status{Self: "fra", Servers: []admin.Server{{ID: "fra", Revision: 42}}}, nil
		},
		Explain: func(name, qtype, client string) (*answer.Explanation, error) {
			if name == "" {
				return nil, &answer.BadQuestion{Message: "name is missing; add ?name=www.example.test"}
			}
			return &answer.Explanation{Name: name, Type: qtype, Client: netip.MustParseAddr(client), Scope: 24}, nil
		},
	}
}

func TestPages(t *testing.T) {
	o := options()
	var notReady error
	o.Ready = func() error { return notReady }
	h := admin.NewHandler(o)
	for _, c := range []struct {
		method, target string
		code           int
		holds          string
	}{
		{"GET", "/healthz", 200, "ok"},
		{"HEAD", "/healthz", 200, ""},
		{"GET", "/readyz", 200, "ok"},
		{"GET", "/metrics", 200, "leeward_snapshot_revision 42"},
		{"GET", "/api/v1/status", 200, `"revision":42`},
		{"GET", "/api/v1/explain?name=www.example.test&type=A&client=192.0.2.1", 200, `"scope":24`},
		{"GET", "/api/v1/explain", 400, "name is missing"},
		{"GET", "/api/v1/explain?name=a&name=b", 400, "give it once"},
		{"GET", "/api/v1/explain?nmae=a", 400, `no parameter \"nmae\"`},
		{"GET", "/", 200, "/api/v1/explain?name=&type=&client="},
		{"GET", "/nowhere", 404, "/api lists what there is"},
		{"POST", "/api/v1/status", 405, "only reads"},
		{"PUT", "/healthz", 405, "only reads"},
		{"DELETE", "/", 405, "only reads"},
	} {
		r := ask(t, h, c.method, c.target, nil)
		if got := body(t, r); r.StatusCode != c.code || !strings.Contains(got, c.holds) {
			t.Errorf("%s %s: %d %q; want %d with %q", c.method, c.target, r.StatusCode, got, c.code, c.holds)
		}
		if r.StatusCode >= 400 {
			if ct := r.Header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("%s %s: an error of type %q, want JSON", c.method, c.target, ct)
			}
		}
	}

	notReady = errors.New("no snapshot yet")
	if r := ask(t, h, "GET", "/readyz", nil); r.StatusCode != 503 || !strings.Contains(body(t, r), "no snapshot yet") {
		t.Errorf("/readyz without a snapshot: %d", r.StatusCode)
	}
	if r := ask(t, h, "GET", "/healthz", nil); r.StatusCode != 200 {
		t.Errorf("/healthz without a snapshot: %d", r.StatusCode)
	}
}

func TestToken(t *testing.T) {
	o := options()
	o.Token = func() string { return "s3cret" }
	h := admin.NewHandler(o)
	with := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", value); r.Host = "dns-1.example.test:8053" }
	}
	for _, c := range []struct {
		value string
		code  int
	}{
		{"", 401},
		{"Bearer wrong", 401},
		{"Basic s3cret", 401},
		{"Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:s3cret")), 200},
		{"Basic " + base64.StdEncoding.EncodeToString([]byte("s3cret:wrong")), 401},
		{"Basic " + base64.StdEncoding.EncodeToString([]byte("s3cret")), 401},
		{"Digest s3cret", 401},
		{"s3cret", 401},
		{"Bearer s3cret", 200},
		{"bearer s3cret", 200},
	} {
		for _, target := range []string{"/api/v1/status", "/metrics", "/"} {
			if r := ask(t, h, "GET", target, with(c.value)); r.StatusCode != c.code {
				t.Errorf("%s with %q: %d, want %d", target, c.value, r.StatusCode, c.code)
			}
		}
	}
	for value, want := range map[string]string{
		"":             "this server asks for its token",
		"Bearer wrong": "the token is not this server's",
	} {
		r := ask(t, h, "GET", "/api/v1/status", with(value))
		if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), want) {
			t.Errorf("%q is told %s, want %q", value, body, want)
		}
	}
	for _, target := range []string{"/healthz", "/readyz"} {
		if r := ask(t, h, "GET", target, with("")); r.StatusCode != 200 {
			t.Errorf("%s asks for a token: %d", target, r.StatusCode)
		}
	}
}

// A name that resolves to loopback must not open the interface to a web page.
func TestForeignHost(t *testing.T) {
	h := admin.NewHandler(options())
	for host, code := range map[string]int{
		"127.0.0.1:8053": 200, "localhost:8053": 200, "localhost": 200, "[::1]:8053": 200, "[::1]": 200,
		"rebound.example.test:8053": 403, "rebound.example.test": 403,
	} {
		if r := ask(t, h, "GET", "/api/v1/status", func(r *http.Request) { r.Host = host }); r.StatusCode != code {
			t.Errorf("Host %s: %d, want %d", host, r.StatusCode, code)
		}
	}
}

// The interface accepts the name at which people reach it, for example through a proxy.
func TestOwnName(t *testing.T) {
	o := options()
	o.URL = "https://Ns1.example.test"
	h := admin.NewHandler(o)
	for host, code := range map[string]int{
		"ns1.example.test": 200, "NS1.example.test": 200, "127.0.0.1:8053": 200,
		"ns1.example.test:8053": 403, "ns2.example.test": 403, "": 403,
	} {
		if r := ask(t, h, "GET", "/api/v1/status", func(r *http.Request) { r.Host = host }); r.StatusCode != code {
			t.Errorf("Host %q: %d, want %d", host, r.StatusCode, code)
		}
	}
}

func TestErrorsAreJSON(t *testing.T) {
	o := options()
	o.Status = func(context.Context) (*admin.Status, error) { return nil, errors.New("the server is stopping") }
	r := ask(t, admin.NewHandler(o), "GET", "/api/v1/status", nil)
	var f admin.Failure
	if err := json.NewDecoder(r.Body).Decode(&f); err != nil || r.StatusCode != 503 ||
		f.Error != "the server is stopping" {
		t.Errorf("%d %+v %v", r.StatusCode, f, err)
	}
}

// A page of another site cannot use credentials that a browser sends by itself, but a link to a screen works.
func TestCrossSite(t *testing.T) {
	o := options()
	o.Token = func() string { return "s3cret" }
	o.Pages = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a screen") })
	h := admin.NewHandler(o)
	for _, c := range []struct {
		target, site, mode, dest string
		code                     int
	}{
		{"/", "", "", "", 200},
		{"/", "none", "navigate", "document", 200},
		{"/", "same-origin", "cors", "empty", 200},
		{"/", "cross-site", "navigate", "document", 200},
		{"/region/eu-west", "same-site", "navigate", "document", 200},
		{"/", "cross-site", "navigate", "iframe", 403},
		{"/", "cross-site", "no-cors", "image", 403},
		{"/events", "same-site", "cors", "empty", 403},
		{"/api/v1/status", "same-origin", "cors", "empty", 200},
		{"/api/v1/status", "cross-site", "navigate", "document", 403},
		{"/metrics", "cross-site", "no-cors", "script", 403},
		{"/healthz", "cross-site", "no-cors", "script", 200},
		{"/api/v2", "", "", "", 404},
		{"/api", "", "", "", 200},
	} {
		r := ask(t, h, "GET", c.target, func(r *http.Request) {
			r.SetBasicAuth("me", "s3cret")
			for name, value := range map[string]string{"Site": c.site, "Mode": c.mode, "Dest": c.dest} {
				if value != "" {
					r.Header.Set("Sec-Fetch-"+name, value)
				}
			}
		})
		if r.StatusCode != c.code {
			t.Errorf("%+v: %d %s", c, r.StatusCode, body(t, r))
		}
	}
	// A browser asks its user for a password only if Basic is offered.
	if offers := ask(t, h, "GET", "/", nil).Header.Values("WWW-Authenticate"); len(offers) != 2 {
		t.Errorf("offered are %q", offers)
	}
}
