package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// authority signs certificates that end up as NAME.pem and NAME.key in a folder.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir, name string) *authority {
	a := &authority{t: t, dir: dir}
	a.cert, a.key = a.issue(name, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign })
	return a
}

// issue makes a certificate. The first one is the authority's own.
func (a *authority) issue(name string, adapt func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	number, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), BasicConstraintsValid: true,
	}
	adapt(c)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for end, block := range map[string]*pem.Block{
		".pem": {Type: "CERTIFICATE", Bytes: der},
		".key": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(a.dir, name+end), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, key
}

func (a *authority) server(name string, hosts ...string) *x509.Certificate {
	cert, _ := a.issue(name, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		for _, h := range hosts {
			if ip := net.ParseIP(h); ip != nil {
				c.IPAddresses = append(c.IPAddresses, ip)
			} else {
				c.DNSNames = append(c.DNSNames, h)
			}
		}
	})
	return cert
}

func (a *authority) client(name string) {
	a.issue(name, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
}

// The admin interface over TLS with certificates of clients: what clients get with and without a good certificate, and
// certificates that are renewed in place.
func TestAdminOverTLS(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	ours, others := newAuthority(t, dir, "ca"), newAuthority(t, dir, "otherca")
	ours.server("ns1", "127.0.0.1", "ns1.example.test")
	ours.client("operator")
	others.client("stranger")
	ours.issue("late", func(c *x509.Certificate) {
		c.ExtKeyUsage, c.NotAfter = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, time.Now().Add(-time.Minute)
	})
	write(t, at("zones.yaml"), oneZone)
	s := serveFiles(t, dir,
		"--admin-tls-cert", at("ns1.pem"), "--admin-tls-key", at("ns1.key"), "--admin-client-ca", at("ca.pem"))
	address := strings.TrimPrefix(s.admin, "http://")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}

	ca := "--admin-ca=" + at("ca.pem")
	s.await("ready, its endpoints probed once", func() bool {
		code, _, _ := command(t, "healthcheck", "--admin", address, ca)
		return code == 0
	})
	const well = "Both regions answer"
	status := func(admin string, flags ...string) []string {
		return append([]string{"status", "--admin", admin}, flags...)
	}
	healthcheck := func(admin string, flags ...string) []string {
		return append([]string{"healthcheck", "--admin", admin}, flags...)
	}
	of := func(name string) (cert, key string) {
		return "--admin-cert=" + at(name+".pem"), "--admin-key=" + at(name+".key")
	}
	cert, key := of("operator")
	strangeCert, strangeKey := of("stranger")
	lateCert, lateKey := of("late")
	byName := "https://localhost:" + port
	for _, c := range []struct {
		what string
		args []string
		code int
		says string
	}{
		{"all that is needed", status("https://"+address, ca, cert, key), 0, well},
		{"an address, as serve has it", status(address, ca, cert, key), 0, well},
		{
			"explain",
			[]string{"explain", "www.example.test", "--client", "192.0.2.1", "--admin", address, ca, cert, key},
			0, "www.example.test",
		},
		{"another name for it", status(byName, ca, cert, key), 1, "--admin-server-name"},
		{"its name is given", status(byName, ca, cert, key, "--admin-server-name", "ns1.example.test"), 0, well},
		{"no client certificate", status(address, ca), 1, "--admin-client-ca"},
		{"one of a stranger", status(address, ca, strangeCert, strangeKey), 1, "--admin-client-ca"},
		{"one that has expired", status(address, ca, lateCert, lateKey), 1, "--admin-cert whose time it is"},
		{"no authority", status("https://" + address), 1, "--admin-ca FILE"},
		{"plain HTTP", status("http://" + address), 1, "write https://"},
		{"a certificate without its key", status(address, cert), 2, "both --admin-cert and --admin-key"},
		{"no file", status(address, "--admin-ca", at("none")), 1, "no such file"},
		{"ready without a certificate", healthcheck(address, ca), 0, "ok"},
		{"ready in plain HTTP", healthcheck("http://" + address), 1, "write https://"},
		{"ready without the authority", healthcheck("https://" + address), 1, "--admin-ca FILE"},
	} {
		code, out, errs := command(t, c.args...)
		if code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("%s: exit status %d, want %d with %q:\n%s%s", c.what, code, c.code, c.says, out, errs)
		}
	}

	number := func() *big.Int {
		c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool(ours.cert)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber
	}
	renewed := ours.server("ns1", "127.0.0.1", "ns1.example.test")
	hangup := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hangup()
	s.await("the renewed certificate", func() bool { return number().Cmp(renewed.SerialNumber) == 0 })
	write(t, at("ns1.pem"), "not a certificate")
	hangup()
	s.awaitLog("going on with the certificates from before")
	if number().Cmp(renewed.SerialNumber) != 0 {
		t.Error("another certificate is in use")
	}

	ours.issue("ns1", func(c *x509.Certificate) {
		c.IPAddresses, c.NotAfter = []net.IP{net.IPv4(127, 0, 0, 1)}, time.Now().Add(-time.Minute)
	})
	hangup()
	s.awaitLog("it expired at")
	code, _, errs := command(t, "status", "--admin", address, ca, cert, key)
	if code != 1 || !strings.Contains(errs, "give the server a new one") {
		t.Errorf("a server's certificate that has expired: exit status %d, %s", code, errs)
	}

	for _, c := range []struct {
		says string
		args []string
	}{
		{
			"give both --admin-tls-cert and --admin-tls-key",
			[]string{"--admin", "127.0.0.1:0", "--admin-tls-cert", at("ca.pem")},
		},
		{"takes TLS", []string{"--admin", "127.0.0.1:0", "--admin-client-ca", at("ca.pem")}},
		{
			"is not loopback",
			[]string{"--admin", "0.0.0.0:0", "--admin-tls-cert", at("ca.pem"), "--admin-tls-key", at("ca.key")},
		},
	} {
		code, _, errs := command(t, append([]string{"serve", "--files", dir, "--listen", "127.0.0.1:0"}, c.args...)...)
		if code != 2 || !strings.Contains(errs, c.says) {
			t.Errorf("%v: exit status %d, %s", c.args, code, errs)
		}
	}
	code, _, errs = command(t, "serve", "--files", dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--admin-tls-cert", at("none.pem"), "--admin-tls-key", at("ca.key"))
	if code != 1 || !strings.Contains(errs, "none.pem") {
		t.Errorf("a file that is not there: exit status %d, %s", code, errs)
	}
}

func pool(c *x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c)
	return p
}
