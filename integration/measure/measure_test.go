//go:build linux

package measure

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// measure turns on the TestMeasure tests, which take minutes and assert nothing about time: they print the rows of
// docs/measurements.md. See `make measure`.
var measure = flag.Bool("measure", false, "print the figures of docs/measurements.md")

func measuring(t *testing.T) {
	t.Helper()
	if !*measure {
		t.Skip("only with -measure")
	}
	t.Logf("%s, %d cores, %s", runtime.Version(), runtime.NumCPU(), lab.Must(t, nil, "uname", "-sr"))
}

// firstAnswer starts a server and returns the time from its start until it answers q with NOERROR and data.
func firstAnswer(t *testing.T, s *lab.Server, q lab.Question) time.Duration {
	t.Helper()
	begin := time.Now()
	s.Start(t)
	lab.Until(t, 10*time.Minute, "a first answer", func() error {
		if !s.Process.Alive() {
			t.Fatalf("the server ended:\n%s", s.Process.Out.Tail(20))
		}
		c, err := net.Dial("udp", s.DNS)
		if err != nil {
			return err
		}
		defer c.Close()
		m, err := lab.Exchange(c, q.Message(), 200*time.Millisecond)
		if err != nil {
			return err
		}
		if m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0 {
			return fmt.Errorf("%v", lab.VerdictOf(m))
		}
		return nil
	})
	return time.Since(begin)
}

// startup measures a server that starts with a lot, from the source, and from its own copy on disk once it has one.
func startup(t *testing.T, what string, q lab.Question, source ...string) {
	t.Helper()
	s := lab.NewServer(t, "measured", append(source, "--state", t.TempDir())...)
	took := firstAnswer(t, s, q)
	s.Ready(t)
	now, most := lab.RSS(t, s.Process)
	t.Logf("| %s | %.2f s | %.0f MiB | %.0f MiB |", what, took.Seconds(), now, most)
	lab.Until(t, time.Minute, "a copy on disk", func() error {
		files, err := os.ReadDir(s.Argv[len(s.Argv)-1])
		if err != nil {
			return err
		}
		if len(files) == 0 {
			return fmt.Errorf("there is none")
		}
		return nil
	})
	if code := s.Process.Terminate(t); code != 0 {
		t.Errorf("SIGTERM: exit status %d", code)
	}
	took = firstAnswer(t, s, q)
	now, most = lab.RSS(t, s.Process)
	t.Logf("| %s, from the copy on disk | %.2f s | %.0f MiB | %.0f MiB |", what, took.Seconds(), now, most)
	s.Process.Kill()
}

// fillPolicies puts a zone, three regions and n policies with a pool in each region and two endpoints in each pool.
func fillPolicies(t *testing.T, m *lab.Member, n int) *lab.Gateway {
	t.Helper()
	g := &lab.Gateway{URL: m.Client, HTTP: http.Client{Timeout: time.Minute}}
	regions := []string{"eu", "us", "ap"}
	fixed := [][2]string{
		{"zones/example.test", `{"nameservers":["ns1.example.test"],"hostmaster":"hostmaster@example.test"}`},
		{"records/example.test/ns1/A", `{"data":["192.0.2.53"]}`},
		{"regions/eu", `{"latitude":53.3,"longitude":-6.3}`},
		{"regions/us", `{"latitude":38.9,"longitude":-77}`},
		{"regions/ap", `{"latitude":1.3,"longitude":103.8}`},
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(g.Fill(len(fixed), func(i int) (string, string) { return fixed[i][0], fixed[i][1] }))
	must(g.Fill(n*3, func(i int) (string, string) {
		return fmt.Sprintf("pools/p%d-%s", i/3, regions[i%3]), fmt.Sprintf(`{"region":%q}`, regions[i%3])
	}))
	must(g.Fill(n*6, func(i int) (string, string) {
		return fmt.Sprintf("endpoints/p%d-%s/lb-%d", i/6, regions[i%6/2], i%2),
			fmt.Sprintf(`{"addresses":[%q]}`, policyEndpoint(i))
	}))
	must(g.Fill(n, func(i int) (string, string) {
		return fmt.Sprintf("policies/p%d.example.test", i),
			fmt.Sprintf(
				`{"ttl":"30s","rules":[{"when":{"countries":["US"]},"failover":["p%d-us","p%d-eu"]},{"nearest":["p%d-eu","p%d-us","p%d-ap"]}]}`,
				i, i, i, i, i,
			)
	}))
	return g
}

// policyEndpoint is the address of the i-th endpoint. All are different, as a duplicate address is refused.
func policyEndpoint(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// TestMeasurePutToAnswer measures, 1,000 times, the time from a put to etcd until two servers answer with the change.
func TestMeasurePutToAnswer(t *testing.T) {
	measuring(t)
	const policies, changes = 10_000, 1_000
	m := lab.StartEtcd(t)
	g := fillPolicies(t, m, policies)
	servers := []*lab.Server{lab.NewServer(t, "one", "--etcd", m.Client), lab.NewServer(t, "two", "--etcd", m.Client)}
	var conns []net.Conn
	for _, s := range servers {
		firstAnswer(t, s, lab.Question{Name: fmt.Sprintf("p%d.example.test", policies-1), Qtype: dns.TypeA})
		s.Ready(t)
		c, err := net.Dial("udp", s.DNS)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	took := make([][]time.Duration, len(servers)+1) // the last is for both
	for n := range changes {
		// A client without a location gets the pools as listed, so the one of eu, and either of its two endpoints.
		// Asking until the changed one is drawn takes one more query on average.
		i := n * 7919 % policies
		want := netip.AddrFrom4([4]byte{172, 16 + byte(n>>16), byte(n >> 8), byte(n)})
		q := lab.Question{Name: fmt.Sprintf("p%d.example.test", i), Qtype: dns.TypeA}
		begin := time.Now()
		var wg sync.WaitGroup
		each := make([]time.Duration, len(servers))
		failed := make([]error, len(servers)+1)
		for k := range servers {
			wg.Go(func() {
				for time.Since(begin) < 10*time.Second {
					r, err := lab.Exchange(conns[k], q.Message(), time.Second)
					if err != nil {
						failed[k] = err
						return
					}
					if slices.Contains(lab.Addresses(r), want) {
						each[k] = time.Since(begin)
						return
					}
				}
				failed[k] = fmt.Errorf("the change is not answered")
			})
		}
		wg.Go(func() {
			failed[len(servers)] = g.Put(fmt.Sprintf("endpoints/p%d-eu/lb-0", i),
				fmt.Sprintf(`{"addresses":[%q]}`, want))
		})
		wg.Wait()
		for _, err := range failed {
			if err != nil {
				t.Fatalf("change %d: %v", n, err)
			}
		}
		for k, d := range each {
			took[k] = append(took[k], d)
		}
		took[len(servers)] = append(took[len(servers)], slices.Max(each))
	}
	t.Logf("put → answer, %d changes, %d policies × 6 endpoints, two servers, one etcd on loopback", changes,
		policies)
	t.Log("| | p50 | p99 | max |")
	t.Log("|---|---:|---:|---:|")
	for k, name := range []string{"server one", "server two", "both"} {
		d := took[k]
		slices.Sort(d)
		ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
		t.Logf("| %s | %s | %s | %s |", name, ms(d[len(d)/2]), ms(d[len(d)*99/100]), ms(d[len(d)-1]))
	}
}

// TestMeasureStartPolicies measures start and memory with 10,000 policies.
func TestMeasureStartPolicies(t *testing.T) {
	measuring(t)
	m := lab.StartEtcd(t)
	fillPolicies(t, m, 10_000)
	t.Log("| what is loaded | start to first answer | memory (RSS) | its peak |")
	t.Log("|---|---:|---:|---:|")
	startup(t, "10,000 policies × 6 endpoints, etcd", lab.Question{Name: "p9999.example.test", Qtype: dns.TypeA},
		"--etcd",
		m.Client)
}

// TestMeasureStartRecords measures start and memory with 1,000,000 static records, from a master file and from etcd.
func TestMeasureStartRecords(t *testing.T) {
	measuring(t)
	const records = 1_000_000
	q := lab.Question{Name: fmt.Sprintf("h%d.example.test", records-1), Qtype: dns.TypeA}
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	t.Log("| what is loaded | start to first answer | memory (RSS) | its peak |")
	t.Log("|---|---:|---:|---:|")
	t.Run("file", func(t *testing.T) {
		dir := t.TempDir()
		var b strings.Builder
		b.WriteString("$TTL 300\n@ SOA ns1 hostmaster 1 3600 900 86400 30\n@ NS ns1\nns1 A 192.0.2.53\n")
		for i := range records {
			fmt.Fprintf(&b, "h%d A %v\n", i, address(i))
		}
		lab.Write(t, filepath.Join(dir, "example.test.zone"), b.String())
		startup(t, "1,000,000 records, master file", q, "--files", dir)
	})
	t.Run("etcd", func(t *testing.T) {
		m := lab.StartEtcd(t)
		g := &lab.Gateway{URL: m.Client, HTTP: http.Client{Timeout: time.Minute}}
		if err := g.Put("zones/example.test", lab.Keys[0][1]); err != nil {
			t.Fatal(err)
		}
		if err := g.Put("records/example.test/ns1/A", lab.Keys[1][1]); err != nil {
			t.Fatal(err)
		}
		if err := g.Fill(records, func(i int) (string, string) {
			return fmt.Sprintf("records/example.test/h%d/A", i), fmt.Sprintf(`{"data":[%q]}`, address(i))
		}); err != nil {
			t.Fatal(err)
		}
		startup(t, "1,000,000 records, etcd", q, "--etcd", m.Client)
	})
}

// TestMeasureVerdict measures the time from an endpoint's death until the answers of two servers change, by interval.
// An endpoint dies like a process: its port refuses, and open connections are reset.
func TestMeasureVerdict(t *testing.T) {
	measuring(t)
	const rounds = 10
	t.Log("endpoint killed → answers changed, fall 3, rise 2, two servers that are the vantages, majority; the " +
		"bound is fall × interval + timeout")
	t.Log("| interval | timeout | p50 | max | back, p50 | back, max |")
	t.Log("|---:|---:|---:|---:|---:|---:|")
	for _, interval := range []time.Duration{250 * time.Millisecond, time.Second, 2 * time.Second} {
		timeout := interval / 2
		m := lab.Filled(t)
		port := 0
		var endpoint *http.Server
		serveOn := func(address string) *http.Server {
			var l net.Listener
			lab.Until(t, 10*time.Second, "the port is free", func() (err error) {
				l, err = net.Listen("tcp", net.JoinHostPort(address, fmt.Sprint(port)))
				return err
			})
			port = l.Addr().(*net.TCPAddr).Port
			s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintln(w, "ok")
			})}
			go s.Serve(l)
			return s
		}
		endpoint = serveOn("127.0.0.1")
		other := serveOn("127.0.0.2")
		m.Put(t, "monitors/web",
			fmt.Sprintf(`{"http":{"port":%d},"interval":"%v","timeout":"%v","fall":3,"rise":2,"hold":"0s"}`, port,
				interval,
				timeout))
		m.Put(t, "endpoints/www-eu/lb-1", `{"addresses":["127.0.0.1"]}`)
		m.Put(t, "endpoints/www-us/lb-1", `{"addresses":["127.0.0.2"]}`)
		m.Put(t, "pools/www-eu", `{"region":"eu","monitor":"web"}`)
		m.Put(t, "pools/www-us", `{"region":"us","monitor":"web"}`)
		servers := []*lab.Server{lab.Serve(t, "one", "--etcd", m.Client), lab.Serve(t, "two", "--etcd", m.Client)}
		both := func(want string) {
			for _, s := range servers {
				lab.Expect(t, time.Minute, s.DNS, lab.WWW, want)
			}
		}
		for _, s := range servers { // both have reported: a missing vote would make the first round shorter
			lab.Until(t, time.Minute, "two votes", func() error {
				_, body, err := s.Get("/api/v1/status")
				if err == nil && strings.Count(body, `"state":"up"`) < 4 {
					err = fmt.Errorf("%s", body)
				}
				return err
			})
		}
		both("127.0.0.1")
		var out, back []time.Duration
		for range rounds {
			// The endpoint dies at any phase of the probes, not right after the one that saw it back.
			<-time.After(rand.N(interval))
			begin := time.Now()
			endpoint.Close()
			both("127.0.0.2")
			out = append(out, time.Since(begin))
			<-time.After(rand.N(interval))
			begin = time.Now()
			endpoint = serveOn("127.0.0.1")
			both("127.0.0.1")
			back = append(back, time.Since(begin))
		}
		endpoint.Close()
		other.Close()
		for _, s := range servers {
			s.Process.Terminate(t)
		}
		slices.Sort(out)
		slices.Sort(back)
		s := func(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
		t.Logf("| %v | %v | %s | %s | %s | %s |", interval, timeout, s(out[len(out)/2]), s(out[len(out)-1]),
			s(back[len(back)/2]), s(back[len(back)-1]))
	}
}
