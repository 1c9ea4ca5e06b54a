package store

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"leeward/zones"
	"leeward/zones/etcd"
	"leeward/zones/sourcetest"
)

// authority signs certificates for a test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{dir: t.TempDir()}
	a.key, a.cert = a.issue(t, "ca", nil)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) issue(t *testing.T, name string, adapt func(*x509.Certificate)) (*ecdsa.PrivateKey,
	*x509.Certificate,
) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(name))), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
	}
	parent, signer := template, key
	if a.cert == nil {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	} else {
		parent, signer = a.cert, a.key
		adapt(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name +
		".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(a.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return key, cert
}

// TLS in both directions, and a user with a password. What is wrong with either is reported.
func TestSecure(t *testing.T) {
	ca := newAuthority(t)
	ca.issue(t, "server", func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"etcd.example"}, []net.IP{net.IPv4(127, 0, 0, 1)}
		// etcd's gateway dials its own server with the same certificate.
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	})
	ca.issue(t, "client", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	m := startCluster(t, 1, func(c *embed.Config) {
		c.ListenClientUrls = []url.URL{freeURL(t, "https")}
		c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile = ca.file("server.pem"), ca.file("server.key")
		c.BcryptCost = 4 // the least: this test is not about passwords
		c.ClientTLSInfo.TrustedCAFile, c.ClientTLSInfo.ClientCertAuth = ca.file("ca.pem"), true
	})[0]
	files := etcd.TLSFiles{CA: ca.file("ca.pem"), Cert: ca.file("client.pem"), Key: ca.file("client.key")}
	with := func(f etcd.TLSFiles, user, password string) func(*etcd.Options) {
		return func(o *etcd.Options) { o.TLS, o.User, o.Password = f, user, password }
	}

	// A user and a password do no harm before there are users.
	root := dial(t, with(files, "root", "secret"), m.url())
	put(t, root, "regions/eu-west", regionEU)
	c := root.Client
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.UserAdd(ctx, "root", "secret"))
	must(c.UserGrantRole(ctx, "root", "root"))
	must(c.RoleAdd(ctx, "dns"))
	must(c.RoleGrantPermission(ctx, "dns", "/leeward/", "/leeward0", clientv3.PermissionType(clientv3.PermReadWrite)))
	must(c.UserAdd(ctx, "ns1", "hunter2"))
	must(c.UserGrantRole(ctx, "ns1", "dns"))
	must(c.AuthEnable(ctx))

	e := dial(t, with(files, "ns1", "hunter2"), m.url())
	r := sourcetest.Follow(t, e.Follow)
	r.State(zones.Following, 0)
	if _, ok := r.Value("regions/eu-west"); !ok {
		t.Error("nothing was read")
	}
	// The members forget their tokens when they restart.
	mark := r.Mark()
	m.kill()
	r.State(zones.CutOff, mark)
	m.start()
	m.ready()
	r.Revision(put(t, e, "regions/us-east", regionEU))
	if _, err := e.Accept(ctx, "test"); err != nil {
		t.Error(err)
	}

	other := files
	other.ServerName = "other.example"
	for _, c := range []struct {
		name           string
		files          etcd.TLSFiles
		user, password string
		prefix, want   string
	}{
		{"no user", files, "", "", "", "needs a role"},
		{"wrong password", files, "ns1", "wrong", "", "check the user's name and password"},
		{"other prefix", files, "ns1", "hunter2", "/other/", "needs a role that reads and writes the prefix /other/"},
		{"no client certificate", etcd.TLSFiles{CA: files.CA}, "ns1", "hunter2", "", "the client certificate fit"},
		{"unknown authority", etcd.TLSFiles{Cert: files.Cert, Key: files.Key}, "ns1", "hunter2", "", "x509:"},
		{"other name", other, "ns1", "hunter2", "", "other.example"},
	} {
		e := dial(t, func(o *etcd.Options) {
			with(c.files, c.user, c.password)(o)
			o.Prefix = c.prefix
		}, m.url())
		if _, err := e.List(ctx); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		// A follower gets the same errors, except that it only needs to read.
		want := strings.ReplaceAll(c.want, "reads and writes", "reads")
		follower := sourcetest.Follow(t, e.Follow)
		if err := follower.State(zones.CutOff, 0).Err; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("following, %s: %v, want %q", c.name, err, want)
		}
	}
	named := files
	named.ServerName = "etcd.example"
	if _, err := dial(t, with(named, "ns1", "hunter2"), m.url()).List(ctx); err != nil {
		t.Errorf("with the server's name: %v", err)
	}
	plain := dial(t, nil, strings.Replace(m.url(), "https", "http", 1))
	if _, err := plain.List(ctx); err == nil || !strings.Contains(err.Error(), "etcd at") {
		t.Errorf("plain HTTP: %v", err)
	} else {
		t.Logf("plain HTTP: %v", err)
	}
}

// A call to an etcd that is not there fails at once, not at the deadline.
func TestNobodyThere(t *testing.T) {
	nobody := freeURL(t, "http")
	e := dial(t, func(o *etcd.Options) { o.Timeout = time.Hour }, nobody.String())
	if _, err := e.List(t.Context()); err == nil || !strings.Contains(err.Error(), "is etcd running there?") {
		t.Errorf("%v", err)
	}
}
