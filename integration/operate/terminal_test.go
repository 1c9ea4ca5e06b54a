//go:build linux

package operate

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"leeward/integration/lab"
)

// wide has names, addresses and texts too long for a terminal to show side by side.
const wide = `kind: Zone
name: long-names-of-a-customer.example.test
nameservers: [ns1.frankfurt-am-main.elsewhere.invalid, ns2.san-francisco.elsewhere.invalid, ns3.kuala-lumpur.elsewhere.invalid]
hostmaster: hostmaster@example.test
---
{kind: Region, name: europe-west-frankfurt-am-main, latitude: 50.1, longitude: 8.7}
---
{kind: Region, name: north-america-san-francisco, latitude: 37.8, longitude: -122.4}
---
{kind: Monitor, name: tcp-to-the-balancers, tcp: {port: 9}, interval: 1s, timeout: 400ms, fall: 2}
---
{kind: Pool, name: balancers-of-frankfurt-am-main, region: europe-west-frankfurt-am-main, monitor: tcp-to-the-balancers, minHealthy: 1}
---
{kind: Pool, name: balancers-of-san-francisco, region: north-america-san-francisco}
---
{kind: Endpoint, name: balancers-of-frankfurt-am-main/balancer-number-1, addresses: [127.255.255.251, "fd77:ffff:aaaa:bbbb:cccc:dddd:eeee:ff01"]}
---
{kind: Endpoint, name: balancers-of-frankfurt-am-main/balancer-number-2, addresses: [127.255.255.252, "fd77:ffff:aaaa:bbbb:cccc:dddd:eeee:ff02"]}
---
{kind: Endpoint, name: balancers-of-san-francisco/balancer-number-1, addresses: [198.51.100.201, "2001:db8:ffff:aaaa:bbbb:cccc:dddd:ee01", 198.51.100.202, "2001:db8:ffff:aaaa:bbbb:cccc:dddd:ee02"]}
---
kind: Policy
name: www.long-names-of-a-customer.example.test
ttl: 30s
pick: all
rules:
  - when: {prefixes: ["2001:db8:1234:5678::/64"]}
    failover: [{balancers-of-frankfurt-am-main: 80, balancers-of-san-francisco: 20}]
  - nearest: [balancers-of-frankfurt-am-main, balancers-of-san-francisco]
---
{kind: Record, name: long-names-of-a-customer.example.test/@/TXT, data: ['"v=spf1 ip6:2001:db8:ffff:aaaa::/64 ip4:198.51.100.0/24 include:_spf.frankfurt-am-main.elsewhere.invalid -all"']}
---
{kind: Record, name: long-names-of-a-customer.example.test/static/AAAA, data: ["2001:db8:ffff:aaaa:bbbb:cccc:dddd:1", "2001:db8:ffff:aaaa:bbbb:cccc:dddd:2", "2001:db8:ffff:aaaa:bbbb:cccc:dddd:3"]}
---
{kind: Override, name: endpoint/balancers-of-frankfurt-am-main/balancer-number-1, state: drain, until: 2099-01-01T00:00:00Z, reason: the fans of the second power supply are being exchanged by the provider's people}
`

// TestTerminals: each verb prints for people on terminals of 80 and of 100 columns. No line is wider, and no address is
// cut. An address is whole if the same verb prints it into a pipe, where nothing is folded.
func TestTerminals(t *testing.T) {
	etcd := lab.StartEtcd(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "wide.yaml")
	lab.Write(t, file, wide)
	lab.LeewardOK(t, "", "apply", "--etcd", etcd.Client, "-f", file)
	s := lab.Serve(t, "a-server-with-a-long-name-in-frankfurt-am-main", "--etcd", etcd.Client, "--region",
		"europe-west-frankfurt-am-main")
	const name = "www.long-names-of-a-customer.example.test"
	lab.Until(t, 30*time.Second, "the endpoints are judged", func() error {
		if o := lab.Leeward(t, "", "status", "--admin", "http://"+s.Admin); !strings.Contains(o.Stdout,
			"connection refused") {
			return fmt.Errorf("%v", o)
		}
		return nil
	})
	for range 50 { // or else simulate has nothing to say
		if _, err := lab.Ask(nil, s.DNS, lab.Question{Name: name, Qtype: dns.TypeAAAA}); err != nil {
			t.Fatal(err)
		}
	}
	changed := filepath.Join(dir, "changed.yaml")
	lab.Write(t, changed, strings.ReplaceAll(strings.ReplaceAll(wide, "ee01", "ee11"), "ttl: 30s", "ttl: 40s"))
	bad := filepath.Join(dir, "bad.yaml")
	lab.Write(t, bad, strings.ReplaceAll(wide, "[balancers-of-frankfurt-am-main, balancers-of-san-francisco]",
		"[balancers-of-kuala-lumpur-and-all-of-malaysia]"))

	verbs := map[string][]string{
		"status":         {"status", "--admin", "http://" + s.Admin},
		"status by etcd": {"status", "--etcd", etcd.Client},
		"explain": {"explain", name, "AAAA", "--client", "2001:db8:1234:5678::1", "--admin", "http://" +
			s.Admin},
		"explain by etcd":  {"explain", name, "A", "--client", "198.51.100.7", "--etcd", etcd.Client},
		"get":              {"get", "--etcd", etcd.Client},
		"apply":            {"apply", "--etcd", etcd.Client, "-f", changed, "--dry-run"},
		"apply what fails": {"apply", "--etcd", etcd.Client, "-f", bad, "--dry-run"},
		"check":            {"check", "-f", changed},
		"check what fails": {"check", "-f", bad},
		"delete":           {"delete", "--etcd", etcd.Client, "pool/balancers-of-frankfurt-am-main", "--dry-run"},
		"drain": {
			"drain", "pool/balancers-of-san-francisco", "--etcd", etcd.Client, "--dry-run", "--reason",
			"a reason that is as long as they are on the day that they are written",
		},
		"shift": {
			"shift", name, "balancers-of-san-francisco=0", "--over", "1h", "--etcd", etcd.Client,
			"--dry-run",
		},
		"simulate":     {"simulate", "--etcd", etcd.Client, "--down", "region/europe-west-frankfurt-am-main"},
		"drills":       {"drills", "--etcd", etcd.Client},
		"accept":       {"accept", "--etcd", etcd.Client, "--dry-run"},
		"a wrong verb": {"statsu"},
		"a wrong flag": {
			"serve", "--listen", "2001:db8:ffff:aaaa:bbbb:cccc:dddd:1", "--files",
			"a-folder-that-is-not-there-and-has-a-name-that-is-too-long-for-a-terminal",
		},
	}
	for line := range strings.Lines(lab.LeewardOK(t, "", "--help")) {
		if f := strings.Fields(line); strings.HasPrefix(line, "  ") && len(f) > 1 && line[2] != ' ' &&
			f[0] != "leeward" {
			verbs["help of "+f[0]] = []string{f[0], "--help"}
		}
	}
	if len(verbs) < 35 {
		t.Fatalf("there are %d verbs to print: the help does not name them as it did", len(verbs))
	}
	for what, args := range verbs {
		t.Run(strings.ReplaceAll(what, " ", "_"), func(t *testing.T) {
			t.Parallel()
			o := lab.Leeward(t, "", args...)
			if o.Stdout+o.Stderr == "" {
				t.Fatalf("%v prints nothing: %v", args, o)
			}
			for _, columns := range []int{80, 100} {
				whole := addressesIn(o.Stdout + o.Stderr)
				fits(t, onTerminal(t, columns, args...), columns, whole)
			}
		})
	}
	t.Run("demo", func(t *testing.T) {
		t.Parallel()
		// All of the demo's addresses are loopback addresses. Some are shown in part, with a sign that says so.
		fits(t, onTerminal(t, 80, "demo", "--for", "2s"), 80, nil)
	})
	t.Run("demo_once", func(t *testing.T) {
		t.Parallel()
		fits(t, onTerminal(t, 100, "demo", "--once"), 100, nil)
	})
}

// onTerminal returns what a verb prints on a terminal of that many columns.
func onTerminal(t *testing.T, columns int, args ...string) string {
	t.Helper()
	master, slave := openTerminal(t, columns)
	cmd := exec.Command(lab.Binary, args...)
	cmd.Stdout, cmd.Stderr = slave, slave
	cmd.Env = append(os.Environ(), "TERM=xterm")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	text, _ := io.ReadAll(master) // it ends with EIO, once nobody has the terminal open
	cmd.Wait()
	if len(text) == 0 {
		t.Fatalf("%v prints nothing", args)
	}
	return string(text)
}

// openTerminal makes a pseudo-terminal.
func openTerminal(t *testing.T, columns int) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		lab.Missing(t, "no pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)})
	}
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

var (
	escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")
	// Four numbers or hexadecimal groups, or more: an address, or what is left of one.
	addressLike = regexp.MustCompile(`[0-9]+(\.[0-9]+){2,}|[0-9a-f]+(:+[0-9a-f]*){2,}`)
	timeOfDay   = regexp.MustCompile(`^[0-9]+:[0-9]{2}:[0-9]{2}$`)
)

// addressesIn returns everything in a text that looks like an address.
func addressesIn(text string) map[string]bool {
	all := map[string]bool{}
	for _, a := range addressLike.FindAllString(text, -1) {
		all[a] = true
	}
	return all
}

// fits checks that no line on the terminal is too wide, unless it is one word. All addresses must be known ones. If the
// addresses are not known, nothing may be cut without a sign.
func fits(t *testing.T, shown string, columns int, whole map[string]bool) {
	t.Helper()
	shown = escapes.ReplaceAllString(strings.ReplaceAll(shown, "\r", ""), "")
	for line := range strings.Lines(shown) {
		line = strings.TrimRight(line, " \n")
		if n := utf8.RuneCountInString(line); n > columns && strings.ContainsAny(strings.TrimSpace(line), " ,") {
			t.Errorf("%d columns of %d:\n%s", n, columns, line)
		}
	}
	for a := range addressesIn(shown) {
		_, err := netip.ParseAddr(a)
		switch {
		case timeOfDay.MatchString(a), strings.Contains(shown, a+"…"):
		case whole != nil && !whole[a], whole == nil && err != nil:
			t.Errorf("%s is a part of an address", a)
		}
	}
	if t.Failed() {
		t.Logf("all of it:\n%s", shown)
	}
}
