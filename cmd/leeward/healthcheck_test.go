package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReadyPage(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:8053":          "http://127.0.0.1:8053/readyz",
		":8053":                   "http://127.0.0.1:8053/readyz",
		"0.0.0.0:8053":            "http://127.0.0.1:8053/readyz",
		"[::]:8053":               "http://[::1]:8053/readyz",
		"[2001:db8::1]:8053":      "http://[2001:db8::1]:8053/readyz",
		"https://ns1.test:8053":   "https://ns1.test:8053/readyz",
		"http://127.0.0.1:8053/a": "http://127.0.0.1:8053/a/readyz",
		"":                        "",
		"http://":                 "",
	} {
		got := ""
		page, err := new(adminTLSFlags).page(address, "/readyz")
		if err == nil {
			got = page.String()
		}
		if got != want || (err == nil) != (want != "") {
			t.Errorf("the page of %q is %q, %v, want %q", address, got, err, want)
		}
	}
}

func TestHealthcheckSaysWhetherTheServerIsReady(t *testing.T) {
	ready := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/readyz":
			t.Errorf("it asks for %s", r.URL.Path)
		case !ready:
			http.Error(w, "no snapshot yet", http.StatusServiceUnavailable)
		default:
			w.Write([]byte("ready\n"))
		}
	}))
	defer server.Close()
	check := func() (int, string) {
		var out, errs bytes.Buffer
		environment := []string{"LEEWARD_ADMIN=" + server.Listener.Addr().String()}
		status := run(t.Context(), []string{"healthcheck"}, environment, nil, &out, &errs)
		return status, out.String() + errs.String()
	}
	if status, said := check(); status != 1 || !strings.Contains(said, "no snapshot yet") {
		t.Errorf("before: exit status %d, %s", status, said)
	}
	ready = true
	if status, said := check(); status != 0 {
		t.Errorf("after: exit status %d, %s", status, said)
	}
	server.Close()
	if status, _ := check(); status != 1 {
		t.Errorf("with nobody there: exit status %d, want 1", status)
	}
}
