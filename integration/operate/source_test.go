//go:build linux

package operate

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// TestPutIsAnswered puts, changes and deletes resources with etcdctl. Each change reaches the answers without a
// restart.
func TestPutIsAnswered(t *testing.T) {
	m := lab.Filled(t)
	s := lab.Serve(t, "one", "--etcd", m.Client)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")
	lab.Expect(t, 10*time.Second, s.DNS, lab.Question{Name: "example.test", Qtype: dns.TypeMX}, "10 mail.example.test.")

	serial := func() uint32 {
		r, err := lab.Ask(nil, s.DNS, lab.Question{Name: "example.test", Qtype: dns.TypeSOA})
		if err != nil || len(r.Answer) != 1 {
			t.Fatalf("SOA: %v %v", r, err)
		}
		return r.Answer[0].(*dns.SOA).Serial
	}
	before := serial()
	m.Put(t, "records/example.test/new/TXT", `{"data":["\"fresh\""]}`)
	lab.Expect(t, 10*time.Second, s.DNS, lab.Question{Name: "new.example.test", Qtype: dns.TypeTXT}, `"fresh"`)
	if after := serial(); after <= before {
		t.Errorf("the SOA's serial went from %d to %d by a change", before, after)
	}
	m.Put(t, "endpoints/www-eu/lb-1", `{"addresses":["192.0.2.11"]}`)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.11")
	if o := m.Ctl(t, "", "del", "/leeward/records/example.test/new/TXT"); o.Code != 0 {
		t.Fatal(o)
	}
	lab.Expect(t, 10*time.Second, s.DNS, lab.Question{Name: "new.example.test", Qtype: dns.TypeTXT}, "NXDOMAIN")
}

// TestStandstill stops a server for longer than its watches may be silent, like a host that is migrated or out of
// memory. Whatever has come meanwhile is still in the sockets, and is delivered in order. Nothing was cut off, and
// nothing is listed anew: a list would not show which vantages were alive all the while.
func TestStandstill(t *testing.T) {
	m := lab.Filled(t)
	s := lab.Serve(t, "one", "--etcd", m.Client)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")
	lab.Until(t, 10*time.Second, "it follows resources and reports", func() error {
		for _, says := range []string{"etcd: following", "following what other vantages report"} {
			if !strings.Contains(s.Process.Out.String(), says) {
				return fmt.Errorf("it has not said %q", says)
			}
		}
		return nil
	})
	before := len(s.Process.Out.String())
	s.Process.Signal(t, syscall.SIGSTOP)
	time.Sleep(8 * time.Second) // watches may be silent for 6 s
	m.Put(t, "records/example.test/new/A", `{"data":["192.0.2.77"]}`)
	s.Process.Signal(t, syscall.SIGCONT)
	lab.Expect(t, 20*time.Second, s.DNS, lab.Question{Name: "new.example.test", Qtype: dns.TypeA}, "192.0.2.77")
	for line := range strings.Lines(s.Process.Out.String()[before:]) {
		if strings.Contains(line, "cut off") || strings.Contains(line, "other vantages are not heard") {
			t.Errorf("it says: %s", line)
		}
	}
}

// TestBadValue: a bad value only keeps its own resource from changing. It shows in the status, and it heals.
func TestBadValue(t *testing.T) {
	m := lab.Filled(t)
	s := lab.Serve(t, "one", "--etcd", m.Client)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")
	for _, bad := range []struct{ key, value, says string }{
		{"policies/www.example.test", `{"ttl":"20s","rules":[{"failover":["www-eu"]}],"colour":"red"}`, "colour"},
		{"policies/www.example.test", `this is not JSON`, ""},
		{"policies/www.example.test", `{"ttl":"20s","rules":[{"failover":["nowhere"]}]}`, "nowhere"},
		{"policies/www.example.test", `{"ttl":20,"rules":[{"failover":["www-eu"]}]}`, "ttl"},
	} {
		m.Put(t, bad.key, bad.value)
		lab.Until(t, 10*time.Second, "the bad value is told: "+bad.value, func() error {
			var p lab.StatusPage
			if err := s.Status(&p); err != nil {
				return err
			}
			for _, problem := range p.Problems {
				if problem.Resource == bad.key && problem.Revision > 0 &&
					strings.Contains(problem.Field+" "+problem.Message, bad.says) {
					return nil
				}
			}
			return fmt.Errorf("%+v", p.Problems)
		})
		lab.Still(t, s.DNS, lab.WWW, "192.0.2.1")
		m.Put(t, "records/example.test/other/A", `{"data":["192.0.2.77"]}`) // the rest goes on
		lab.Expect(t, 10*time.Second, s.DNS, lab.Question{Name: "other.example.test", Qtype: dns.TypeA}, "192.0.2.77")
		if o := m.Ctl(t, "", "del", "/leeward/records/example.test/other/A"); o.Code != 0 {
			t.Fatal(o)
		}
		lab.Expect(t, 10*time.Second, s.DNS, lab.Question{Name: "other.example.test", Qtype: dns.TypeA}, "NXDOMAIN")
	}
	m.Put(t, "policies/www.example.test", `{"ttl":"20s","rules":[{"failover":["www-us","www-eu"]}]}`)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.2")
	lab.Until(t, 10*time.Second, "no problem is left", func() error {
		var p lab.StatusPage
		if err := s.Status(&p); err != nil || len(p.Problems) != 0 {
			return fmt.Errorf("%v %+v", err, p.Problems)
		}
		return nil
	})
}

// TestDrainAndRestore drains a region by a command and restores it. With a time, it comes back by itself.
func TestDrainAndRestore(t *testing.T) {
	m := lab.Filled(t)
	s := lab.Serve(t, "one", "--etcd", m.Client)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")
	lab.LeewardOK(t, "", "drain", "--etcd", m.Client, "region/eu", "--reason", "maintenance")
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.2")
	if out := lab.LeewardOK(t, "", "status", "--admin", "http://"+s.Admin); !strings.Contains(out, "drain") {
		t.Errorf("status does not say that the region is drained:\n%s", out)
	}
	if out := lab.LeewardOK(t, "", "explain", "--admin", "http://"+s.Admin, "www.example.test", "A", "--client",
		"198.51.100.7"); !strings.Contains(out, "192.0.2.2") || !strings.Contains(out, "drain") {
		t.Errorf("explain does not say why:\n%s", out)
	}
	lab.LeewardOK(t, "", "restore", "--etcd", m.Client, "region/eu")
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")
	lab.LeewardOK(t, "", "drain", "--etcd", m.Client, "endpoint/www-eu/lb-1", "--for", "8s")
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.2")
	lab.Expect(t, 20*time.Second, s.DNS, lab.WWW, "192.0.2.1")
	if o := lab.Leeward(t, "", "drain", "--etcd", m.Client, "region/atlantis"); o.Code != 1 ||
		!strings.Contains(o.Stderr, "atlantis") {
		t.Errorf("draining what is not there: %v", o)
	}
}

// TestLifeWithoutEtcd kills etcd: the server goes on, starts again from its copy on disk, and follows once etcd is
// back.
func TestLifeWithoutEtcd(t *testing.T) {
	m := lab.Filled(t)
	state := t.TempDir()
	s := lab.Serve(t, "one", "--etcd", m.Client, "--state", state)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")
	m.Put(t, "endpoints/www-eu/lb-1", `{"addresses":["192.0.2.12"]}`)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.12")
	lab.Until(t, 20*time.Second, "a copy is on disk", func() error {
		files, err := filepath.Glob(filepath.Join(state, "*"))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("%v %v", files, err)
		}
		return nil
	})
	m.Process.Kill()
	lab.Until(t, 30*time.Second, "status says that etcd is away", func() error {
		lab.Still(t, s.DNS, lab.WWW, "192.0.2.12")
		var p lab.StatusPage
		if err := s.Status(&p); err != nil {
			return err
		}
		if len(p.Servers) != 1 || p.Servers[0].Source.State != "cut off" {
			return fmt.Errorf("%+v", p.Servers)
		}
		return nil
	})
	if code := s.Process.Terminate(t); code != 0 {
		t.Errorf("SIGTERM without etcd: exit status %d, want 0", code)
	}
	s.Start(t) // with nothing but the copy on disk
	s.Ready(t)
	lab.Still(t, s.DNS, lab.WWW, "192.0.2.12")
	lab.Still(t, s.DNS, lab.Question{Name: "nope.example.test", Qtype: dns.TypeA}, "NXDOMAIN")

	s.Process.Kill() // once more, without a goodbye
	s.Start(t)
	s.Ready(t)
	lab.Still(t, s.DNS, lab.WWW, "192.0.2.12")

	m.Start(t)
	m.Wait(t)
	m.Put(t, "endpoints/www-eu/lb-1", `{"addresses":["192.0.2.13"]}`)
	lab.Expect(t, 30*time.Second, s.DNS, lab.WWW, "192.0.2.13")
}

// TestNotReadyWithoutAnything: a server that never had a snapshot is alive, but not ready until etcd comes.
func TestNotReadyWithoutAnything(t *testing.T) {
	lab.Need(t, "etcd", "etcdctl")
	client, peer := lab.LoopbackPort(t), lab.LoopbackPort(t)
	m := lab.NewMember(t, nil, "late", "127.0.0.1", client, peer, t.TempDir(),
		fmt.Sprintf("late=http://127.0.0.1:%d", peer))
	s := lab.NewServer(t, "one", "--etcd", m.Client)
	s.Start(t)
	lab.Until(t, 20*time.Second, "/healthz answers", func() error {
		code, _, err := s.Get("/healthz")
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("%d", code)
		}
		return err
	})
	if code, body, err := s.Get("/readyz"); err != nil || code != http.StatusServiceUnavailable {
		t.Errorf("/readyz without a snapshot: %d %s %v, want 503", code, body, err)
	}
	if o := lab.Leeward(t, "", "healthcheck", "--admin", s.Admin); o.Code != 1 {
		t.Errorf("healthcheck: %v, want exit status 1", o)
	}
	m.Start(t)
	m.Wait(t)
	for _, kv := range lab.Keys {
		m.Put(t, kv[0], kv[1])
	}
	s.Ready(t)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")
	lab.LeewardOK(t, "", "healthcheck", "--admin", s.Admin)
}

// TestGuard deletes a zone's records behind Leeward's back. The deletion is held back and reported until it is
// accepted. What `leeward delete` removes on purpose goes.
func TestGuard(t *testing.T) {
	m := lab.Filled(t)
	s := lab.Serve(t, "one", "--etcd", m.Client)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")
	if o := m.Ctl(t, "", "del", "--prefix", "/leeward/"); o.Code != 0 {
		t.Fatal(o)
	}
	lab.Until(t, 10*time.Second, "the wipe is held", func() error {
		var p lab.StatusPage
		if err := s.Status(&p); err != nil {
			return err
		}
		if len(p.Held) == 0 || p.Servers[0].Held == 0 {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
	lab.Still(t, s.DNS, lab.WWW, "192.0.2.1")
	lab.Still(t, s.DNS, lab.NS1, "192.0.2.53")
	for _, all := range []string{
		"zones/example.test", "records/example.test/ns1/A", "policies/www.example.test",
		"one",
	} {
		if out := lab.LeewardOK(t, "", "accept", "--etcd", m.Client, "--dry-run"); !strings.Contains(out, all) ||
			!strings.Contains(out, "dry run") {
			t.Errorf("accept --dry-run does not say %s:\n%s", all, out)
		}
	}
	if o := lab.Leeward(t, "", "accept", "--etcd", m.Client, "pool", "www-ap"); o.Code != 1 ||
		!strings.Contains(o.Stderr, "nothing of Pool www-ap is held back") {
		t.Errorf("accept of what is not held: %v", o)
	}
	lab.Still(t, s.DNS, lab.WWW, "192.0.2.1")
	if out := lab.LeewardOK(t, "", "accept", "--etcd", m.Client, "policy/www.example.test"); strings.Contains(out,
		"zones/") {
		t.Errorf("accept of a policy takes more:\n%s", out)
	}
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "NXDOMAIN")
	lab.Still(t, s.DNS, lab.NS1, "192.0.2.53")
	lab.Until(t, 10*time.Second, "the server says so", func() error {
		if out := lab.LeewardOK(t, "", "accept", "--etcd", m.Client, "--dry-run"); strings.Contains(out, "policies/") {
			return errors.New(out)
		}
		return nil
	})
	if out := lab.LeewardOK(t, "", "accept", "--etcd", m.Client); !strings.Contains(out, "zones/example.test") ||
		!strings.Contains(out, "Accepted") {
		t.Errorf("accept does not say what it takes, or says what is gone:\n%s", out)
	}
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "REFUSED")
	lab.Until(t, 10*time.Second, "nothing is held", func() error {
		if out := lab.LeewardOK(t, "", "accept", "--etcd", m.Client); !strings.Contains(out,
			"Nothing is held back by 1 server.") || strings.Contains(out, "Accepted") {
			return errors.New(out)
		}
		return nil
	})

	for _, kv := range lab.Keys {
		m.Put(t, kv[0], kv[1])
	}
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")
	lab.LeewardOK(t, "", "delete", "--etcd", m.Client, "policy", "www.example.test")
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "NXDOMAIN")
}

// TestAgreement runs two servers with monitored endpoints on loopback. Both come to the same verdicts when one endpoint
// goes down and comes back, and a third vantage without DNS takes part.
func TestAgreement(t *testing.T) {
	m := lab.Filled(t)
	var broken atomic.Bool
	port := 0
	for _, address := range []string{"127.0.0.1", "127.0.0.2"} {
		l, err := net.Listen("tcp", net.JoinHostPort(address, fmt.Sprint(port)))
		if err != nil {
			t.Fatal(err)
		}
		port = l.Addr().(*net.TCPAddr).Port
		endpoint := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if address == "127.0.0.1" && broken.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			fmt.Fprintln(w, "ok")
		})}
		go endpoint.Serve(l)
		t.Cleanup(func() { endpoint.Close() })
	}
	m.Put(t, "monitors/web",
		fmt.Sprintf(`{"http":{"port":%d,"body":"ok"},"interval":"250ms","timeout":"200ms","fall":2,"rise":2}`, port))
	m.Put(t, "endpoints/www-eu/lb-1", `{"addresses":["127.0.0.1"]}`)
	m.Put(t, "endpoints/www-us/lb-1", `{"addresses":["127.0.0.2"]}`)
	m.Put(t, "pools/www-eu", `{"region":"eu","monitor":"web"}`)
	m.Put(t, "pools/www-us", `{"region":"us","monitor":"web"}`)
	servers := []*lab.Server{
		lab.Serve(t, "one", "--etcd", m.Client, "--region", "eu"),
		lab.Serve(t, "two", "--etcd", m.Client, "--region", "us"),
	}
	lab.Start(t, nil, "leeward probe", lab.Binary, "probe", "--etcd", m.Client, "--id", "three", "--region", "us",
		"--admin", "")

	agreed := func(address, verdict string) {
		t.Helper()
		for _, s := range servers {
			lab.Until(t, 30*time.Second,
				fmt.Sprintf("server %s has three fresh votes and the verdict %s on %s", s.Name, verdict,
					address), func() error {
					var p lab.StatusPage
					if err := s.Status(&p); err != nil {
						return err
					}
					for _, e := range p.Endpoints {
						for _, a := range e.Addresses {
							if a.Address != netip.MustParseAddr(address) {
								continue
							}
							votes := 0
							for _, v := range a.Votes {
								if v.Fresh && v.State == verdict {
									votes++
								}
							}
							if a.Verdict == verdict && votes == 3 {
								return nil
							}
							return fmt.Errorf("%+v", a)
						}
					}
					return fmt.Errorf("no such address in %+v", p.Endpoints)
				})
		}
	}
	agreed("127.0.0.1", "up")
	agreed("127.0.0.2", "up")
	broken.Store(true)
	agreed("127.0.0.1", "down")
	for _, s := range servers {
		lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "127.0.0.2")
	}
	broken.Store(false)
	agreed("127.0.0.1", "up")
	for _, s := range servers {
		lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "127.0.0.1")
		if _, body, err := s.Get("/metrics"); err != nil || !strings.Contains(body, "leeward_") {
			t.Errorf("/metrics of %s: %v\n%.500s", s.Name, err, body)
		}
	}
}

// TestExternalReports puts a report with etcdctl, for a monitor of the kind external.
func TestExternalReports(t *testing.T) {
	m := lab.Filled(t)
	m.Put(t, "monitors/outside", `{"external":{},"interval":"1s","timeout":"500ms"}`)
	m.Put(t, "pools/www-eu", `{"region":"eu","monitor":"outside"}`)
	s := lab.Serve(t, "one", "--etcd", m.Client)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")
	report := func(sequence int, state string) string {
		return fmt.Sprintf(`{"vantage":"watcher","sequence":%d,"time":%q,"validFor":"1m","endpoints":{"lb-1":{"*":{"state":%q,"reason":"the watcher says so"}}}}`,
			sequence, time.Now().UTC().Format(time.RFC3339), state)
	}
	m.Put(t, "reports/watcher/www-eu", report(1, "down"))
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.2")
	m.Put(t, "reports/watcher/www-eu", report(2, "up"))
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")
}
