//go:build linux

package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leeward/integration/lab"
)

// Clients written in Go are built from the module proxy. Each set of them is a module of its own below clients/, with
// versions and sums pinned there, so that none of it gets into Leeward's go.mod. Some have the libraries of a hundred
// clouds, and only one protocol is of use here. They are built from a copy, from which thin removes the rest.

// buildClients builds packages of the module clients/<module>, with a copy of the dependency path in place of the
// original, and returns the folder with the programs. thin is given the copy.
func buildClients(t *testing.T, module, path string, thin func(dir string), packages ...string) string {
	t.Helper()
	lab.Need(t, "go")
	begin := time.Now()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "module"), os.DirFS(filepath.Join("clients", module))); err != nil {
		t.Fatal(err)
	}
	run := func(fail func(t testing.TB, format string, args ...any), args ...string) string {
		t.Helper()
		c := exec.Command("go", args...)
		c.Dir = filepath.Join(dir, "module")
		c.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "CGO_ENABLED=0", "GOWORK=off")
		var stderr strings.Builder
		c.Stderr = &stderr
		out, err := c.Output()
		if err != nil {
			fail(t, "%v: %v\n%s%s", c, err, out, &stderr)
		}
		return string(out)
	}
	var got struct{ Dir string }
	if err := json.Unmarshal([]byte(run(lab.Missing, "mod", "download", "-json", path)), &got); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "copy"), os.DirFS(got.Dir)); err != nil {
		t.Fatal(err)
	}
	thin(filepath.Join(dir, "copy"))
	broken := testing.TB.Fatalf
	run(broken, "mod", "edit", "-replace", path+"=../copy")
	run(lab.Missing, append([]string{"list", "-deps"}, packages...)...) // downloads what the build needs
	bin := filepath.Join(dir, "bin")
	run(broken, append([]string{"build", "-trimpath", "-o", bin + "/"}, packages...)...)
	t.Logf("clients/%s is built: %v", module, time.Since(begin).Round(time.Millisecond))
	return bin
}

// startResolver starts unbound on an address of the host, from the tree's root and without a cache, as CAs do; the host
// uses it.
func startResolver(t *testing.T, x *lab.Tree, h *lab.Host, address string) {
	t.Helper()
	lab.Need(t, "unbound")
	dir := t.TempDir()
	conf := filepath.Join(dir, "unbound.conf")
	lab.Write(t, conf, `server:
  interface: `+address+`
  do-daemonize: no
  use-syslog: no
  logfile: ""
  username: ""
  chroot: ""
  pidfile: ""
  directory: "`+dir+`"
  root-hints: "`+x.Hints+`"
  num-threads: 1
  access-control: 0.0.0.0/0 allow
  local-zone: "test." nodefault
  module-config: "iterator"
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
remote-control:
  control-enable: no
`)
	lab.Start(t, h, "unbound", "unbound", "-d", "-c", conf)
	h.UseNameserver(t, address)
}
