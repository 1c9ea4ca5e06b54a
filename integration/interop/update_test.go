//go:build linux

package interop

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

const updateResources = `
kind: Zone
name: example.test
nameservers: [ns1.example.test]
transfer: {allow: [key admin]}
update:
  - {key: admin, names: ["**"], types: [ANY]}
  - {key: certbot, names: ["_acme-challenge.**"], types: [TXT]}
---
kind: Record
name: example.test/ns1/A
data: [192.0.2.1]
---
kind: Record
name: example.test/www/A
ttl: 300s
data: [192.0.2.10]
---
kind: Region
name: here
---
kind: Pool
name: p
region: here
---
kind: Endpoint
name: p/e
addresses: [192.0.2.80]
---
kind: Policy
name: steered.example.test
rules: [{failover: [p]}]
`

// updated is servers on one etcd that accept updates.
type updated struct {
	etcd    *lab.Member
	servers []*lab.Server
}

func startUpdated(t *testing.T, servers int) *updated {
	t.Helper()
	lab.Need(t, "nsupdate")
	e := lab.StartEtcd(t)
	lab.LeewardOK(t, updateResources, "apply", "--etcd", e.Client, "-f", "-")
	dir := t.TempDir()
	u := &updated{etcd: e}
	var all strings.Builder
	for _, name := range []string{"admin", "certbot", "nobody"} {
		fmt.Fprintf(&all, "key \"%s\" {\n\talgorithm hmac-sha256;\n\tsecret \"%s\";\n};\n", name, lab.UpdateSecret)
	}
	lab.Write(t, filepath.Join(dir, "keys"), all.String())
	for i := range servers {
		u.servers = append(u.servers, lab.Serve(t, fmt.Sprintf("s%d", i), "--etcd", e.Client, "--tsig-key",
			filepath.Join(dir, "keys")))
	}
	for _, s := range u.servers {
		lab.Expect(t, 20*time.Second, s.DNS, lab.Question{Name: "www.example.test", Qtype: dns.TypeA}, "192.0.2.10")
	}
	return u
}

// nsupdate lets a program send commands, signed with a key, to a server.
func (u *updated) nsupdate(t testing.TB, program string, i int, key, commands string) lab.Outcome {
	t.Helper()
	_, port, err := net.SplitHostPort(u.servers[i].DNS)
	if err != nil {
		t.Fatal(err)
	}
	argv := []string{program}
	switch key {
	case "":
	case "forged":
		argv = append(argv, "-y", "hmac-sha256:admin:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	default:
		argv = append(argv, "-y", "hmac-sha256:"+key+":"+lab.UpdateSecret)
	}
	return lab.Command(t, nil, fmt.Sprintf("server 127.0.0.1 %s\nzone example.test\n%s\nsend\n", port, commands),
		argv...)
}

func TestNsupdate(t *testing.T) {
	u := startUpdated(t, 1)
	programs := []string{"nsupdate"}
	if _, err := exec.LookPath("knsupdate"); err == nil {
		programs = append(programs, "knsupdate")
	}
	for _, program := range programs {
		t.Run(program, func(t *testing.T) {
			name := program + ".example.test"
			step := func(key, commands, failure string) {
				t.Helper()
				o := u.nsupdate(t, program, 0, key, commands)
				if failure == "" && o.Code != 0 || failure != "" &&
					(o.Code == 0 || !strings.Contains(o.Stdout+o.Stderr, failure)) {
					t.Errorf("%s with key %q, want %q: %v", commands, key, failure, o)
				}
			}
			answers := func(name string, qtype uint16, want ...string) {
				t.Helper()
				lab.Expect(t, 10*time.Second, u.servers[0].DNS, lab.Question{Name: name, Qtype: qtype}, want...)
			}
			step("admin", "update add "+name+" 60 A 192.0.2.20\nupdate add "+name+" 60 A 192.0.2.21", "")
			answers(name, dns.TypeA, "192.0.2.20", "192.0.2.21")
			step("admin", "update delete "+name+" A 192.0.2.20", "")
			answers(name, dns.TypeA, "192.0.2.21")

			step("admin", "prereq nxdomain "+name+"\nupdate add "+name+" 60 TXT no", "YXDOMAIN")
			step("admin", "prereq yxdomain nowhere.example.test\nupdate add "+name+" 60 TXT no", "NXDOMAIN")
			step("admin", "prereq nxrrset "+name+" A\nupdate add "+name+" 60 TXT no", "YXRRSET")
			step("admin", "prereq yxrrset "+name+" AAAA\nupdate add "+name+" 60 TXT no", "NXRRSET")
			step("admin", "prereq yxrrset "+name+" A 192.0.2.99\nupdate add "+name+" 60 TXT no", "NXRRSET")
			step("admin", "prereq yxrrset "+name+" A 192.0.2.21\nprereq nxrrset "+name+" TXT\nupdate add "+name+
				" 60 TXT yes",
				"")
			answers(name, dns.TypeTXT, `"yes"`)
			answers(name, dns.TypeA, "192.0.2.21")

			step("admin", "update add steered.example.test 60 A 192.0.2.20", "REFUSED")
			step("admin", "update add example.test 60 NS ns9.example.test", "REFUSED")
			step("nobody", "update add "+name+" 60 TXT no", "REFUSED")
			step("certbot", "update add "+name+" 60 TXT no", "REFUSED")
			step("stranger", "update add "+name+" 60 TXT no", "BADKEY")
			step("forged", "update add "+name+" 60 TXT no", "BADSIG")
			step("", "update add "+name+" 60 TXT no", "REFUSED")
			answers("steered.example.test", dns.TypeA, "192.0.2.80")

			// The commands of lego and certbot for a certificate of example.test and *.example.test.
			challenge := "_acme-challenge.example.test"
			step("certbot", "update delete "+challenge+" TXT\nupdate add "+challenge+" 120 TXT first", "")
			step("certbot", "update add "+challenge+" 120 TXT second", "")
			answers(challenge, dns.TypeTXT, `"first"`, `"second"`)
			step("certbot", "update delete "+challenge+" TXT first", "")
			step("certbot", "update delete "+challenge+" TXT", "")
			answers(challenge, dns.TypeTXT, "NXDOMAIN")

			step("admin", "update delete "+name, "")
			answers(name, dns.TypeA, "NXDOMAIN")
		})
	}

	t.Run("the serial follows", func(t *testing.T) {
		serial := func() uint32 {
			m, err := lab.Ask(nil, u.servers[0].DNS, lab.Question{Name: "example.test", Qtype: dns.TypeSOA})
			if err != nil || len(m.Answer) != 1 {
				t.Fatalf("SOA: %v, %v", m, err)
			}
			return m.Answer[0].(*dns.SOA).Serial
		}
		before := serial()
		if o := u.nsupdate(t, "nsupdate", 0, "admin", "update add serial.example.test 60 A 192.0.2.1"); o.Code != 0 {
			t.Fatal(o)
		}
		lab.Until(t, 10*time.Second, "the serial grows", func() error {
			if now := serial(); now <= before {
				return fmt.Errorf("it is %d after %d", now, before)
			}
			return nil
		})
	})

	t.Run("a clock that is an hour behind", func(t *testing.T) {
		m := new(dns.Msg).SetUpdate("example.test.")
		m.SetTsig("admin.", dns.HmacSHA256, 300, time.Now().Add(-time.Hour).Unix())
		c := dns.Client{TsigSecret: map[string]string{"admin.": lab.UpdateSecret}}
		r, _, _ := c.Exchange(m, u.servers[0].DNS)
		if r == nil || r.Rcode != dns.RcodeNotAuth || r.IsTsig() == nil || r.IsTsig().Error != dns.RcodeBadTime {
			t.Errorf("%v, want NOTAUTH with BADTIME", r)
		}
	})

	t.Run("metrics", func(t *testing.T) {
		_, text, err := u.servers[0].Get("/metrics")
		if err != nil {
			t.Fatal(err)
		}
		for _, rcode := range []string{"NOERROR", "REFUSED", "NOTAUTH", "YXRRSET"} {
			if !strings.Contains(text, `leeward_update_total{rcode="`+rcode+`"}`) {
				t.Errorf("no count of %s", rcode)
			}
		}
		log := u.servers[0].Process.Out.String()
		if !strings.Contains(log, "key=admin") && !strings.Contains(log, `"key":"admin"`) {
			t.Errorf("no update in the log:\n%s", u.servers[0].Process.Out.Tail(5))
		}
	})
}

// TestUpdateTwoServers: two servers are updated at once, even in the same RRset, and nothing is lost.
func TestUpdateTwoServers(t *testing.T) {
	u := startUpdated(t, 2)
	const each = 100
	var wg sync.WaitGroup
	outcomes := make([]lab.Outcome, len(u.servers))
	var want []string
	for i := range u.servers {
		var b strings.Builder
		for k := range each {
			if k > 0 {
				b.WriteString("send\n")
			}
			fmt.Fprintf(&b, "update add shared.example.test 60 TXT %d-%d\nupdate add own-%d-%d.example.test 60 A "+
				"192.0.2.%d\n",
				i, k, i, k, k)
			want = append(want, fmt.Sprintf(`"%d-%d"`, i, k))
		}
		wg.Go(func() { outcomes[i] = u.nsupdate(t, "nsupdate", i, "admin", b.String()) })
	}
	wg.Wait()
	for i, o := range outcomes {
		if o.Code != 0 {
			t.Fatalf("server %d: %v", i, o)
		}
	}
	slices.Sort(want)
	for _, s := range u.servers {
		lab.Expect(t, 20*time.Second, s.DNS,
			lab.Question{Name: "shared.example.test", Qtype: dns.TypeTXT, Network: "tcp"},
			want...)
		for i := range u.servers {
			for k := range each {
				lab.Expect(t, 20*time.Second, s.DNS, lab.Question{
					Name:  fmt.Sprintf("own-%d-%d.example.test", i, k),
					Qtype: dns.TypeA,
				}, fmt.Sprintf("192.0.2.%d", k))
			}
		}
	}
}

// TestUpdateRemovesEverything: whoever deletes all records of a zone by signed updates means it. What others remove
// stays in service until somebody accepts that.
func TestUpdateRemovesEverything(t *testing.T) {
	lab.Need(t, "nsupdate")
	u := startUpdated(t, 2)
	e := u.etcd
	lab.LeewardOK(t, `
kind: Zone
name: other.test
nameservers: [ns1.other.test]
---
kind: Record
name: other.test/ns1/A
data: [192.0.2.1]
---
kind: Record
name: other.test/www/A
data: [192.0.2.2]
`, "apply", "--etcd", e.Client, "-f", "-")
	for _, s := range u.servers {
		lab.Expect(t, 20*time.Second, s.DNS, lab.Question{Name: "www.other.test", Qtype: dns.TypeA}, "192.0.2.2")
	}
	for _, owner := range []string{"ns1", "www"} {
		e.Ctl(t, "", "del", "/leeward/records/other.test/"+owner+"/A")
	}
	if o := u.nsupdate(t, "nsupdate", 0, "admin",
		"update delete ns1.example.test\nupdate delete www.example.test"); o.Code != 0 {
		t.Fatal(o)
	}
	for _, s := range u.servers {
		lab.Expect(t, 20*time.Second, s.DNS, lab.Question{Name: "www.example.test", Qtype: dns.TypeA}, "NXDOMAIN")
		lab.Expect(t, 20*time.Second, s.DNS, lab.Question{Name: "ns1.example.test", Qtype: dns.TypeA}, "NXDOMAIN")
		lab.Still(t, s.DNS, lab.Question{Name: "www.other.test", Qtype: dns.TypeA}, "192.0.2.2")
	}
	if held := lab.LeewardOK(t, "", "status", "--etcd", e.Client); strings.Contains(held, "example.test/") {
		t.Errorf("held back: %s", held)
	}
}

// TestUpdateIsServedWhenAnswered: once a server has answered an update, its answers and transfers have it at once, even
// if another server made the change just before. apply --wait says who serves what it has written.
func TestUpdateIsServedWhenAnswered(t *testing.T) {
	u := startUpdated(t, 2)
	secret := map[string]string{"admin.": lab.UpdateSecret}
	client := &dns.Client{TsigSecret: secret, Timeout: 5 * time.Second}
	missed := map[string]int{}
	const rounds = 100
	for i := range rounds {
		name := fmt.Sprintf("n%d.example.test.", i)
		record, err := dns.NewRR(name + " 60 A 192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*lab.Server{u.servers[i%2], u.servers[(i+1)%2]} { // the second one finds it there
			m := new(dns.Msg).SetUpdate("example.test.")
			m.Insert([]dns.RR{record})
			m.SetTsig("admin.", dns.HmacSHA256, 300, time.Now().Unix())
			if reply, _, err := client.Exchange(m, s.DNS); err != nil || reply.Rcode != dns.RcodeSuccess {
				t.Fatalf("%s: %v, %v", name, reply, err)
			}
			reply, err := lab.Ask(nil, s.DNS, lab.Question{Name: strings.TrimSuffix(name, "."), Qtype: dns.TypeA})
			if err != nil {
				t.Fatal(err)
			}
			if len(reply.Answer) != 1 {
				missed["query"]++
			}
			if i%10 > 0 {
				continue
			}
			q := new(dns.Msg).SetAxfr("example.test.")
			q.SetTsig("admin.", dns.HmacSHA256, 300, time.Now().Unix())
			zone, err := (&dns.Transfer{TsigSecret: secret}).In(q, s.DNS)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for envelope := range zone {
				if envelope.Error != nil {
					t.Fatal(envelope.Error)
				}
				for _, rr := range envelope.RR {
					found = found || rr.Header().Name == name
				}
			}
			if !found {
				missed["transfer"]++
			}
		}
	}
	if len(missed) > 0 {
		t.Errorf("asked at once, %v of %d did not have the update", missed, 2*rounds)
	}

	record := "kind: Record\nname: example.test/applied/A\ndata: [192.0.2.1]\n"
	for range 2 { // the second time there is nothing to do, and it still says who serves it
		out := lab.LeewardOK(t, record, "apply", "--etcd", u.etcd.Client, "-f", "-", "--wait")
		if !strings.Contains(out, "is served by s0, s1") {
			t.Errorf("apply --wait says %s", out)
		}
	}
	for _, s := range u.servers {
		lab.Still(t, s.DNS, lab.Question{Name: "applied.example.test", Qtype: dns.TypeA}, "192.0.2.1")
	}
}

// TestUpdatesAreTheirOwn: appliers do not prune what a dynamic update has made. A resource of an applier that an update
// extends still belongs to the applier.
func TestUpdatesAreTheirOwn(t *testing.T) {
	u := startUpdated(t, 1)
	e := u.etcd
	if o := u.nsupdate(t, "nsupdate", 0, "admin", "update add new.example.test 60 A 192.0.2.9\n"+
		"update add www.example.test 300 A 192.0.2.11"); o.Code != 0 {
		t.Fatal(o)
	}
	owned := func() string {
		return lab.LeewardOK(t, "", "get", "records", "--owner", "update", "-o", "yaml", "--etcd", e.Client)
	}
	if got := owned(); !strings.Contains(got, "example.test/new/A") || strings.Contains(got, "www") {
		t.Errorf("dynamic updates own\n%s", got)
	}
	lab.LeewardOK(t, updateResources, "apply", "--etcd", e.Client, "-f", "-", "--prune")
	lab.Expect(t, 10*time.Second, u.servers[0].DNS, lab.Question{Name: "www.example.test", Qtype: dns.TypeA},
		"192.0.2.10")
	lab.Still(t, u.servers[0].DNS, lab.Question{Name: "new.example.test", Qtype: dns.TypeA}, "192.0.2.9")
	if o := u.nsupdate(t, "nsupdate", 0, "admin", "update delete new.example.test"); o.Code != 0 {
		t.Fatal(o)
	}
	if got := e.Ctl(t, "", "get", "--prefix", "--keys-only", "/leeward/meta/owners/").Stdout; got != "" {
		t.Errorf("marks are left: %s", got)
	}
}

// TestUpdateWithoutEtcd: an update that cannot be committed fails, and answers go on. Resources in files accept no
// updates.
func TestUpdateWithoutEtcd(t *testing.T) {
	lab.Need(t, "nsupdate")
	dir := t.TempDir()
	lab.Write(t, filepath.Join(dir, "all.yaml"), updateResources)
	key := filepath.Join(t.TempDir(), "admin.key")
	lab.Write(t, key, fmt.Sprintf("key \"admin\" { algorithm hmac-sha256; secret \"%s\"; };\n", lab.UpdateSecret))
	u := &updated{servers: []*lab.Server{lab.Serve(t, "files", "--files", dir, "--tsig-key", key)}}
	if o := u.nsupdate(t, "nsupdate", 0, "admin", "update add new.example.test 60 A 192.0.2.1"); o.Code == 0 ||
		!strings.Contains(o.Stdout+o.Stderr, "REFUSED") {
		t.Errorf("resources in files: %v", o)
	}
	e := lab.StartEtcd(t)
	lab.LeewardOK(t, updateResources, "apply", "--etcd", e.Client, "-f", "-")
	u.servers = append(u.servers, lab.Serve(t, "cut", "--etcd", e.Client, "--tsig-key", key))
	e.Process.Kill()
	if o := u.nsupdate(t, "nsupdate", 1, "admin", "update add new.example.test 60 A 192.0.2.1"); o.Code == 0 ||
		!strings.Contains(o.Stdout+o.Stderr, "SERVFAIL") {
		t.Errorf("without etcd: %v", o)
	}
	lab.Still(t, u.servers[1].DNS, lab.Question{Name: "www.example.test", Qtype: dns.TypeA}, "192.0.2.10")
}
