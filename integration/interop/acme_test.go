//go:build linux

package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// withoutOtherProviders is lego's table of DNS providers, reduced to the one under test. The others would bring the
// libraries of some 150 clouds.
const withoutOtherProviders = `package dns

import (
	"fmt"

	"github.com/go-acme/lego/v4/challenge"
	"github.com/go-acme/lego/v4/providers/dns/rfc2136"
)

func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	if name != "rfc2136" {
		return nil, fmt.Errorf("unrecognized DNS provider: %s", name)
	}
	return rfc2136.NewDNSProvider()
}
`

// authority is Pebble, the ACME server with which Let's Encrypt tests clients, on a host of the tree.
type authority struct {
	directory string // URL
	trust     string // file with the certificate of its HTTPS
	host      *lab.Host
	roots     *x509.CertPool // of the certificates that it issues
}

const pebbleAddress = "192.0.2.14"

// startPebble starts it. It validates through a resolver.
func startPebble(t *testing.T, x *lab.Tree, program, resolver string) *authority {
	t.Helper()
	dir := t.TempDir()
	a := &authority{
		directory: "https://" + pebbleAddress + ":14000/dir", trust: filepath.Join(dir, "https.pem"),
		host: x.Host(t, "ca", pebbleAddress),
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"ca.test"}, IPAddresses: []net.IP{net.ParseIP(pebbleAddress)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	lab.Write(t, a.trust, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	lab.Write(t, filepath.Join(dir, "key.pem"),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	conf, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": pebbleAddress + ":14000", "managementListenAddress": pebbleAddress + ":15000",
		"certificate": a.trust, "privateKey": filepath.Join(dir, "key.pem"), "httpPort": 80, "tlsPort": 443,
		"retryAfter": map[string]int{"authz": 1, "order": 1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	lab.Write(t, filepath.Join(dir, "pebble.json"), string(conf))
	p := lab.StartWith(t, a.host, "pebble", append(os.Environ(), "PEBBLE_VA_NOSLEEP=1"), program, "-strict", "-config",
		filepath.Join(dir, "pebble.json"), "-dnsserver", resolver)

	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM([]byte(lab.Must(t, nil, "cat", a.trust)))
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trust},
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return a.host.Dial(net.Dialer{}, network, address)
		},
	}}
	a.roots = x509.NewCertPool()
	lab.Until(t, 60*time.Second, "Pebble hands out its root", func() error {
		if !p.Alive() {
			t.Fatalf("Pebble has ended:\n%s", p.Out.Tail(20))
		}
		r, err := c.Get("https://" + pebbleAddress + ":15000/roots/0")
		if err != nil {
			return err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err == nil && !a.roots.AppendCertsFromPEM(b) {
			err = fmt.Errorf("it says %q", b)
		}
		return err
	})
	return a
}

// issued fails the test unless the file has a certificate of the authority for these names, and no others.
func (a *authority) issued(t *testing.T, file string, names ...string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	if len(chain) < 2 {
		t.Fatalf("%s has %d certificates", file, len(chain))
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: a.roots, Intermediates: between}); err != nil {
		t.Errorf("%s: %v", file, err)
	}
	got := slices.Sorted(slices.Values(chain[0].DNSNames))
	if want := slices.Sorted(slices.Values(names)); !slices.Equal(got, want) {
		t.Errorf("%s is for %q, want %q", file, got, want)
	}
}

// TestACME: lego and certbot get certificates for a name and its wildcard, which takes two TXT records at one name.
// They prove the name by dynamic updates at one server, and Pebble asks whichever server its resolver likes.
func TestACME(t *testing.T) {
	lab.NeedRoot(t)
	lab.Need(t, "certbot")
	bin := buildClients(t, "acme", "github.com/go-acme/lego/v4", func(dir string) {
		lab.Write(t, filepath.Join(dir, "providers", "dns", "zz_gen_dns_providers.go"), withoutOtherProviders)
	}, "tool")
	x := lab.NewTree(t, "", "")
	startResolver(t, x, x.Judge, lab.TreeJudge)
	a := startPebble(t, x, filepath.Join(bin, "pebble"), lab.TreeJudge+":53")

	// The history of the name, one value after the other.
	history := lab.Start(t, x.Etcd.Host, "etcdctl watch", "etcdctl", "--endpoints", x.Etcd.Client, "watch", "--prefix",
		"/leeward/records/example.test/_acme-challenge")
	gone := func(t *testing.T, file string) {
		t.Helper()
		a.issued(t, file, "example.test", "*.example.test")
		for _, s := range x.Servers {
			lab.Until(t, 20*time.Second, s.Name+" has no challenge any more", func() error {
				m, err := lab.Ask(x.Judge, s.DNS,
					lab.Question{Name: "_acme-challenge.example.test", Qtype: dns.TypeTXT})
				if err != nil {
					return err
				}
				if m.Rcode != dns.RcodeNameError {
					return fmt.Errorf("%v", lab.VerdictOf(m))
				}
				return nil
			})
		}
	}
	// counts returns how many challenges were at the name after each change from the nth on.
	counts := func(n int) (all []int) {
		lines := strings.Split(history.Out.String(), "\n") // PUT, key, value; DELETE, key, nothing
		for i := 0; i+2 < len(lines); i += 3 {
			var record struct{ Data []string }
			if lines[i] == "PUT" && json.Unmarshal([]byte(lines[i+2]), &record) != nil {
				t.Fatalf("%q", lines[i+2])
			}
			all = append(all, len(record.Data))
		}
		return all[n:]
	}
	was := func(t *testing.T, from int, want ...int) {
		t.Helper()
		lab.Until(t, 20*time.Second, fmt.Sprintf("etcd has seen %v challenges", want), func() error {
			if got := counts(from); !slices.Equal(got, want) {
				return fmt.Errorf("it was %v", got)
			}
			return nil
		})
	}

	lego := func(t *testing.T, dir, key string) lab.Outcome {
		t.Helper()
		return lab.Command(t, x.Judge, "", "env", "LEGO_CA_CERTIFICATES="+a.trust,
			"RFC2136_NAMESERVER="+lab.TreeServers[0].A, "RFC2136_TSIG_FILE="+key, "RFC2136_SEQUENCE_INTERVAL=1",
			"RFC2136_POLLING_INTERVAL=1",
			filepath.Join(bin, "lego"), "--server", a.directory, "--accept-tos", "--email", "hostmaster@example.test",
			"--path",
			dir,
			"--dns", "rfc2136", "--domains", "example.test", "--domains", "*.example.test", "run")
	}

	t.Run("a key that is not known here", func(t *testing.T) {
		before, dir := len(counts(0)), t.TempDir()
		lab.Write(t, filepath.Join(dir, "stranger.key"),
			strings.Replace(lab.Must(t, nil, "cat", x.Keys["acme"]), `"acme"`,
				`"stranger"`, 1))
		if o := lego(t, dir, filepath.Join(dir, "stranger.key")); o.Code == 0 ||
			!strings.Contains(o.Stdout+o.Stderr, "DNS update failed: dns: bad authentication") {
			t.Errorf("lego: %v", o)
		}
		was(t, before)
	})

	t.Run("lego", func(t *testing.T) {
		before, dir := len(counts(0)), t.TempDir()
		begin := time.Now()
		if o := lego(t, dir, x.Keys["acme"]); o.Code != 0 {
			t.Fatal(o)
		}
		t.Logf("lego: %v", time.Since(begin).Round(time.Millisecond))
		gone(t, filepath.Join(dir, "certificates", "example.test.crt"))
		was(t, before, 1, 0, 1, 0) // it proves one name after the other
	})

	t.Run("certbot", func(t *testing.T) {
		before, dir := len(counts(0)), t.TempDir()
		credentials := filepath.Join(dir, "rfc2136.ini")
		lab.Write(t, credentials,
			fmt.Sprintf("dns_rfc2136_server = %s\ndns_rfc2136_name = acme\ndns_rfc2136_secret = "+
				"%s\ndns_rfc2136_algorithm = HMAC-SHA256\n", lab.TreeServers[1].A, lab.UpdateSecret))
		if err := os.Chmod(credentials, 0o600); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		lab.Must(t, x.Judge, "env", "REQUESTS_CA_BUNDLE="+a.trust,
			"certbot", "certonly", "--non-interactive", "--agree-tos", "--register-unsafely-without-email", "--server",
			a.directory,
			"--config-dir", filepath.Join(dir, "etc"), "--work-dir", filepath.Join(dir, "work"), "--logs-dir",
			filepath.Join(dir, "logs"),
			"--dns-rfc2136", "--dns-rfc2136-credentials", credentials, "--dns-rfc2136-propagation-seconds", "1", "-d",
			"example.test", "-d", "*.example.test")
		t.Logf("certbot: %v", time.Since(begin).Round(time.Millisecond))
		gone(t, filepath.Join(dir, "etc", "live", "example.test", "fullchain.pem"))
		was(t, before, 1, 2, 1, 0) // both at once
	})
}
