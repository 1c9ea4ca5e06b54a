//go:build linux

package lab

import (
	"cmp"
	"errors"
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

	"github.com/miekg/dns"
)

// Plan is what a world is made with. TTL and detection are short so that tests are short too; tests assert the
// relations between them.
type Plan struct {
	TTL            time.Duration // of policies
	Every, Timeout time.Duration // of probes
	Fall, Rise     int
	Hold           time.Duration // see health.Tracker; 0, so that recovered endpoints return at once
	Monitor        string        // more of the monitor, as lines of its document
	Seed           uint64        // of a forwarder between the hosts; 0: they are on a switch
	Etcd           []string      // more flags of its members
	Version        string        // commit that the servers are built from; empty: what is tested
	// When the resolver forgets that a server was down; 0: after 15 minutes, as unbound does.
	Forgets     time.Duration
	Descriptors int  // that each server may have; 0: as many as this process
	Memory      int  // MiB that each server may have, in a control group of its own; 0: no limit
	Clocks      bool // the servers' clocks can be set, each on its own
	SmallDisk   bool // the folders of the servers' copies are file systems of 256 KiB
	Reached     bool // people reach the admin interfaces at http://server-REGION.example.net, see --admin-url
}

// Usual is the plan of most tests.
var Usual = Plan{TTL: 5 * time.Second, Every: 500 * time.Millisecond, Timeout: 400 * time.Millisecond, Fall: 3, Rise: 2}

// Region is a failure domain in the yard: a namespace with an etcd member, a server and two endpoints.
type Region struct {
	Name      string
	number    int
	Host      *Host
	Etcd      *Member
	Server    *Server
	Endpoints []*Endpoint
	Latitude  float64
	Longitude float64
	Client    Place    // where this region's clients are
	Order     []string // of regions, as its clients' answers go
}

func (r *Region) IP(last int) string  { return fmt.Sprintf("10.77.%d.%d", r.number, last) }
func (r *Region) IP6(last int) string { return fmt.Sprintf("fd77::%d:%d", r.number, last) }

// Addresses returns the addresses of the region's endpoints in one family, sorted.
func (r *Region) Addresses(six bool) []netip.Addr {
	if six {
		return []netip.Addr{netip.MustParseAddr(r.IP6(11)), netip.MustParseAddr(r.IP6(12))}
	}
	return []netip.Addr{netip.MustParseAddr(r.IP(11)), netip.MustParseAddr(r.IP(12))}
}

// ClientAddress is the address of this region's client behind the resolver.
func (r *Region) ClientAddress() netip.Addr {
	return netip.MustParsePrefix(r.Client.Network).Addr().Next()
}

// World is three regions and their clients.
type World struct {
	Plan     Plan
	Dir      string   // the folder for all files
	URLs     []string // of etcd
	geodb    string
	Yard     *Yard
	Regions  []*Region
	Client   *Host
	Resolver string // address and port
}

func NewRegions() []*Region {
	return []*Region{
		{
			Name: "eu", number: 1, Latitude: 53.3, Longitude: -6.3, Order: []string{"eu", "us", "ap"},
			Client: Place{"192.0.2.0/24", "EU", "IE", "", 53.3, -6.3},
		},
		{
			Name: "us", number: 2, Latitude: 38.9, Longitude: -77.0, Order: []string{"us", "eu", "ap"},
			Client: Place{"198.51.100.0/24", "NA", "US", "VA", 38.9, -77.0},
		},
		{
			Name: "ap", number: 3, Latitude: 1.3, Longitude: 103.8, Order: []string{"ap", "eu", "us"},
			Client: Place{"203.0.113.0/24", "AS", "SG", "", 1.3, 103.8},
		},
	}
}

// NewWorld lays out three regions, a client with a resolver, and the parents of example.test.
func NewWorld(t testing.TB, p Plan) *World {
	NeedRoot(t)
	Need(t, "etcd", "etcdctl", "unbound", "ip")
	w := &World{Plan: p, Dir: t.TempDir(), Regions: NewRegions()}
	if p.Seed != 0 {
		w.Yard = newForwardedYard(t, p.Seed)
	} else {
		w.Yard = NewYard(t)
	}
	dir := w.Dir

	var places []Place
	for _, r := range w.Regions {
		places = append(places, r.Client)
	}
	w.geodb = filepath.Join(dir, "clients.mmdb")
	WriteCityDatabase(t, w.geodb, places)

	var initial []string
	for _, r := range w.Regions {
		r.Host = w.Yard.Host(t, r.Name, netip.MustParsePrefix(r.IP(1)+"/16"), netip.MustParsePrefix(r.IP6(1)+"/64"))
		for _, last := range []int{11, 12} {
			r.Host.Address(t, netip.MustParsePrefix(r.IP(last)+"/16"), "cable")
			r.Host.Address(t, netip.MustParsePrefix(r.IP6(last)+"/64"), "cable")
			at := []string{net.JoinHostPort(r.IP(last), "80")}
			if w.Yard.IPv6 {
				at = append(at, net.JoinHostPort(r.IP6(last), "80"))
			}
			r.Endpoints = append(r.Endpoints, NewEndpoint(t, r.Host, at...))
		}
		initial = append(initial, fmt.Sprintf("%s=http://%s:2380", r.Name, r.IP(1)))
		w.URLs = append(w.URLs, fmt.Sprintf("http://%s:2379", r.IP(1)))
	}
	for _, r := range w.Regions {
		r.Etcd = NewMember(t, r.Host, r.Name, r.IP(1), 2379, 2380, filepath.Join(dir, "etcd-"+r.Name),
			strings.Join(initial, ","))
		r.Etcd.Argv = append(r.Etcd.Argv, p.Etcd...)
		r.Etcd.Start(t)
	}
	for _, r := range w.Regions {
		r.Etcd.Wait(t)
	}

	resources := filepath.Join(dir, "leeward.yaml")
	if err := os.WriteFile(resources, []byte(w.Resources()), 0o644); err != nil {
		t.Fatal(err)
	}
	Must(t, w.Regions[0].Host, Binary, "apply", "--etcd", strings.Join(w.URLs, ","), "-f", resources)

	for _, r := range w.Regions {
		if p.SmallDisk {
			Must(t, nil, "mkdir", w.State(r))
			Must(t, nil, "mount", "-t", "tmpfs", "-o", "size=256k", "yard", w.State(r))
			t.Cleanup(func() { exec.Command("umount", "-l", w.State(r)).Run() })
		}
		w.newServer(r)
		if p.Clocks {
			r.Server.GiveClock(t, filepath.Join(dir, "clock-"+r.Name))
		}
		if p.Version != "" {
			r.Server.Argv[0] = BuiltFrom(t, p.Version)
		}
		if p.Descriptors > 0 {
			r.Server.Within = append(r.Server.Within, "prlimit",
				fmt.Sprintf("--nofile=%d:%d", p.Descriptors, p.Descriptors))
		}
		if p.Memory > 0 {
			r.Server.Within = append(r.Server.Within, newGroup(t, w.Yard.prefix+r.Name, p.Memory).enter()...)
		}
		r.Server.Start(t)
	}
	for _, r := range w.Regions {
		r.Server.Ready(t)
	}
	w.startClient(t, dir)
	return w
}

// newServer describes the region's server.
func (w *World) newServer(r *Region) *Server {
	own := slices.Index(w.Regions, r)
	mine := append([]string{w.URLs[own]}, slices.Delete(slices.Clone(w.URLs), own, own+1)...) // its own member first
	args := []string{"--listen", net.JoinHostPort(r.IP(1), "53")}
	if w.Yard.IPv6 {
		args = append(args, "--listen", net.JoinHostPort(r.IP6(1), "53"))
	}
	if w.Plan.Reached {
		args = append(args, "--admin-url", "http://server-"+r.Name+".example.net")
	}
	r.Server = ServerAt(r.Host, "server-"+r.Name, net.JoinHostPort(r.IP(1), "53"), "127.0.0.1:8053", append(args,
		"--region", r.Name, "--etcd", strings.Join(mine, ","), "--geodb", w.geodb, "--state", w.State(r))...)
	return r.Server
}

// Processes are the servers that run.
func (w *World) Processes() (all []*Process) {
	for _, r := range w.Regions {
		if p := r.Server.Current.Load(); p != nil && p.Alive() {
			all = append(all, p)
		}
	}
	return all
}

// State is the folder that the region's server keeps its copy in.
func (w *World) State(r *Region) string { return filepath.Join(w.Dir, "state-"+r.Name) }

// Resources is the world's configuration as documents.
func (w *World) Resources() string {
	var b strings.Builder
	fmt.Fprintf(&b,
		"kind: Zone\nname: example.test\nnameservers: [ns1.example.test, ns2.example.test, "+
			"ns3.example.test]\nhostmaster: hostmaster@example.test\nttl: 300s\nnegativeTTL: 30s\n")
	fmt.Fprintf(&b, "---\nkind: Record\nname: example.test/@/MX\nttl: 3600s\ndata: [\"10 mail.example.test.\"]\n")
	fmt.Fprintf(&b,
		"---\nkind: Monitor\nname: web\nhttp: {port: 80, path: /healthz, status: 200-299, body: ok}\ninterval: "+
			"%v\ntimeout: %v\nfall: %d\nrise: %d\n%s", w.Plan.Every, w.Plan.Timeout, w.Plan.Fall, w.Plan.Rise,
		w.Plan.Monitor)
	if w.Plan.Version == "" { // an older version may not know it
		fmt.Fprintf(&b, "hold: %v\n", w.Plan.Hold)
	}
	pools := func(names []string) string { return "[www-" + strings.Join(names, ", www-") + "]" }
	var rules, all strings.Builder
	for i, r := range w.Regions {
		fmt.Fprintf(&b, "---\nkind: Record\nname: example.test/ns%d/A\ndata: [%s]\n", r.number, r.IP(1))
		if w.Yard.IPv6 {
			fmt.Fprintf(&b, "---\nkind: Record\nname: example.test/ns%d/AAAA\ndata: [\"%s\"]\n", r.number, r.IP6(1))
		}
		fmt.Fprintf(&b, "---\nkind: Region\nname: %s\nlatitude: %v\nlongitude: %v\n", r.Name, r.Latitude, r.Longitude)
		fmt.Fprintf(&b, "---\nkind: Pool\nname: www-%s\nregion: %s\nmonitor: web\nminHealthy: 50%%\n", r.Name, r.Name)
		for n, last := range []int{11, 12} {
			addrs := r.IP(last)
			if w.Yard.IPv6 {
				addrs += ", \"" + r.IP6(last) + "\""
			}
			fmt.Fprintf(&b, "---\nkind: Endpoint\nname: www-%s/lb-%d\naddresses: [%s]\n", r.Name, n+1, addrs)
		}
		fmt.Fprintf(&rules, "  - when: {continents: [%s]}\n    failover: %s\n", r.Client.Continent, pools(r.Order))
		if i > 0 {
			all.WriteString(", ")
		}
		all.WriteString("www-" + r.Name)
	}
	for _, p := range []struct{ name, rules string }{
		{"www.example.test", rules.String() + "  - failover: " + pools([]string{"eu", "us", "ap"}) + "\n"},
		{"example.test", "  - nearest: [" + all.String() + "]\n"},
	} {
		fmt.Fprintf(&b, "---\nkind: Policy\nname: %s\nttl: %v\npick: all\nanswers: 4\nrules:\n%s", p.name, w.Plan.TTL,
			p.rules)
	}
	return b.String()
}

// startEndpoint serves /healthz on an address of the region.
func startEndpoint(t testing.TB, h *Host, address string) *http.Server {
	t.Helper()
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })}
	l := h.Listen(t, address)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return s
}

// startClient makes the client's namespace: an address for a client of each region, and unbound, which follows the
// delegation from the root and sends its clients' subnets to the three servers.
func (w *World) startClient(t testing.TB, dir string) {
	parents := w.Yard.Host(t, "parents", netip.MustParsePrefix("10.77.8.1/16"), netip.MustParsePrefix("10.77.8.2/16"))
	servers := map[string][]string{}
	var subnets strings.Builder
	for _, r := range w.Regions {
		name := fmt.Sprintf("ns%d.example.test.", r.number)
		servers[name] = []string{r.IP(1)}
		fmt.Fprintf(&subnets, "  send-client-subnet: %s\n", r.IP(1))
		if w.Yard.IPv6 {
			servers[name] = append(servers[name], r.IP6(1))
			fmt.Fprintf(&subnets, "  send-client-subnet: %s\n", r.IP6(1))
		}
	}
	startParents(t, parents, "10.77.8.1", "10.77.8.2", servers)

	w.Client = w.Yard.Host(t, "client", netip.MustParsePrefix("10.77.9.1/16"), netip.MustParsePrefix("fd77::9:1/64"))
	for _, r := range w.Regions {
		w.Client.Address(t, netip.PrefixFrom(r.ClientAddress(), 32), "lo")
	}
	w.Resolver = "10.77.9.1:53"
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
  infra-host-ttl: %d
%sremote-control:
  control-enable: no
`, dir, hints, int(cmp.Or(w.Plan.Forgets, 15*time.Minute).Seconds()), &subnets),
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if o := Command(t, nil, "", "unbound-checkconf", conf); o.Code != 0 {
		Missing(t, "this unbound cannot send client subnets: %s", o.Stderr)
	}
	Start(t, w.Client, "unbound", "unbound", "-d", "-c", conf)
	Until(t, 30*time.Second, "unbound answers", func() error {
		_, err := Ask(w.Client, w.Resolver, Question{Name: "localhost.", Qtype: dns.TypeA}) // it asks nobody for that
		return err
	})
}

// Region returns the region of that name.
func (w *World) Region(name string) *Region {
	return w.Regions[slices.IndexFunc(w.Regions, func(r *Region) bool { return r.Name == name })]
}

// Leader is the member of etcd that leads.
func (w *World) Leader(t testing.TB) *Member {
	leader, _ := w.Led(t)
	return leader.Etcd
}

// Led returns the region whose member of etcd leads, and those whose members follow, among the members that run. It
// waits for a leader that all of them know.
func (w *World) Led(t testing.TB) (leader *Region, followers []*Region) {
	Until(t, 30*time.Second, "etcd has a leader", func() error {
		leader, followers = nil, nil
		for _, r := range w.Regions {
			if !r.Etcd.Process.Alive() {
				continue
			}
			leads, err := r.Etcd.Leads(t)
			switch {
			case err != nil:
				return err
			case leads:
				leader = r
			default:
				followers = append(followers, r)
			}
		}
		if leader == nil {
			return errors.New("no member leads")
		}
		return nil
	})
	return leader, followers
}
