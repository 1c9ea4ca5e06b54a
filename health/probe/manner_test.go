package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"leeward/health"
)

// asked makes one probe in the manner of an endpoint.
func asked(t *testing.T, o Options, m *health.Monitor, manner health.Manner) outcome {
	t.Helper()
	o.Vantage, o.OnReport = "test", func([]health.Report) {}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p.probe(context.Background(), loopback, m, manner)
}

// Two balancers that differ only in their names are each asked by their own name, although the monitor has no host.
func TestAskedByName(t *testing.T) {
	ca := newAuthority(t)
	var seen string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.TLS.ServerName + " " + r.Host + " " + r.Header.Get("X-Shard") + r.Header.Get("X-Probe")
	}))
	one, two := ca.sign(t, -time.Hour, time.Hour, "one.example.test"), ca.sign(t, -time.Hour, time.Hour,
		"two.example.test")
	server.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == "one.example.test" {
			return &one.Certificates[0], nil
		}
		return &two.Certificates[0], nil
	}}
	server.StartTLS()
	defer server.Close()
	port := portOf(server.Listener.Addr())
	for _, c := range []struct {
		name, monitor string
		manner        health.Manner
		want          string
	}{
		{
			"by hostname", `{"https": {"port": PORT}}`,
			health.Manner{Hostname: "one.example.test"},
			fmt.Sprintf("one.example.test one.example.test:%d ", port),
		},
		{
			"by another", `{"https": {"port": PORT}}`,
			health.Manner{Hostname: "two.example.test"},
			fmt.Sprintf("two.example.test two.example.test:%d ", port),
		},
		{
			"the monitor's word comes before the hostname", `{"https": {"port": PORT, "host": "two.example.test"}}`,
			health.Manner{Hostname: "one.example.test"},
			"two.example.test two.example.test ",
		},
		{
			"the endpoint's word comes before the monitor's", `{"https": {"port": PORT, "host": "two.example.test"}}`,
			health.Manner{Host: "one.example.test", Hostname: "x.test"},
			"one.example.test one.example.test ",
		},
		{
			"a server name is one", `{"https": {"port": PORT, "serverName": "two.example.test"}}`,
			health.Manner{Host: "www.example.test"},
			"two.example.test www.example.test ",
		},
		{
			"headers",
			`{"https": {"port": PORT, "host": "two.example.test", "headers": {"X-Shard": "a", "X-Probe": "p"}}}`,
			health.Manner{Headers: health.Headers{"x-shard": "b"}.Lines()},
			"two.example.test two.example.test bp",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := asked(t, Options{RootCAs: ca.pool}, monitor(t, c.monitor, port), c.manner)
			if o.state != health.Up || seen != c.want {
				t.Errorf("%s %q, asked for %q; want up, asked for %q", o.state, o.reason, seen, c.want)
			}
		})
	}
	for _, text := range []string{`{"tls": {"port": PORT}}`, `{"https": {"port": PORT}}`} {
		m := monitor(t, text, port)
		if o := asked(t, Options{RootCAs: ca.pool}, m,
			health.Manner{Hostname: "else.example.test"}); o.reason != "certificate is not for else.example.test" {
			t.Errorf("%s: a certificate for another name: %s %q", text, o.state, o.reason)
		}
		if o := asked(t, Options{RootCAs: ca.pool}, m,
			health.Manner{Hostname: "one.example.test"}); o.state != health.Up {
			t.Errorf("%s: %s %q", text, o.state, o.reason)
		}
	}
}

func TestRedirectsAreFollowedAtTheSameAddress(t *testing.T) {
	ca := newAuthority(t)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s%s by TLS for %s", r.Method, r.Host, r.URL.RequestURI(), r.TLS.ServerName)
	}))
	secure.TLS = ca.sign(t, -time.Hour, time.Hour, "www.example.test")
	secure.StartTLS()
	defer secure.Close()
	mux := http.NewServeMux()
	to := func(path, location string, code int) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(code)
		})
	}
	// The host leads nowhere, and the probe goes to the address.
	to("/secure", fmt.Sprintf("https://www.example.test:%d/ok?a=b", portOf(secure.Listener.Addr())), 301)
	to("/twice", "/secure", 307)
	to("/loop", "/loop", 302)
	to("/none", "", 302)
	to("/ftp", "ftp://www.example.test/", 302)
	to("/port", "http://www.example.test:0/", 302)
	to("/bad", "http://[/", 302)
	plain := httptest.NewServer(mux)
	defer plain.Close()
	for _, c := range []struct{ check, reason string }{
		{`{"path": "/secure"}`, "status 301"},
		{`{"path": "/secure", "redirects": 1, "body": "GET www.example.test:` +
			fmt.Sprint(portOf(secure.Listener.Addr())) + `/ok?a=b by TLS for www.example.test"}`, ""},
		{`{"path": "/secure", "redirects": 1, "method": "POST", "body": "GET www"}`, ""},
		{`{"path": "/twice", "redirects": 1}`, "more than 1 redirects"},
		{`{"path": "/twice", "redirects": 2, "body": "GET www.example.test"}`, ""},
		{`{"path": "/loop", "redirects": 10}`, "more than 10 redirects"},
		{`{"path": "/loop", "redirects": 10, "status": "302"}`, ""},
		{`{"path": "/none", "redirects": 1}`, "status 302"},
		{`{"path": "/ftp", "redirects": 1}`, "status 302"},
		{`{"path": "/port", "redirects": 1}`, "status 302"},
		{`{"path": "/bad", "redirects": 1}`, "status 302"},
	} {
		m := monitor(t, `{"http": `+strings.Replace(c.check, "{", `{"port": PORT, `, 1)+`}`,
			portOf(plain.Listener.Addr()))
		if o := asked(t, Options{RootCAs: ca.pool}, m, health.Manner{}); o.reason != c.reason {
			t.Errorf("%s: %s %q, want %q", c.check, o.state, o.reason, c.reason)
		}
	}
}

func TestHTTP2(t *testing.T) {
	ca := newAuthority(t)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/headers" {
			w.Header().Set("X-Long", strings.Repeat("x", 2*maxHeader))
		}
		if r.URL.Path == "/endless" {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
					return
				}
			}
		}
		fmt.Fprintf(w, "%s for %s", r.Proto, r.Host)
	})
	serve := func(secure bool, protocols func(*http.Protocols)) uint16 {
		server := httptest.NewUnstartedServer(handler)
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.Config.Protocols = new(http.Protocols)
		protocols(server.Config.Protocols)
		if secure {
			server.EnableHTTP2 = server.Config.Protocols.HTTP2()
			server.TLS = ca.sign(t, -time.Hour, time.Hour, "www.example.test")
			server.StartTLS()
		} else {
			server.Start()
		}
		t.Cleanup(server.Close)
		return portOf(server.Listener.Addr())
	}
	both := serve(true, func(p *http.Protocols) { p.SetHTTP1(true); p.SetHTTP2(true) })
	old := serve(true, func(p *http.Protocols) { p.SetHTTP1(true) })
	clear := serve(false, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
	clearOld := serve(false, func(p *http.Protocols) { p.SetHTTP1(true) })
	mail := listen(t, func(c net.Conn) {
		io.WriteString(c, "220 mail.example.test ESMTP\r\n")
		io.Copy(io.Discard, c)
	})
	for _, c := range []struct {
		port          uint16
		check, reason string
	}{
		{
			both, `"https": {"port": PORT, "protocol": "h2", "host": "www.example.test", "body": "HTTP/2.0 for www.example.test"}`,
			"",
		},
		{both, `"https": {"port": PORT, "host": "www.example.test", "body": "HTTP/1.1 for"}`, ""},
		{old, `"https": {"port": PORT, "protocol": "h2", "host": "www.example.test"}`, "does not speak HTTP/2"},
		{
			both, `"https": {"port": PORT, "protocol": "h2", "host": "else.example.test"}`,
			"certificate is not for else.example.test",
		},
		{
			both, `"https": {"port": PORT, "protocol": "h2", "host": "www.example.test", "path": "/headers"}`,
			"headers longer than 64 KiB",
		},
		{
			both, `"https": {"port": PORT, "protocol": "h2", "host": "www.example.test", "path": "/endless", "body": "y"}`,
			`body lacks "y"`,
		},
		{clear, `"http": {"port": PORT, "protocol": "h2", "body": "HTTP/2.0 for 127.0.0.1"}`, ""},
		{clearOld, `"http": {"port": PORT, "protocol": "h2"}`, "not HTTP/2"},
		{mail, `"http": {"port": PORT, "protocol": "h2"}`, "not HTTP/2"},
	} {
		m := monitor(t, "{"+c.check+"}", c.port)
		if o := asked(t, Options{RootCAs: ca.pool}, m, health.Manner{}); o.reason != c.reason {
			t.Errorf("%s: %s %q, want %q", c.check, o.state, o.reason, c.reason)
		}
	}
}

func TestClientCertificate(t *testing.T) {
	ca := newAuthority(t)
	own := ca.sign(t, -time.Hour, time.Hour, "probe.example.test").Certificates[0]
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.PeerCertificates[0].DNSNames[0])
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = ca.sign(t, -time.Hour, time.Hour)
	server.TLS.ClientAuth = tls.RequireAnyClientCert
	server.StartTLS()
	defer server.Close()
	m := monitor(t, `{"https": {"port": PORT, "body": "probe.example.test"}}`, portOf(server.Listener.Addr()))
	o := Options{RootCAs: ca.pool, Certificate: func() *tls.Certificate { return &own }}
	if got := asked(t, o, m, health.Manner{}); got.state != health.Up {
		t.Errorf("with a certificate: %s %q", got.state, got.reason)
	}
	for name, o := range map[string]Options{
		"none":         {RootCAs: ca.pool},
		"not read yet": {RootCAs: ca.pool, Certificate: func() *tls.Certificate { return nil }},
	} {
		if got := asked(t, o, m, health.Manner{}); got.state != health.Down ||
			!strings.Contains(got.reason, "certificate required") {
			t.Errorf("%s: %s %q", name, got.state, got.reason)
		}
	}
	var unused *x509.CertPool
	if got := asked(t, Options{RootCAs: unused}, m, health.Manner{}); got.state != health.Down {
		t.Errorf("not trusted: %s", got.state)
	}
}
