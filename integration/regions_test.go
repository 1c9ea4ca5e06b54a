//go:build linux

package integration

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// plan is what a world is made with. TTL and detection are short so that tests are, too; what they assert are the
// relations between them.
type plan struct {
	ttl            time.Duration // of policies
	every, timeout time.Duration // of probes
	fall, rise     int
	hold           time.Duration // see health.Tracker; none, so that what comes back does at once
	monitor        string        // more of the monitor, as lines of its document
	seed           uint64        // of a forwarder between the hosts; 0: they are on a switch
	etcd           []string      // more flags of its members
	version        string        // commit that the servers are built from; empty: what is tested
	descriptors    int           // that each server may have; 0: as many as this process
	memory         int           // MiB that each server may have, in a control group of its own; 0: no limit
	clocks         bool          // the servers' clocks can be set, each on its own
	smallDisk      bool          // the folders of the servers' copies are file systems of 256 KiB
}

// usual is the plan of most tests.
var usual = plan{ttl: 5 * time.Second, every: 500 * time.Millisecond, timeout: 400 * time.Millisecond, fall: 3, rise: 2}

// region is a failure domain in the yard: a namespace with an etcd member, a server and two endpoints.
type region struct {
	name      string
	number    int
	host      *host
	etcd      *member
	server    *server
	endpoints []*endpoint
	latitude  float64
	longitude float64
	client    place    // where this region's clients are
	order     []string // of regions, as its clients' answers go
}

func (r *region) ip(last int) string  { return fmt.Sprintf("10.77.%d.%d", r.number, last) }
func (r *region) ip6(last int) string { return fmt.Sprintf("fd77::%d:%d", r.number, last) }

// addresses returns the addresses of the region's endpoints in one family, sorted.
func (r *region) addresses(six bool) []netip.Addr {
	if six {
		return []netip.Addr{netip.MustParseAddr(r.ip6(11)), netip.MustParseAddr(r.ip6(12))}
	}
	return []netip.Addr{netip.MustParseAddr(r.ip(11)), netip.MustParseAddr(r.ip(12))}
}

// clientAddress is the address of this region's client behind the resolver.
func (r *region) clientAddress() netip.Addr {
	return netip.MustParsePrefix(r.client.network).Addr().Next()
}

// world is three regions and who asks them.
type world struct {
	plan     plan
	dir      string   // where everything keeps what it keeps
	urls     []string // of etcd
	geodb    string
	yard     *yard
	regions  []*region
	client   *host
	resolver string // address and port
}

func newRegions() []*region {
	return []*region{
		{
			name: "eu", number: 1, latitude: 53.3, longitude: -6.3, order: []string{"eu", "us", "ap"},
			client: place{"192.0.2.0/24", "EU", "IE", "", 53.3, -6.3},
		},
		{
			name: "us", number: 2, latitude: 38.9, longitude: -77.0, order: []string{"us", "eu", "ap"},
			client: place{"198.51.100.0/24", "NA", "US", "VA", 38.9, -77.0},
		},
		{
			name: "ap", number: 3, latitude: 1.3, longitude: 103.8, order: []string{"ap", "eu", "us"},
			client: place{"203.0.113.0/24", "AS", "SG", "", 1.3, 103.8},
		},
	}
}

// newWorld lays out three regions, a client with a resolver, and the parents of example.test.
func newWorld(t testing.TB, p plan) *world {
	needRoot(t)
	need(t, "etcd", "etcdctl", "unbound", "ip")
	w := &world{plan: p, dir: t.TempDir(), regions: newRegions()}
	if p.seed != 0 {
		w.yard = newForwardedYard(t, p.seed)
	} else {
		w.yard = newYard(t)
	}
	dir := w.dir

	var places []place
	for _, r := range w.regions {
		places = append(places, r.client)
	}
	w.geodb = filepath.Join(dir, "clients.mmdb")
	writeCityDatabase(t, w.geodb, places)

	var initial []string
	for _, r := range w.regions {
		r.host = w.yard.host(t, r.name, netip.MustParsePrefix(r.ip(1)+"/16"), netip.MustParsePrefix(r.ip6(1)+"/64"))
		for _, last := range []int{11, 12} {
			r.host.address(t, netip.MustParsePrefix(r.ip(last)+"/16"), "cable")
			r.host.address(t, netip.MustParsePrefix(r.ip6(last)+"/64"), "cable")
			at := []string{net.JoinHostPort(r.ip(last), "80")}
			if w.yard.ipv6 {
				at = append(at, net.JoinHostPort(r.ip6(last), "80"))
			}
			r.endpoints = append(r.endpoints, newEndpoint(t, r.host, at...))
		}
		initial = append(initial, fmt.Sprintf("%s=http://%s:2380", r.name, r.ip(1)))
		w.urls = append(w.urls, fmt.Sprintf("http://%s:2379", r.ip(1)))
	}
	for _, r := range w.regions {
		r.etcd = newMember(t, r.host, r.name, r.ip(1), 2379, 2380, filepath.Join(dir, "etcd-"+r.name), strings.Join(initial, ","))
		r.etcd.argv = append(r.etcd.argv, p.etcd...)
		r.etcd.start(t)
	}
	for _, r := range w.regions {
		r.etcd.wait(t)
	}

	resources := filepath.Join(dir, "leeward.yaml")
	if err := os.WriteFile(resources, []byte(w.resources()), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, w.regions[0].host, binary, "apply", "--etcd", strings.Join(w.urls, ","), "-f", resources)

	for _, r := range w.regions {
		if p.smallDisk {
			must(t, nil, "mkdir", w.state(r))
			must(t, nil, "mount", "-t", "tmpfs", "-o", "size=256k", "yard", w.state(r))
			t.Cleanup(func() { exec.Command("umount", "-l", w.state(r)).Run() })
		}
		w.newServer(r)
		if p.clocks {
			r.server.give(t, filepath.Join(dir, "clock-"+r.name))
		}
		if p.version != "" {
			r.server.argv[0] = builtFrom(t, p.version)
		}
		if p.descriptors > 0 {
			r.server.within = append(r.server.within, "prlimit", fmt.Sprintf("--nofile=%d:%d", p.descriptors, p.descriptors))
		}
		if p.memory > 0 {
			r.server.within = append(r.server.within, newGroup(t, w.yard.prefix+r.name, p.memory).enter()...)
		}
		r.server.start(t)
	}
	for _, r := range w.regions {
		r.server.ready(t)
	}
	w.startClient(t, dir)
	return w
}

// newServer describes the region's server.
func (w *world) newServer(r *region) *server {
	own := slices.Index(w.regions, r)
	mine := append([]string{w.urls[own]}, slices.Delete(slices.Clone(w.urls), own, own+1)...) // its own member first
	args := []string{"--listen", net.JoinHostPort(r.ip(1), "53")}
	if w.yard.ipv6 {
		args = append(args, "--listen", net.JoinHostPort(r.ip6(1), "53"))
	}
	r.server = serverAt(r.host, "server-"+r.name, net.JoinHostPort(r.ip(1), "53"), "127.0.0.1:8053", append(args,
		"--region", r.name, "--etcd", strings.Join(mine, ","), "--geodb", w.geodb, "--state", w.state(r))...)
	return r.server
}

// processes are the servers that run.
func (w *world) processes() (all []*process) {
	for _, r := range w.regions {
		if p := r.server.current.Load(); p != nil && p.alive() {
			all = append(all, p)
		}
	}
	return all
}

// state is the folder that the region's server keeps its copy in.
func (w *world) state(r *region) string { return filepath.Join(w.dir, "state-"+r.name) }

// resources is the world's configuration as documents.
func (w *world) resources() string {
	var b strings.Builder
	fmt.Fprintf(&b, "kind: Zone\nname: example.test\nnameservers: [ns1.example.test, ns2.example.test, ns3.example.test]\nhostmaster: hostmaster@example.test\nttl: 300s\nnegativeTTL: 30s\n")
	fmt.Fprintf(&b, "---\nkind: Record\nname: example.test/@/MX\nttl: 3600s\ndata: [\"10 mail.example.test.\"]\n")
	fmt.Fprintf(&b, "---\nkind: Monitor\nname: web\nhttp: {port: 80, path: /healthz, status: 200-299, body: ok}\ninterval: %v\ntimeout: %v\nfall: %d\nrise: %d\n%s", w.plan.every, w.plan.timeout, w.plan.fall, w.plan.rise, w.plan.monitor)
	if w.plan.version == "" { // which an older version may not know
		fmt.Fprintf(&b, "hold: %v\n", w.plan.hold)
	}
	pools := func(names []string) string { return "[www-" + strings.Join(names, ", www-") + "]" }
	var rules, all strings.Builder
	for i, r := range w.regions {
		fmt.Fprintf(&b, "---\nkind: Record\nname: example.test/ns%d/A\ndata: [%s]\n", r.number, r.ip(1))
		if w.yard.ipv6 {
			fmt.Fprintf(&b, "---\nkind: Record\nname: example.test/ns%d/AAAA\ndata: [\"%s\"]\n", r.number, r.ip6(1))
		}
		fmt.Fprintf(&b, "---\nkind: Region\nname: %s\nlatitude: %v\nlongitude: %v\n", r.name, r.latitude, r.longitude)
		fmt.Fprintf(&b, "---\nkind: Pool\nname: www-%s\nregion: %s\nmonitor: web\nminHealthy: 50%%\n", r.name, r.name)
		for n, last := range []int{11, 12} {
			addrs := r.ip(last)
			if w.yard.ipv6 {
				addrs += ", \"" + r.ip6(last) + "\""
			}
			fmt.Fprintf(&b, "---\nkind: Endpoint\nname: www-%s/lb-%d\naddresses: [%s]\n", r.name, n+1, addrs)
		}
		fmt.Fprintf(&rules, "  - when: {continents: [%s]}\n    failover: %s\n", r.client.continent, pools(r.order))
		if i > 0 {
			all.WriteString(", ")
		}
		all.WriteString("www-" + r.name)
	}
	for _, p := range []struct{ name, rules string }{
		{"www.example.test", rules.String() + "  - failover: " + pools([]string{"eu", "us", "ap"}) + "\n"},
		{"example.test", "  - nearest: [" + all.String() + "]\n"},
	} {
		fmt.Fprintf(&b, "---\nkind: Policy\nname: %s\nttl: %v\npick: all\nanswers: 4\nrules:\n%s", p.name, w.plan.ttl, p.rules)
	}
	return b.String()
}

// startEndpoint serves /healthz on an address of the region.
func startEndpoint(t testing.TB, h *host, address string) *http.Server {
	t.Helper()
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })}
	l := h.listen(t, address)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return s
}

// startClient lays out the client's namespace: an address for a client of each region, and unbound, which follows the
// delegation from the root and tells the three servers its clients' subnets.
func (w *world) startClient(t testing.TB, dir string) {
	parents := w.yard.host(t, "parents", netip.MustParsePrefix("10.77.8.1/16"), netip.MustParsePrefix("10.77.8.2/16"))
	servers := map[string][]string{}
	var subnets strings.Builder
	for _, r := range w.regions {
		name := fmt.Sprintf("ns%d.example.test.", r.number)
		servers[name] = []string{r.ip(1)}
		fmt.Fprintf(&subnets, "  send-client-subnet: %s\n", r.ip(1))
		if w.yard.ipv6 {
			servers[name] = append(servers[name], r.ip6(1))
			fmt.Fprintf(&subnets, "  send-client-subnet: %s\n", r.ip6(1))
		}
	}
	startParents(t, parents, "10.77.8.1", "10.77.8.2", servers)

	w.client = w.yard.host(t, "client", netip.MustParsePrefix("10.77.9.1/16"), netip.MustParsePrefix("fd77::9:1/64"))
	for _, r := range w.regions {
		w.client.address(t, netip.PrefixFrom(r.clientAddress(), 32), "lo")
	}
	w.resolver = "10.77.9.1:53"
	hints := filepath.Join(dir, "root.hints")
	conf := filepath.Join(dir, "unbound.conf")
	for file, text := range map[string]string{
		hints: ". 3600 NS a.root.\na.root. 3600 A 10.77.8.1\n",
		conf: fmt.Sprintf(`server:
  interface: 10.77.9.1
  do-daemonize: no
  use-syslog: no
  logfile: ""
  username: ""
  chroot: ""
  pidfile: ""
  directory: "%s"
  root-hints: "%s"
  num-threads: 1
  access-control: 0.0.0.0/0 allow
  do-ip6: yes
  local-zone: "test." nodefault
  module-config: "subnetcache validator iterator"
  max-client-subnet-ipv4: 24
  max-client-subnet-ipv6: 56
%sremote-control:
  control-enable: no
`, dir, hints, &subnets),
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if o := command(t, nil, "", "unbound-checkconf", conf); o.code != 0 {
		missing(t, "this unbound cannot send client subnets: %s", o.stderr)
	}
	start(t, w.client, "unbound", "unbound", "-d", "-c", conf)
}

// region returns the one of that name.
func (w *world) region(name string) *region {
	return w.regions[slices.IndexFunc(w.regions, func(r *region) bool { return r.name == name })]
}
