package probe

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"leeward/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority signs certificates that the prober under test trusts.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true,
		BasicConstraintsValid: true,
		NotBefore:             time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// sign makes a certificate for the names (and 127.0.0.1 if there is none) that is valid between these times from now.
func (a *authority) sign(t *testing.T, from, until time.Duration, names ...string) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(until), DNSNames: names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(names) == 0 {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

var loopback = netip.MustParseAddr("127.0.0.1")

// listen calls serve for each connection to a port on loopback until the test ends.
func listen(t *testing.T, serve func(net.Conn)) uint16 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return portOf(l.Addr())
}

func portOf(a net.Addr) uint16 { return netip.MustParseAddrPort(a.String()).Port() }

func closedPort(t *testing.T) uint16 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return portOf(l.Addr())
}

// monitor reads a monitor as a document has it, with the port filled in.
func monitor(t *testing.T, text string, port uint16) *health.Monitor {
	var m health.Monitor
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, "PORT", fmt.Sprint(port))), &m); err != nil {
		t.Fatal(err)
	}
	if errs := m.Validate(); errs != nil {
		t.Fatal(errs)
	}
	return &m
}

// check makes one probe and compares the outcome.
func check(t *testing.T, roots *x509.CertPool, m *health.Monitor, want health.State, reason string) outcome {
	t.Helper()
	p, err := New(Options{Vantage: "test", RootCAs: roots, OnReport: func([]health.Report) {}})
	if err != nil {
		t.Fatal(err)
	}
	o := p.probe(context.Background(), loopback, m, health.Manner{})
	if o.state != want || o.reason != reason {
		t.Errorf("%s %q, want %s %q", o.state, o.reason, want, reason)
	}
	return o
}

func TestHTTP(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a redirect was followed")
	}))
	defer elsewhere.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(loadHeader, "TEXT cpu_utilization=0.3, application_utilization=0.75")
		fmt.Fprintf(w, "all is ok with %s, asked by %s", r.Host, r.UserAgent())
	})
	mux.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusFound)
	})
	mux.HandleFunc("/method", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "HEAD" {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	})
	mux.HandleFunc("/query", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.RawQuery) })
	mux.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(103)
		w.WriteHeader(200)
	})
	mux.HandleFunc("/late", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("x", health.MaxBody-2)+"ok and so on")
	})
	mux.HandleFunc("/too-late", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("x", health.MaxBody-1)+"ok")
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", maxHeader))
	})
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-r.Context().Done() // the body never ends
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	port := portOf(server.Listener.Addr())
	for _, c := range []struct {
		name, monitor string
		state         health.State
		reason        string
	}{
		{"up", `{"http": {"port": PORT, "path": "/ok"}}`, health.Up, ""},
		{
			"host and body",
			`{"http": {"port": PORT, "path": "/ok", "host": "www.example.test", "body": "ok with www.example.test, asked by leeward"}}`,
			health.Up, "",
		},
		{"body", `{"http": {"port": PORT, "path": "/ok", "body": "fine"}}`, health.Down, `body lacks "fine"`},
		{"status", `{"http": {"port": PORT, "path": "/broken"}}`, health.Down, "status 503"},
		{"status wanted", `{"http": {"port": PORT, "path": "/broken", "status": "200,500-599"}}`, health.Up, ""},
		{"nothing there", `{"http": {"port": PORT}}`, health.Down, "status 404"},
		{"redirect", `{"http": {"port": PORT, "path": "/moved"}}`, health.Down, "status 302"},
		{"redirect wanted", `{"http": {"port": PORT, "path": "/moved", "status": "302"}}`, health.Up, ""},
		{"method", `{"http": {"port": PORT, "path": "/method", "method": "HEAD"}}`, health.Up, ""},
		{"query", `{"http": {"port": PORT, "path": "/query?deep=1&a=b", "body": "deep=1&a=b"}}`, health.Up, ""},
		{"interim answer", `{"http": {"port": PORT, "path": "/early"}}`, health.Up, ""},
		{"late in the body", `{"http": {"port": PORT, "path": "/late", "body": "ok"}}`, health.Up, ""},
		{
			"too late in the body", `{"http": {"port": PORT, "path": "/too-late", "body": "ok"}}`, health.Down,
			`body lacks "ok"`,
		},
		{"endless headers", `{"http": {"port": PORT, "path": "/headers"}}`, health.Down, "headers longer than 64 KiB"},
		{
			"endless body", `{"http": {"port": PORT, "path": "/hang", "body": "ok"}, "timeout": "100ms"}`, health.Down,
			"timeout after 100ms",
		},
		{"endless body that nobody wants", `{"http": {"port": PORT, "path": "/hang"}}`, health.Up, ""},
		{"TLS to what has none", `{"https": {"port": PORT, "path": "/ok"}}`, health.Down, "not TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := check(t, nil, monitor(t, c.monitor, port), c.state, c.reason)
			if c.name == "up" && o.load != health.LoadOf(0.75) {
				t.Errorf("load %v", o.load)
			}
		})
	}
	t.Run("proxy", func(t *testing.T) {
		t.Setenv("http_proxy", "http://127.0.0.1:1")
		t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
		check(t, nil, monitor(t, `{"http": {"port": PORT, "path": "/ok"}}`, port), health.Up, "")
	})
	t.Run("closed", func(t *testing.T) {
		check(t, nil, monitor(t, `{"http": {"port": PORT}}`, closedPort(t)), health.Down, "connection refused")
	})
	t.Run("not HTTP", func(t *testing.T) {
		port := listen(t, func(c net.Conn) { io.WriteString(c, "220 mail.example.test ESMTP\r\n") })
		check(t, nil, monitor(t, `{"http": {"port": PORT}}`, port), health.Down, "not HTTP")
	})
	t.Run("hangs up", func(t *testing.T) {
		port := listen(t, func(c net.Conn) {
			buffer := make([]byte, 1024)
			c.Read(buffer)
		})
		check(t, nil, monitor(t, `{"http": {"port": PORT}}`, port), health.Down, "connection closed")
	})
	t.Run("says nothing", func(t *testing.T) {
		port := listen(t, func(c net.Conn) { io.Copy(io.Discard, c) })
		check(t, nil, monitor(t, `{"http": {"port": PORT}, "timeout": "50ms"}`, port), health.Down,
			"timeout after 50ms")
	})
}

func TestHTTPSAndTLS(t *testing.T) {
	ca := newAuthority(t)
	good := ca.sign(t, -time.Hour, 100*time.Hour, "www.example.test")
	for _, c := range []struct {
		name    string
		config  *tls.Config
		trust   bool
		monitor string
		state   health.State
		reason  string
	}{
		{"for the host", good, true, `{"https": {"port": PORT, "host": "www.example.test:8443"}}`, health.Up, ""},
		{
			"for the server name", good, true,
			`{"https": {"port": PORT, "host": "else.example.test", "serverName": "www.example.test"}}`, health.Up, "",
		},
		{"for the address", ca.sign(t, -time.Hour, time.Hour), true, `{"https": {"port": PORT}}`, health.Up, ""},
		{
			"for another name", good, true, `{"https": {"port": PORT, "host": "api.example.test"}}`, health.Down,
			"certificate is not for api.example.test",
		},
		{
			"insecure", good, false, `{"https": {"port": PORT, "host": "api.example.test", "insecure": true}}`,
			health.Up,
			"",
		},
		{
			"not trusted", good, false, `{"https": {"port": PORT, "host": "www.example.test"}}`, health.Down,
			"certificate is signed by an unknown authority",
		},
		{
			"expired", ca.sign(t, -100*time.Hour, -49*time.Hour, "www.example.test"), true,
			`{"https": {"port": PORT, "host": "www.example.test"}}`, health.Down, "certificate expired 2d ago",
		},
		{
			"not yet", ca.sign(t, 5*time.Hour+time.Minute, 9*time.Hour, "www.example.test"), true,
			`{"https": {"port": PORT, "host": "www.example.test"}}`, health.Down,
			"certificate not valid for another 5h",
		},
		{
			"tls", good, true, `{"tls": {"port": PORT, "serverName": "www.example.test", "minValidity": "96h"}}`,
			health.Up, "",
		},
		{
			"tls, valid too shortly", good, true,
			`{"tls": {"port": PORT, "serverName": "www.example.test", "minValidity": "168h"}}`, health.Down,
			"certificate expires in 4d, less than 7d",
		},
		{
			"tls, insecure but expired", ca.sign(t, -100*time.Hour, -49*time.Hour), true,
			`{"tls": {"port": PORT, "insecure": true, "minValidity": "1h"}}`, health.Down,
			"certificate expired 2d ago",
		},
		{
			"tls, for another name", good, true, `{"tls": {"port": PORT, "serverName": "api.example.test"}}`,
			health.Down,
			"certificate is not for api.example.test",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			server.TLS = c.config.Clone()
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.StartTLS()
			defer server.Close()
			roots := x509.NewCertPool()
			if c.trust {
				roots = ca.pool
			}
			check(t, roots, monitor(t, c.monitor, portOf(server.Listener.Addr())), c.state, c.reason)
		})
	}
	t.Run("handshake hangs", func(t *testing.T) {
		port := listen(t, func(c net.Conn) { io.Copy(io.Discard, c) })
		check(t, nil, monitor(t, `{"tls": {"port": PORT}, "timeout": "50ms"}`, port), health.Down, "timeout after 50ms")
	})
}

func TestTCP(t *testing.T) {
	port := listen(t, func(net.Conn) {})
	check(t, nil, monitor(t, `{"tcp": {"port": PORT}}`, port), health.Up, "")
	check(t, nil, monitor(t, `{"tcp": {"port": PORT}}`, closedPort(t)), health.Down, "connection refused")
}

func TestGRPC(t *testing.T) {
	ca := newAuthority(t)
	serve := func(t *testing.T, withHealth bool, options ...grpc.ServerOption) uint16 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer(options...)
		if withHealth {
			h := grpchealth.NewServer()
			h.SetServingStatus("shop", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
			grpc_health_v1.RegisterHealthServer(s, h)
		}
		go s.Serve(l)
		t.Cleanup(s.Stop)
		return portOf(l.Addr())
	}
	plain, bare := serve(t, true), serve(t, false)
	secure := serve(t, true, grpc.Creds(credentials.NewTLS(ca.sign(t, -time.Hour, time.Hour, "grpc.example.test"))))
	for _, c := range []struct {
		name, monitor string
		port          uint16
		state         health.State
		reason        string
	}{
		{"the server as a whole", `{"grpc": {"port": PORT}}`, plain, health.Up, ""},
		{"not serving", `{"grpc": {"port": PORT, "service": "shop"}}`, plain, health.Down, "NOT_SERVING"},
		{
			"not known", `{"grpc": {"port": PORT, "service": "till"}}`, plain, health.Down,
			`service "till" is not known there`,
		},
		{"no health service", `{"grpc": {"port": PORT}}`, bare, health.Down, "no health service there"},
		{"closed", `{"grpc": {"port": PORT}}`, closedPort(t), health.Down, "connection refused"},
		{"silent", `{"grpc": {"port": PORT}, "timeout": "100ms"}`, listen(t, func(c net.Conn) {
			io.Copy(io.Discard, c)
		}), health.Down, "timeout after 100ms"},
		{"tls", `{"grpc": {"port": PORT, "tls": true, "serverName": "grpc.example.test"}}`, secure, health.Up, ""},
		{
			"tls for another name", `{"grpc": {"port": PORT, "tls": true, "serverName": "www.example.test"}}`, secure,
			health.Down, "certificate is not for www.example.test",
		},
		{"tls, insecure", `{"grpc": {"port": PORT, "tls": true, "insecure": true}}`, secure, health.Up, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, ca.pool, monitor(t, c.monitor, c.port), c.state, c.reason)
		})
	}
}

func TestDNS(t *testing.T) {
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		answer, err := dns.NewRR(q.Question[0].Name + ` 5 IN TXT "hello"`)
		if err != nil {
			t.Error(err)
		}
		switch q.Question[0].Name {
		case "www.example.test.":
			m.Answer = []dns.RR{answer}
		case "empty.example.test.":
		case "big.example.test.":
			if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
				m.Truncated = true
			} else {
				m.Answer = []dns.RR{answer}
			}
		case "forged.example.test.": // a response with another ID comes first
			forged := m.Copy()
			forged.Id++
			forged.Rcode = dns.RcodeServerFailure
			w.WriteMsg(forged)
			m.Answer = []dns.RR{answer}
		case "silent.example.test.":
			return
		case "garbage.example.test.":
			text, err := m.Pack()
			if err != nil {
				t.Error(err)
			}
			text[7] = 9 // the header counts nine answers that are missing
			w.Write(text)
			return
		case "broken.example.test.":
			m.Rcode = dns.RcodeServerFailure
		default:
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	})
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := portOf(packets.LocalAddr())
	stream, err := net.Listen("tcp", packets.LocalAddr().String())
	if err != nil {
		t.Skip("the port of UDP is taken on TCP:", err)
	}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: stream, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	for _, c := range []struct {
		name, reason string
		state        health.State
	}{
		{"www", "", health.Up},
		{"empty", "no answer to empty.example.test TXT", health.Down},
		{"big", "", health.Up},
		{"forged", "", health.Up},
		{"silent", "timeout after 100ms", health.Down},
		{"garbage", "not a DNS message", health.Down},
		{"broken", "SERVFAIL", health.Down},
		{"nowhere", "NXDOMAIN", health.Down},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := monitor(t, `{"dns": {"port": PORT, "name": "`+c.name+`.example.test", "type": "TXT"}}`, port)
			if c.name == "silent" {
				m.Timeout = health.Duration(100 * time.Millisecond)
			}
			check(t, nil, m, c.state, c.reason)
		})
	}
	t.Run("closed", func(t *testing.T) {
		check(t, nil, monitor(t, `{"dns": {"port": PORT, "name": "a.test"}}`, closedPort(t)), health.Down,
			"connection refused")
	})
}

func TestLoad(t *testing.T) {
	const both = `JSON {"cpu_utilization": 0.3, "application_utilization": 1.5, "named_metrics": {"a": 1, "b.c": "2"}}`
	for _, c := range []struct{ header, metric, want string }{
		{"", "", "unknown"},
		{"TEXT cpu_utilization=0.3", "", "0.3"},
		{"TEXT cpu_utilization=0", "", "0"},
		{"TEXT cpu_utilization=x, y", "", "unknown"},
		{"TEXT cpu_utilization=0.3,application_utilization=0.4", "", "0.4"},
		{"TEXT cpu_utilization=0.3,application_utilization=0.4", "cpu_utilization", "0.3"},
		{"TEXT cpu_utilization=0.3,application_utilization=0.4", "none", "unknown"},
		{"TEXT cpu_utilization=0.3,cpu_utilization=0.4", "", "unknown"},
		{"TEXT named_metrics.queue=12, rps_fractional=1e3", "named_metrics.queue", "12"},
		{"TEXT named_metrics.queue=12, rps_fractional=1e3", "rps_fractional", "1000"},
		{"TEXT named_metrics.queue=12", "named_metrics.other", "unknown"},
		{"TEXT " + strings.Repeat("named_metrics.a=1,", 10_000) + "cpu_utilization=1", "", "unknown"},
		{both, "", "1.5"},
		{both, "named_metrics.a", "1"},
		{both, "named_metrics.b.c", "2"},
		{both, "rps_fractional", "unknown"},
		{`JSON {"applicationUtilization": 0.9, "rpsFractional": 7, "namedMetrics": {"q": 3}}`, "", "0.9"},
		{`JSON {"applicationUtilization": 0.9, "rpsFractional": 7, "namedMetrics": {"q": 3}}`, "rps_fractional", "7"},
		{`JSON {"applicationUtilization": 0.9, "rpsFractional": 7, "namedMetrics": {"q": 3}}`, "named_metrics.q", "3"},
		{`JSON {"named_metrics": 7}`, "named_metrics.q", "unknown"},
		{"JSON [", "", "unknown"},
		{"BIN abc", "", "unknown"},
		{"TEXT cpu_utilization=-1", "", "unknown"},
		{"TEXT cpu_utilization=NaN", "", "unknown"},
		{"TEXT cpu_utilization=Inf", "", "unknown"},
		{"TEXT cpu_utilization=1e308", "", "unknown"},
	} {
		if got := loadOf(http.Header{http.CanonicalHeaderKey(loadHeader): {c.header}},
			c.metric).String(); got != c.want {
			t.Errorf("%.60q of %q: %s, want %s", c.metric, c.header, got, c.want)
		}
	}
}
