package etcd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDialRefuses(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	http, https := "http://127.0.0.1:2379", "https://127.0.0.1:2379"
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "no etcd is named"},
		{Options{Endpoints: []string{""}}, "no etcd is named"},
		{Options{Endpoints: []string{"ftp://x"}}, "the scheme is http or https"},
		{Options{Endpoints: []string{http, https}}, "all must be alike"},
		{Options{Endpoints: []string{http}, TLS: TLSFiles{CA: empty}}, "is not https"},
		{Options{Endpoints: []string{https}, TLS: TLSFiles{CA: empty}}, "no PEM certificate"},
		{Options{Endpoints: []string{https}, TLS: TLSFiles{CA: filepath.Join(dir, "none")}}, "no such file"},
		{Options{Endpoints: []string{https}, TLS: TLSFiles{Cert: empty}}, "go together"},
		{Options{Endpoints: []string{https}, TLS: TLSFiles{Cert: empty, Key: empty}}, "client certificate for etcd"},
		{Options{Endpoints: []string{http}, Password: "x"}, "no user"},
	} {
		if e, err := Dial(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
			if e != nil {
				e.Close()
			}
		}
	}
}

func TestEndpoints(t *testing.T) {
	for _, c := range []struct {
		in   string
		tls  TLSFiles
		want string
	}{
		{"127.0.0.1:2379", TLSFiles{}, "http://127.0.0.1:2379"},
		{" http://127.0.0.1:2379/ ", TLSFiles{}, "http://127.0.0.1:2379"},
		{"etcd.example:2379", TLSFiles{Insecure: true}, "https://etcd.example:2379"},
	} {
		e, err := Dial(Options{Endpoints: []string{c.in}, TLS: c.tls, Prefix: "/x"})
		if err != nil {
			t.Fatal(err)
		}
		if e.Endpoints[0] != c.want || e.Prefix() != "/x/" {
			t.Errorf("%q: %s, prefix %s", c.in, e.Endpoints[0], e.Prefix())
		}
		e.Close()
	}
}

// A name's key leads back to the name, below the prefix and beside it, and a range contains what its keys do.
func TestNames(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		prefix := rapid.SampledFrom([]string{"/", "/leeward/", "/a/b", "x"}).Draw(r, "prefix")
		c, err := Dial(Options{Endpoints: []string{"127.0.0.1:1"}, Prefix: prefix})
		if err != nil {
			r.Fatal(err)
		}
		defer c.Close()
		name := rapid.Custom(func(r *rapid.T) string {
			folders := []string{"", "pools/", Reports, Vantages, Servers, Owners, Signatures}
			folder := rapid.SampledFrom(folders).Draw(r, "folder")
			return folder + rapid.StringMatching(`[a-z0-9./-]{1,5}`).Draw(r, "name")
		})
		n, o := name.Draw(r, "name"), name.Draw(r, "other")
		if got := c.name([]byte(c.Key(n))); got != n {
			r.Fatalf("%q became %q", n, got)
		}
		if below := strings.HasPrefix(c.Key(n), c.Prefix()); prefix != "/" && below == strings.HasPrefix(n, ".") {
			r.Fatalf("%q is at %q", n, c.Key(n))
		}
		for _, at := range []Range{One(o), Folder(o + "/"), {}, {To: Owners}, {From: Owners}} {
			from, to := c.ends(at)
			if key := c.Key(n); at.holds(n) != (from <= key && key < to) && !strings.HasPrefix(n, ".") {
				r.Fatalf("%v holds %q: %v; %q is not in %q to %q", at, n, at.holds(n), key, from, to)
			}
		}
		if strings.HasPrefix(n, Servers) {
			from, to := c.ends(Folder(Servers))
			if key := c.Key(n); key < from || key >= to {
				r.Fatalf("%q is not in %q to %q", key, from, to)
			}
		}
	})
}
