package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// Probes show the certificate that they were given, and the next one once its files are replaced.
func TestProbesShowACertificate(t *testing.T) {
	dir, folder := t.TempDir(), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	ours := newAuthority(t, dir, "ca")
	ours.client("probe")
	ours.client("renewed")
	var seen atomic.Value
	endpoint := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen.Store(r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	endpoint.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(ours.cert)}
	endpoint.Config.ErrorLog = log.New(io.Discard, "", 0)
	endpoint.StartTLS()
	defer endpoint.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(endpoint.URL, "https://"), ":")
	write(t, filepath.Join(folder, "zone.yaml"), fmt.Sprintf(`kind: Zone
name: example.test
nameservers: [ns.example.net]
---
kind: Region
name: eu
---
kind: Monitor
name: web
https: {port: %s, insecure: true}
interval: 200ms
timeout: 200ms
---
kind: Pool
name: www
region: eu
monitor: web
---
kind: Endpoint
name: www/lb-1
addresses: [127.0.0.1]
`, port))
	s := serveFiles(t, folder,
		"--probe-cert", at("probe.pem"), "--probe-key", at("probe.key"))
	s.await("the endpoint sees the certificate", func() bool { return seen.Load() == "probe" })
	for _, end := range []string{".pem", ".key"} {
		if err := os.Rename(at("renewed"+end), at("probe"+end)); err != nil {
			t.Fatal(err)
		}
	}
	s.await("the endpoint sees the next one", func() bool { return seen.Load() == "renewed" })

	code, _, errs := command(t, "serve", "--files", folder, "--listen", "127.0.0.1:0", "--probe-cert", at("probe.pem"))
	if code != 2 || !strings.Contains(errs, "give both --probe-cert and --probe-key") {
		t.Errorf("a certificate without its key: exit status %d, %s", code, errs)
	}
	code, _, errs = command(t, "serve", "--files", folder, "--listen", "127.0.0.1:0", "--admin", "",
		"--probe-cert", at("none.pem"), "--probe-key", at("probe.key"))
	if code != 1 || !strings.Contains(errs, "none.pem") {
		t.Errorf("a file that is not there: exit status %d, %s", code, errs)
	}
}
