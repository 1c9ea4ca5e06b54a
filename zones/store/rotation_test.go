package store

import (
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"leeward/zones"
	"leeward/zones/etcd"
	"leeward/zones/sourcetest"
)

// TestRotation: etcd gets certificates of another authority, and another password. A follower reads its own files
// again, in whichever order they change. While a file cannot be read, what was read before stays in use.
func TestRotation(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	issue := func(a *authority) {
		a.issue(t, "server", func(c *x509.Certificate) {
			c.DNSNames, c.IPAddresses = []string{"etcd.example"}, []net.IP{net.IPv4(127, 0, 0, 1)}
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		})
	}
	issue(first)
	issue(second)
	here := &authority{dir: t.TempDir()} // the files that etcd and the follower have
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(here.file(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	take := func(a *authority, names ...string) {
		t.Helper()
		for _, name := range names {
			text, err := os.ReadFile(a.file(name))
			if err != nil {
				t.Fatal(err)
			}
			write(name, text)
		}
	}
	take(first, "ca.pem", "server.pem", "server.key")
	write("password", []byte("one\n"))
	m := startCluster(t, 1, func(c *embed.Config) {
		c.ListenClientUrls = []url.URL{freeURL(t, "https")}
		c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile = here.file("server.pem"), here.file("server.key")
		c.BcryptCost = 4
	})[0]
	root := dial(t, func(o *etcd.Options) {
		o.TLS, o.User, o.Password = etcd.TLSFiles{Insecure: true}, "root", "secret"
	}, m.url())
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c := root.Client
	must(c.UserAdd(ctx, "root", "secret"))
	must(c.UserGrantRole(ctx, "root", "root"))
	must(c.UserAdd(ctx, "ns1", "one"))
	must(c.UserGrantRole(ctx, "ns1", "root"))
	must(c.AuthEnable(ctx))

	e := dial(t, func(o *etcd.Options) {
		o.TLS, o.User = etcd.TLSFiles{CA: here.file("ca.pem")}, "ns1"
		o.PasswordFile, o.Timeout = here.file("password"), 2*time.Second
	}, m.url())
	r := sourcetest.Follow(t, e.Follow)
	r.State(zones.Following, 0)
	cut := func(what string) { // all connections are lost, and etcd forgets its tokens
		t.Helper()
		mark := r.Mark()
		m.kill()
		r.State(zones.CutOff, mark)
		m.start()
		m.ready()
		r.State(zones.Following, r.Mark()-1)
		r.Revision(put(t, root, "regions/"+what, regionEU))
		// The client of all members may be between two attempts to connect for longer than one call may take.
		for limit := time.Now().Add(sourcetest.Patience); ; {
			_, err := e.List(ctx)
			if err == nil {
				return
			}
			if time.Now().After(limit) {
				t.Fatal(what, ": ", err)
			}
		}
	}
	take(second, "ca.pem", "server.pem", "server.key")
	cut("another-authority")
	write("ca.pem", []byte("half of a certi"))
	cut("half-written")
	take(second, "ca.pem")

	write("password", []byte("two")) // before it changes in etcd
	cut("file-first")
	must(c.UserChangePassword(ctx, "ns1", "two"))
	must(e.List(ctx))
	cut("both-changed")
	must(c.UserChangePassword(ctx, "ns1", "three"))
	if _, err := e.List(ctx); err == nil {
		t.Error("a password that is not known any more is taken")
	}
	write("password", []byte("three"))
	must(e.List(ctx))
	cut("etcd-first")
	if err := os.Remove(here.file("password")); err != nil {
		t.Fatal(err)
	}
	cut("no-file")
}
