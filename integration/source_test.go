//go:build linux

package integration

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// keys are a small world as `etcdctl put` puts it: key below the prefix and value.
var keys = [][2]string{
	{"zones/example.test", `{"nameservers":["ns1.example.test"],"hostmaster":"hostmaster@example.test","negativeTTL":"30s"}`},
	{"records/example.test/ns1/A", `{"data":["192.0.2.53"]}`},
	{"records/example.test/@/MX", `{"ttl":"3600s","data":["10 mail.example.test."]}`},
	{"regions/eu", `{"latitude":53.3,"longitude":-6.3}`},
	{"regions/us", `{"latitude":38.9,"longitude":-77}`},
	{"pools/www-eu", `{"region":"eu"}`},
	{"pools/www-us", `{"region":"us"}`},
	{"endpoints/www-eu/lb-1", `{"addresses":["192.0.2.1","2001:db8::1"]}`},
	{"endpoints/www-us/lb-1", `{"addresses":["192.0.2.2"]}`},
	{"policies/www.example.test", `{"ttl":"20s","rules":[{"failover":["www-eu","www-us"]}]}`},
}

var (
	www = question{name: "www.example.test", qtype: dns.TypeA}
	ns1 = question{name: "ns1.example.test", qtype: dns.TypeA}
)

// filled starts an etcd on loopback with keys in it.
func filled(t testing.TB) *member {
	t.Helper()
	m := startEtcd(t)
	for _, kv := range keys {
		m.put(t, kv[0], kv[1])
	}
	return m
}

// TestPutIsAnswered puts, changes and deletes resources with etcdctl: each is in the answers without a restart.
func TestPutIsAnswered(t *testing.T) {
	m := filled(t)
	s := serve(t, "one", "--etcd", m.client)
	expect(t, 10*time.Second, s.dns, www, "192.0.2.1")
	expect(t, 10*time.Second, s.dns, question{name: "example.test", qtype: dns.TypeMX}, "10 mail.example.test.")

	serial := func() uint32 {
		r, err := ask(nil, s.dns, question{name: "example.test", qtype: dns.TypeSOA})
		if err != nil || len(r.Answer) != 1 {
			t.Fatalf("SOA: %v %v", r, err)
		}
		return r.Answer[0].(*dns.SOA).Serial
	}
	before := serial()
	m.put(t, "records/example.test/new/TXT", `{"data":["\"fresh\""]}`)
	expect(t, 10*time.Second, s.dns, question{name: "new.example.test", qtype: dns.TypeTXT}, `"fresh"`)
	if after := serial(); after <= before {
		t.Errorf("the SOA's serial went from %d to %d by a change", before, after)
	}
	m.put(t, "endpoints/www-eu/lb-1", `{"addresses":["192.0.2.11"]}`)
	expect(t, 10*time.Second, s.dns, www, "192.0.2.11")
	if o := m.ctl(t, "", "del", "/leeward/records/example.test/new/TXT"); o.code != 0 {
		t.Fatal(o)
	}
	expect(t, 10*time.Second, s.dns, question{name: "new.example.test", qtype: dns.TypeTXT}, "NXDOMAIN")
}

// TestBadValue holds that a bad value costs its own resource the newest version, shows in status, heals, and nothing
// else.
func TestBadValue(t *testing.T) {
	m := filled(t)
	s := serve(t, "one", "--etcd", m.client)
	expect(t, 10*time.Second, s.dns, www, "192.0.2.1")
	for _, bad := range []struct{ key, value, says string }{
		{"policies/www.example.test", `{"ttl":"20s","rules":[{"failover":["www-eu"]}],"colour":"red"}`, "colour"},
		{"policies/www.example.test", `this is not JSON`, ""},
		{"policies/www.example.test", `{"ttl":"20s","rules":[{"failover":["nowhere"]}]}`, "nowhere"},
		{"policies/www.example.test", `{"ttl":20,"rules":[{"failover":["www-eu"]}]}`, "ttl"},
	} {
		m.put(t, bad.key, bad.value)
		until(t, 10*time.Second, "the bad value is told: "+bad.value, func() error {
			var p statusPage
			if err := s.status(&p); err != nil {
				return err
			}
			for _, problem := range p.Problems {
				if problem.Resource == bad.key && problem.Revision > 0 && strings.Contains(problem.Field+" "+problem.Message, bad.says) {
					return nil
				}
			}
			return fmt.Errorf("%+v", p.Problems)
		})
		still(t, s.dns, www, "192.0.2.1")
		m.put(t, "records/example.test/other/A", `{"data":["192.0.2.77"]}`) // the rest goes on
		expect(t, 10*time.Second, s.dns, question{name: "other.example.test", qtype: dns.TypeA}, "192.0.2.77")
		if o := m.ctl(t, "", "del", "/leeward/records/example.test/other/A"); o.code != 0 {
			t.Fatal(o)
		}
		expect(t, 10*time.Second, s.dns, question{name: "other.example.test", qtype: dns.TypeA}, "NXDOMAIN")
	}
	m.put(t, "policies/www.example.test", `{"ttl":"20s","rules":[{"failover":["www-us","www-eu"]}]}`)
	expect(t, 10*time.Second, s.dns, www, "192.0.2.2")
	until(t, 10*time.Second, "no problem is left", func() error {
		var p statusPage
		if err := s.status(&p); err != nil || len(p.Problems) != 0 {
			return fmt.Errorf("%v %+v", err, p.Problems)
		}
		return nil
	})
}

// TestDrainAndRestore takes a region out by word and brings it back; with a time, it comes back by itself.
func TestDrainAndRestore(t *testing.T) {
	m := filled(t)
	s := serve(t, "one", "--etcd", m.client)
	expect(t, 10*time.Second, s.dns, www, "192.0.2.1")
	leewardOK(t, "", "drain", "--etcd", m.client, "region/eu", "--reason", "maintenance")
	expect(t, 10*time.Second, s.dns, www, "192.0.2.2")
	if out := leewardOK(t, "", "status", "--admin", "http://"+s.admin); !strings.Contains(out, "drain") {
		t.Errorf("status does not say that the region is drained:\n%s", out)
	}
	if out := leewardOK(t, "", "explain", "--admin", "http://"+s.admin, "www.example.test", "A", "--client", "198.51.100.7"); !strings.Contains(out, "192.0.2.2") || !strings.Contains(out, "drain") {
		t.Errorf("explain does not say why:\n%s", out)
	}
	leewardOK(t, "", "restore", "--etcd", m.client, "region/eu")
	expect(t, 10*time.Second, s.dns, www, "192.0.2.1")
	leewardOK(t, "", "drain", "--etcd", m.client, "endpoint/www-eu/lb-1", "--for", "8s")
	expect(t, 10*time.Second, s.dns, www, "192.0.2.2")
	expect(t, 20*time.Second, s.dns, www, "192.0.2.1")
	if o := leeward(t, "", "drain", "--etcd", m.client, "region/atlantis"); o.code != 1 || !strings.Contains(o.stderr, "atlantis") {
		t.Errorf("draining what is not there: %v", o)
	}
}

// TestLifeWithoutEtcd kills etcd: the server goes on, starts again from its copy on disk, and follows once etcd is
// back.
func TestLifeWithoutEtcd(t *testing.T) {
	m := filled(t)
	state := t.TempDir()
	s := serve(t, "one", "--etcd", m.client, "--state", state)
	expect(t, 10*time.Second, s.dns, www, "192.0.2.1")
	m.put(t, "endpoints/www-eu/lb-1", `{"addresses":["192.0.2.12"]}`)
	expect(t, 10*time.Second, s.dns, www, "192.0.2.12")
	until(t, 20*time.Second, "a copy is on disk", func() error {
		files, err := filepath.Glob(filepath.Join(state, "*"))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("%v %v", files, err)
		}
		return nil
	})
	m.process.kill()
	until(t, 30*time.Second, "status says that etcd is away", func() error {
		still(t, s.dns, www, "192.0.2.12")
		var p statusPage
		if err := s.status(&p); err != nil {
			return err
		}
		if len(p.Servers) != 1 || p.Servers[0].Source.State != "cut off" {
			return fmt.Errorf("%+v", p.Servers)
		}
		return nil
	})
	if code := s.process.terminate(t); code != 0 {
		t.Errorf("SIGTERM without etcd: exit status %d, want 0", code)
	}
	s.start(t) // nothing but the copy on disk
	s.ready(t)
	still(t, s.dns, www, "192.0.2.12")
	still(t, s.dns, question{name: "nope.example.test", qtype: dns.TypeA}, "NXDOMAIN")

	s.process.kill() // and once more, this time without a goodbye
	s.start(t)
	s.ready(t)
	still(t, s.dns, www, "192.0.2.12")

	m.start(t)
	m.wait(t)
	m.put(t, "endpoints/www-eu/lb-1", `{"addresses":["192.0.2.13"]}`)
	expect(t, 30*time.Second, s.dns, www, "192.0.2.13")
}

// TestNotReadyWithoutAnything holds that a server which never had a snapshot is alive, but not ready, until etcd comes.
func TestNotReadyWithoutAnything(t *testing.T) {
	need(t, "etcd", "etcdctl")
	client, peer := loopbackPort(t), loopbackPort(t)
	m := newMember(t, nil, "late", "127.0.0.1", client, peer, t.TempDir(), fmt.Sprintf("late=http://127.0.0.1:%d", peer))
	s := newServer(t, "one", "--etcd", m.client)
	s.start(t)
	until(t, 20*time.Second, "/healthz answers", func() error {
		code, _, err := s.get("/healthz")
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("%d", code)
		}
		return err
	})
	if code, body, err := s.get("/readyz"); err != nil || code != http.StatusServiceUnavailable {
		t.Errorf("/readyz without a snapshot: %d %s %v, want 503", code, body, err)
	}
	if o := leeward(t, "", "healthcheck", "--admin", s.admin); o.code != 1 {
		t.Errorf("healthcheck: %v, want exit status 1", o)
	}
	m.start(t)
	m.wait(t)
	for _, kv := range keys {
		m.put(t, kv[0], kv[1])
	}
	s.ready(t)
	expect(t, 10*time.Second, s.dns, www, "192.0.2.1")
	leewardOK(t, "", "healthcheck", "--admin", s.admin)
}

// TestGuard deletes a zone's records behind Leeward's back: held and reported, until accepted. What `leeward delete`
// does on purpose goes through.
func TestGuard(t *testing.T) {
	m := filled(t)
	s := serve(t, "one", "--etcd", m.client)
	expect(t, 10*time.Second, s.dns, www, "192.0.2.1")
	if o := m.ctl(t, "", "del", "--prefix", "/leeward/"); o.code != 0 {
		t.Fatal(o)
	}
	until(t, 10*time.Second, "the wipe is held", func() error {
		var p statusPage
		if err := s.status(&p); err != nil {
			return err
		}
		if len(p.Held) == 0 || p.Servers[0].Held == 0 {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
	still(t, s.dns, www, "192.0.2.1")
	still(t, s.dns, ns1, "192.0.2.53")
	for _, all := range []string{"zones/example.test", "records/example.test/ns1/A", "policies/www.example.test", "one"} {
		if out := leewardOK(t, "", "accept", "--etcd", m.client, "--dry-run"); !strings.Contains(out, all) || !strings.Contains(out, "dry run") {
			t.Errorf("accept --dry-run does not say %s:\n%s", all, out)
		}
	}
	if o := leeward(t, "", "accept", "--etcd", m.client, "pool", "www-ap"); o.code != 1 || !strings.Contains(o.stderr, "nothing of Pool www-ap is held back") {
		t.Errorf("accept of what is not held: %v", o)
	}
	still(t, s.dns, www, "192.0.2.1")
	if out := leewardOK(t, "", "accept", "--etcd", m.client, "policy/www.example.test"); strings.Contains(out, "zones/") {
		t.Errorf("accept of a policy takes more:\n%s", out)
	}
	expect(t, 10*time.Second, s.dns, www, "NXDOMAIN")
	still(t, s.dns, ns1, "192.0.2.53")
	until(t, 10*time.Second, "the server says so", func() error {
		if out := leewardOK(t, "", "accept", "--etcd", m.client, "--dry-run"); strings.Contains(out, "policies/") {
			return errors.New(out)
		}
		return nil
	})
	if out := leewardOK(t, "", "accept", "--etcd", m.client); !strings.Contains(out, "zones/example.test") || !strings.Contains(out, "Accepted") {
		t.Errorf("accept does not say what it takes, or says what is gone:\n%s", out)
	}
	expect(t, 10*time.Second, s.dns, www, "REFUSED")
	until(t, 10*time.Second, "nothing is held", func() error {
		if out := leewardOK(t, "", "accept", "--etcd", m.client); !strings.Contains(out, "Nothing is held back by 1 server.") || strings.Contains(out, "Accepted") {
			return errors.New(out)
		}
		return nil
	})

	for _, kv := range keys {
		m.put(t, kv[0], kv[1])
	}
	expect(t, 10*time.Second, s.dns, www, "192.0.2.1")
	leewardOK(t, "", "delete", "--etcd", m.client, "policy", "www.example.test")
	expect(t, 10*time.Second, s.dns, www, "NXDOMAIN")
}

// TestAgreement runs two servers with monitored endpoints on loopback: both come to the same verdicts when one endpoint
// goes down and comes back, and a third vantage without DNS takes part.
func TestAgreement(t *testing.T) {
	m := filled(t)
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
	m.put(t, "monitors/web", fmt.Sprintf(`{"http":{"port":%d,"body":"ok"},"interval":"250ms","timeout":"200ms","fall":2,"rise":2}`, port))
	m.put(t, "endpoints/www-eu/lb-1", `{"addresses":["127.0.0.1"]}`)
	m.put(t, "endpoints/www-us/lb-1", `{"addresses":["127.0.0.2"]}`)
	m.put(t, "pools/www-eu", `{"region":"eu","monitor":"web"}`)
	m.put(t, "pools/www-us", `{"region":"us","monitor":"web"}`)
	servers := []*server{serve(t, "one", "--etcd", m.client, "--region", "eu"), serve(t, "two", "--etcd", m.client, "--region", "us")}
	start(t, nil, "leeward probe", binary, "probe", "--etcd", m.client, "--id", "three", "--region", "us", "--admin", "")

	agreed := func(address, verdict string) {
		t.Helper()
		for _, s := range servers {
			until(t, 30*time.Second, fmt.Sprintf("server %s has three fresh votes and the verdict %s on %s", s.name, verdict, address), func() error {
				var p statusPage
				if err := s.status(&p); err != nil {
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
		expect(t, 10*time.Second, s.dns, www, "127.0.0.2")
	}
	broken.Store(false)
	agreed("127.0.0.1", "up")
	for _, s := range servers {
		expect(t, 10*time.Second, s.dns, www, "127.0.0.1")
		if _, body, err := s.get("/metrics"); err != nil || !strings.Contains(body, "leeward_") {
			t.Errorf("/metrics of %s: %v\n%.500s", s.name, err, body)
		}
	}
}

// TestExternalReports puts a report with etcdctl for a monitor of the kind external.
func TestExternalReports(t *testing.T) {
	m := filled(t)
	m.put(t, "monitors/outside", `{"external":{},"interval":"1s","timeout":"500ms"}`)
	m.put(t, "pools/www-eu", `{"region":"eu","monitor":"outside"}`)
	s := serve(t, "one", "--etcd", m.client)
	expect(t, 10*time.Second, s.dns, www, "192.0.2.1")
	report := func(sequence int, state string) string {
		return fmt.Sprintf(`{"vantage":"watcher","sequence":%d,"time":%q,"validFor":"1m","endpoints":{"lb-1":{"*":{"state":%q,"reason":"the watcher says so"}}}}`,
			sequence, time.Now().UTC().Format(time.RFC3339), state)
	}
	m.put(t, "reports/watcher/www-eu", report(1, "down"))
	expect(t, 10*time.Second, s.dns, www, "192.0.2.2")
	m.put(t, "reports/watcher/www-eu", report(2, "up"))
	expect(t, 10*time.Second, s.dns, www, "192.0.2.1")
}
