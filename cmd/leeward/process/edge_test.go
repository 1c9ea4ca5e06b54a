//go:build !noembed

package process_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/cmd/leeward/process"
	"leeward/zones/dnssec"
	"leeward/zones/etcd"
	"leeward/zones/rr"
)

// ask asks with the DO bit. It returns the answer as sorted text, and what is wrong with the signatures.
func (p *member) ask(name string, qtype uint16, keys []*dns.DNSKEY) (answer string, err error) {
	p.t.Helper()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	m.SetEdns0(1232, true)
	c := dns.Client{Timeout: 5 * time.Second, UDPSize: 1232}
	r, _, err := c.Exchange(m, p.DNS[0].String())
	for try := 0; err != nil && try < 3; try++ { // a datagram may be lost, and this process may stand still
		r, _, err = c.Exchange(m, p.DNS[0].String())
	}
	if err != nil {
		return "", err
	}
	var all []string
	sets := map[string][]dns.RR{}
	var rrsigs []*dns.RRSIG
	for _, x := range append(r.Answer, r.Ns...) {
		all = append(all, x.String())
		if s, ok := x.(*dns.RRSIG); ok {
			rrsigs = append(rrsigs, s)
		} else {
			key := fmt.Sprint(x.Header().Name, x.Header().Rrtype)
			sets[key] = append(sets[key], x)
		}
	}
	slices.Sort(all)
	signed := map[string]bool{}
	for _, s := range rrsigs {
		key := fmt.Sprint(s.Hdr.Name, s.TypeCovered)
		for _, k := range keys {
			if k.KeyTag() == s.KeyTag {
				if err := s.Verify(k, sets[key]); err != nil {
					return "", fmt.Errorf("%s: %w of %v", s, err, sets[key])
				}
				signed[key] = true
			}
		}
	}
	for key, set := range sets {
		if !signed[key] {
			return "", fmt.Errorf("%v has no signature that holds; %s", set, dns.RcodeToString[r.Rcode])
		}
	}
	if len(sets) == 0 {
		return "", fmt.Errorf("nothing is answered: %s", dns.RcodeToString[r.Rcode])
	}
	return strings.Join(all, "\n"), nil
}

// addresses returns the addresses of an answer.
func addresses(answer string) string {
	var all []string
	for line := range strings.Lines(answer) {
		if f := strings.Fields(line); len(f) > 4 && f[3] == "A" {
			all = append(all, f[4])
		}
	}
	return strings.Join(all, " ")
}

// keyFolder makes a folder with a key of a zone, and returns the DNSKEY too.
func keyFolder(t *testing.T, origin string) (folder string, key *dns.DNSKEY) {
	t.Helper()
	name, err := rr.ParseName(origin)
	if err != nil {
		t.Fatal(err)
	}
	made, err := dnssec.Generate(name, dnssec.FlagsCSK, dnssec.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	folder = t.TempDir()
	k := &dnssec.TimedKey{Key: made}
	if err := k.Write(folder); err != nil {
		t.Fatal(err)
	}
	text, err := dns.NewRR(strings.Split(k.Public(), "\n")[1])
	if err != nil {
		t.Fatal(err)
	}
	return folder, text.(*dns.DNSKEY)
}

func signer(t *testing.T, c *cluster, id, keys string) *member {
	t.Helper()
	s := settings(id, c)
	s.Listen, s.Keys, s.Sign, s.NoProbe = nil, keys, true, true
	return serve(t, s)
}

func edge(id string, c *cluster, state string) process.Settings {
	s := settings(id, c)
	s.Edge, s.State = true, state
	return s
}

// signedResources are a signed zone, whose www answers with two of three addresses near, or with one of two far, and an
// unsigned zone.
func signedResources(near, far *target) string {
	text := `
kind: Zone
name: example.test
nameservers: [ns1.example.net]
dnssec: {enabled: true}
---
kind: Zone
name: plain.test
nameservers: [ns1.example.net]
---
kind: Record
name: example.test/txt/TXT
data: ['"hello"']
---
kind: Region
name: eu-west
---
kind: Region
name: us-east
---
kind: Monitor
name: web
tcp: {port: PORT}
interval: 1s
timeout: 1s
fall: 2
---
kind: Pool
name: near
region: eu-west
monitor: web
---
kind: Pool
name: far
region: us-east
---
kind: Policy
name: www.example.test
answers: 2
rules:
  - failover: [near, far]
---
kind: Policy
name: www.plain.test
rules:
  - failover: [far]
`
	for i := range 3 {
		text += fmt.Sprintf("---\nkind: Endpoint\nname: near/e%d\naddresses: [127.1.0.%d]\n", i, i+1)
	}
	for i := range 2 {
		text += fmt.Sprintf("---\nkind: Endpoint\nname: far/e%d\naddresses: [127.2.0.%d]\n", i, i+1)
	}
	return strings.ReplaceAll(text, "PORT", fmt.Sprint(near.address.Port()))
}

// holds waits until a server answers all of that with valid signatures, and returns the answers.
func (p *member) holds(keys []*dns.DNSKEY) (all []string) {
	p.t.Helper()
	for _, q := range []struct {
		name  string
		qtype uint16
	}{
		{"example.test", dns.TypeSOA},
		{"example.test", dns.TypeDNSKEY},
		{"example.test", dns.TypeCDS},
		{"txt.example.test", dns.TypeTXT},
		{"txt.example.test", dns.TypeA},
		{"none.example.test", dns.TypeA},
		{"www.example.test", dns.TypeAAAA},
	} {
		p.await(fmt.Sprint(q.name, q.qtype, " is answered and signed"), func() string {
			got, err := p.ask(q.name, q.qtype, keys)
			if err != nil {
				return err.Error()
			}
			all = append(all, got)
			return ""
		})
	}
	return all
}

// awaitProven waits until a name is answered with these addresses, in any order, with a valid signature.
func (p *member) awaitProven(keys []*dns.DNSKEY, name string, want ...string) {
	p.t.Helper()
	p.await(fmt.Sprint(name, " is answered one of ", want), func() string {
		got, err := p.ask(name, dns.TypeA, keys)
		if err != nil {
			return err.Error()
		}
		if a := addresses(got); !slices.Contains(want, a) {
			return "the answer is " + a
		}
		return ""
	})
}

// awaitSaid waits until the status says something of a zone.
func (p *member) awaitSaid(text string, there bool) {
	p.t.Helper()
	p.await(fmt.Sprint("the status says ", text, ": ", there), func() string {
		all := fmt.Sprint(p.status().Problems)
		if strings.Contains(all, text) != there {
			return all
		}
		return ""
	})
}

// awaitMetric waits until a metric is within bounds, given by its name and labels.
func (p *member) awaitMetric(series string, least, most float64) {
	p.t.Helper()
	p.await(fmt.Sprintf("%s is %v to %v", series, least, most), func() string {
		r, err := http.Get("http://" + p.Admin + "/metrics")
		if err != nil {
			return err.Error()
		}
		defer r.Body.Close()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			if text, found := strings.CutPrefix(lines.Text(), series+" "); found {
				if v, err := strconv.ParseFloat(text, 64); err != nil || v < least || v > most {
					return "it is " + text
				}
				return ""
			}
		}
		return "it is not there"
	})
}

var (
	nearPairs = []string{"127.1.0.1 127.1.0.2", "127.1.0.1 127.1.0.3", "127.1.0.2 127.1.0.3"}
	farPair   = "127.2.0.1 127.2.0.2"
)

// TestEdges: servers without keys answer like one with keys, follow changes and health, and go on without a signer.
// Then new configuration waits, and status says so, while failover still works.
func TestEdges(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	near := listen(t, "127.1.0.1:0")
	port := near.address.Port()
	others := []*target{listen(t, fmt.Sprintf("127.1.0.2:%d", port)), listen(t, fmt.Sprintf("127.1.0.3:%d", port))}
	c.putAll(signedResources(near, nil))
	folder, key := keyFolder(t, "example.test")
	keys := []*dns.DNSKEY{key}
	first, second := signer(t, c, "sign-1", folder), signer(t, c, "sign-2", folder)
	holder := settings("holder", c)
	holder.Keys = folder
	h := serve(t, holder)
	state := t.TempDir()
	a, b := serve(t, edge("a", c, state)), serve(t, edge("b", c, ""))
	want := h.holds(keys)
	for _, p := range []*member{a, b} {
		if got := p.holds(keys); !slices.Equal(got, want) {
			t.Errorf("the answers differ: %s\n%s", got, want)
		}
		p.awaitProven(keys, "www.example.test", nearPairs...)
	}
	sets := func(p *member) map[string]string {
		all := map[string]string{}
		p.await("all sets are seen", func() string {
			got, err := p.ask("www.example.test", dns.TypeA, keys)
			if err != nil {
				return err.Error()
			}
			if all[addresses(got)] = got; len(all) < 3 {
				return fmt.Sprint(len(all), " sets")
			}
			return ""
		})
		return all
	}
	if x, y := sets(a), sets(h); fmt.Sprint(x) != fmt.Sprint(y) {
		t.Errorf("the sets and signatures differ: %v\n%v", x, y)
	}

	// What signers have written, and how old it is on edges.
	for _, p := range []*member{first, second} {
		for name, in := range map[string][2]float64{
			`leeward_sign_zones{state="ahead"}`: {1, 1}, `leeward_sign_zones{state="behind"}`: {0, 0},
			"leeward_sign_ahead_seconds": {24 * 3600, 48 * 3600}, "leeward_sign_age_seconds": {0, 60},
			"leeward_sign_waiting": {0, 0}, "leeward_sign_failing": {0, 0},
		} {
			p.awaitMetric(name, in[0], in[1])
		}
	}
	a.awaitMetric("leeward_edge_signatures_age_seconds", 0, 25*3600)
	a.await("the signers say that all is written", func() string {
		s := a.status().Signers
		if len(s) != 2 || s[0].Written == nil || s[0].Written.Zones != 1 || s[0].Written.Trouble() != "" {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})

	// A change takes effect everywhere, although only one of the two signers is there.
	first.end()
	c.putAll(`
kind: Record
name: example.test/new/TXT
data: ['"new"']
---
kind: Endpoint
name: far/e2
addresses: [127.2.0.3]
`)
	for _, p := range []*member{a, b} {
		p.await("new is there", func() string {
			_, err := p.ask("new.example.test", dns.TypeTXT, keys)
			if err != nil {
				return err.Error()
			}
			return ""
		})
		p.awaitAnswer("www.plain.test", "127.2.0.3") // it has a pool in common with the signed zone
	}

	// Without a signer, new configuration of the signed zone waits, and that of the unsigned zone does not.
	second.end()
	c.putAll(`
kind: Record
name: example.test/late/TXT
data: ['"late"']
---
kind: Endpoint
name: near/e3
addresses: [127.1.0.4]
---
kind: Record
name: plain.test/late/TXT
data: ['"late"']
`)
	for _, p := range []*member{a, b} {
		p.awaitSaid("signatures have not come", true)
		p.awaitMetric("leeward_edge_zones_waiting", 1, 1)
		p.awaitMetric("leeward_edge_waiting_seconds", 0.001, 3600)
		p.await("the other zone changes", func() string {
			m := new(dns.Msg).SetQuestion("late.plain.test.", dns.TypeTXT)
			if r, err := dns.Exchange(m, p.DNS[0].String()); err != nil || len(r.Answer) != 1 {
				return fmt.Sprint(r, err)
			}
			return ""
		})
		p.awaitProven(keys, "www.example.test", nearPairs...)
		if got, err := p.ask("late.example.test", dns.TypeTXT, keys); err != nil || !strings.Contains(got, "NSEC") {
			t.Errorf("what is not signed is answered %q, %v", got, err)
		}
	}
	for _, x := range append(others, near) {
		x.l.Close()
	}
	for _, p := range []*member{a, b} {
		p.awaitProven(keys, "www.example.test", farPair, "127.2.0.1 127.2.0.3", "127.2.0.2 127.2.0.3")
	}

	// After a restart without a signer and without etcd, the answers are as before.
	a.end()
	lost := edge("a", c, state)
	lost.Etcd = &etcd.Options{Endpoints: []string{"http://127.0.0.1:1"}}
	alone := serve(t, lost)
	alone.holds(keys)
	alone.end()
	a = serve(t, edge("a", c, state))
	a.holds(keys)

	// Once a signer is back, everything takes effect.
	signer(t, c, "sign-3", folder)
	for _, p := range []*member{a, b} {
		p.await("late is there", func() string {
			if got, err := p.ask("late.example.test", dns.TypeTXT, keys); err != nil || strings.Contains(got, "NSEC") {
				return fmt.Sprint(got, err)
			}
			return ""
		})
		p.awaitSaid("signatures have not come", false)
		p.awaitMetric("leeward_edge_zones_waiting", 0, 0)
		p.awaitMetric("leeward_edge_waiting_seconds", 0, 0)
	}
}

// TestEdgeWithSealedKeys: a signer gets its keys, a KSK and a ZSK, from etcd. A server that opens them there answers
// the same as one that does not.
func TestEdgeWithSealedKeys(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	secrets := secretFile(t, filepath.Join(t.TempDir(), "secrets"), 1)
	v := vaultOf(t, c, secrets)
	origin, _ := rr.ParseName("example.test")
	firstKeys(t, v, origin, dnssec.ECDSAP256, true, time.Now())
	c.putAll(signedZone)
	holder, s := settings("holder", c), settings("sign", c)
	holder.KeySecrets, s.KeySecrets = secrets, secrets
	s.Listen, s.Sign, s.NoProbe = nil, true, true
	state := t.TempDir() // an edge that cannot read its secret serves, and keeps nothing
	if err := os.MkdirAll(filepath.Join(state, "signatures", "secret"), 0o700); err != nil {
		t.Fatal(err)
	}
	h, e := serve(t, holder), serve(t, edge("edge", c, state))
	serve(t, s)
	for _, q := range []struct {
		name string
		typ  uint16
		n    int
	}{{"example.test.", dns.TypeDNSKEY, 3}, {"www.example.test.", dns.TypeA, 2}, {"example.test.", dns.TypeCDS, 2}} {
		if one, other := h.awaitSigned(q.name, q.typ, q.n), e.awaitSigned(q.name, q.typ, q.n); one != other {
			t.Errorf("who has the keys answers\n%s\nand who has not\n%s", one, other)
		}
	}
	if !strings.Contains(e.log.String(), "a restart needs etcd") {
		t.Error("the log does not say that nothing is kept")
	}
}

// signatures lists the keys of signatures in etcd with their values.
func (c *cluster) signatures() map[string][]byte {
	c.t.Helper()
	all := map[string][]byte{}
	r, err := c.Get(c.t.Context(), "/leeward.signatures/", clientv3.WithPrefix())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, kv := range r.Kvs {
		all[string(kv.Key)] = kv.Value
	}
	return all
}

// awaitAhead waits until a signer has written all signatures of today and tomorrow. Its metric says that it is ahead
// some seconds before.
func (c *cluster) awaitAhead(signer *member, zone rr.Name) {
	c.t.Helper()
	today := dnssec.EpochAt(zone, time.Now())
	signer.await("it is a day ahead", func() string {
		there := c.signatures()
		for _, of := range []dnssec.Epoch{today, today.Next()} {
			if k := slot(zone, of.Number, dnssec.WholeChunk); there[k] == nil {
				return "no " + k
			}
		}
		return ""
	})
}

func slot(zone rr.Name, epoch int64, chunk string) string {
	return fmt.Sprintf("/leeward.signatures/%s/%d/%s", rr.TrimDot(zone.String()), epoch, chunk)
}

// TestEdgeRefuses: anything forged, half written, old or foreign in etcd is not used, and reported, and a signer
// removes it. Two signers reach one state and keep it.
func TestEdgeRefuses(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.putAll(signedResources(listen(t, "127.0.0.1:0"), nil))
	folder, key := keyFolder(t, "example.test")
	keys := []*dns.DNSKEY{key}
	one := signer(t, c, "sign-1", folder)
	e := serve(t, edge("a", c, ""))
	e.holds(keys)
	one.end()
	e.end()

	name, _ := rr.ParseName("example.test")
	epoch := dnssec.EpochAt(name, time.Now()).Number
	good := c.signatures()
	var chunk string
	for k := range good {
		if strings.Contains(k, fmt.Sprintf("/%d/", epoch)) && !strings.HasSuffix(k, dnssec.WholeChunk) {
			chunk = k
		}
	}
	if chunk == "" {
		t.Fatalf("there is no chunk of today among %d keys", len(good))
	}
	r := dnssec.NewReceived(name, func(_ int64, _ string, err error) { t.Error(err) })
	if !r.Put(epoch, "x", good[chunk]) {
		t.Fatal("the chunk cannot be read")
	}
	forged := r.Entries(epoch, "x")
	for i := range forged {
		forged[i].Signature[5] ^= 1
	}
	set := func(value []byte) { // in place of the chunk; everything else stays as the signer wrote it
		t.Helper()
		if _, err := c.Delete(t.Context(), "/leeward.signatures/", clientv3.WithPrefix()); err != nil {
			t.Fatal(err)
		}
		for k, v := range good {
			if _, err := c.Put(t.Context(), k, string(v)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Put(t.Context(), chunk, string(value)); err != nil {
			t.Fatal(err)
		}
	}
	for what, bad := range map[string][]byte{
		"does not hold":        dnssec.AppendChunk(nil, name, epoch, forged),
		"cut short":            good[chunk][:len(good[chunk])/2],
		"of this zone and day": dnssec.AppendChunk(nil, name, epoch-1, r.Entries(epoch, "x")),
	} {
		set(bad)
		e := serve(t, edge("a", c, ""))
		e.awaitSaid(what, true)
		e.awaitMetric("leeward_edge_chunks_refused", 1, 1)
		e.awaitMetric("leeward_edge_chunks_refused_total", 1, 1000)
		if got, err := e.ask("txt.example.test", dns.TypeTXT, keys); err == nil {
			t.Errorf("%s: it is answered %s", what, got)
		}
		again := signer(t, c, "sign-2", folder)
		e.holds(keys)
		e.awaitSaid(what, false)
		e.awaitMetric("leeward_edge_chunks_refused", 0, 0)
		again.awaitMetric("leeward_sign_chunks_removed_total", 1, 1)
		again.awaitMetric(`leeward_sign_zones{state="ahead"}`, 1, 1)
		again.end()
		e.end()
	}

	// A handout of other keys is rejected while the server runs.
	e = serve(t, edge("a", c, ""))
	e.holds(keys)
	strange, _ := keyFolder(t, "example.test")
	theirs, err := dnssec.ReadFolder(strange, name)
	if err != nil {
		t.Fatal(err)
	}
	paper, err := dnssec.HandOut(dnssec.HandedOut{Keys: theirs, Made: time.Now().Add(time.Hour)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(t.Context(), "/leeward.signatures/example.test/keys", string(paper)); err != nil {
		t.Fatal(err)
	}
	e.awaitSaid("signed by none that the zone has", true)
	e.awaitMetric("leeward_edge_keys_refused", 1, 1)
	e.holds(keys)

	// Two signers repair that. They write the same, and then nothing more.
	both := []*member{signer(t, c, "sign-1", folder), signer(t, c, "sign-2", folder)}
	e.awaitSaid("signed by none that the zone has", false)
	e.awaitMetric("leeward_edge_keys_refused", 0, 0)
	c.putAll("kind: Record\nname: example.test/new/TXT\ndata: ['\"new\"']")
	e.await("new is there", func() string {
		_, err := e.ask("new.example.test", dns.TypeTXT, keys)
		return errText(err)
	})
	quiet, last := 0, c.signatures()
	e.await("nothing more is written", func() string {
		ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
		<-ctx.Done()
		stop()
		now := c.signatures()
		same := len(now) == len(last)
		for k, v := range now {
			same = same && bytes.Equal(v, last[k])
		}
		if last = now; same {
			quiet++
		} else {
			quiet = 0
		}
		if quiet < 5 {
			return "it changes"
		}
		return ""
	})
	seen := map[dnssec.Digest]string{}
	for k, v := range last {
		if strings.HasSuffix(k, "/keys") {
			continue
		}
		var n int64
		parts := strings.Split(k, "/")
		fmt.Sscan(parts[len(parts)-2], &n)
		r := dnssec.NewReceived(name, func(_ int64, _ string, err error) { t.Errorf("%s: %v", k, err) })
		r.Put(n, "x", v)
		for _, one := range r.Entries(n, "x") {
			if at, twice := seen[one.Digest]; twice {
				t.Errorf("%s and %s have the same signature", at, k)
			}
			seen[one.Digest] = k
		}
	}
	for _, p := range both {
		p.end()
	}
}

func errText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

// TestEdgeTransfers: a server without keys transfers a zone without policies like one with keys, and ldns-verify-zone
// finds the zone whole. A zone with policies is refused before anything is sent, with the reason.
func TestEdgeTransfers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	folder, _ := keyFolder(t, "example.test")
	zone := strings.Replace(signedZone, "dnssec: {enabled: true}",
		"dnssec: {enabled: true}\ntransfer: {allow: [127.0.0.0/8]}", 1)
	c.putAll(zone + "---\nkind: Record\nname: example.test/*.wild/TXT\ndata: ['\"w\"']\n")
	signer(t, c, "sign-1", folder)
	holder := settings("holder", c)
	holder.Keys = folder
	h, e := serve(t, holder), serve(t, edge("edge", c, ""))
	axfr := func(p *member) (lines []string, refused string) {
		conn, err := dns.DialTimeout("tcp", p.DNS[0].String(), 5*time.Second)
		if err != nil {
			return nil, err.Error()
		}
		defer conn.Close()
		m := new(dns.Msg).SetQuestion("example.test.", dns.TypeAXFR)
		m.SetEdns0(1232, true)
		if err := conn.WriteMsg(m); err != nil {
			return nil, err.Error()
		}
		for soas := 0; soas < 2; {
			r, err := conn.ReadMsg()
			if err != nil {
				return nil, err.Error()
			}
			if r.Rcode != dns.RcodeSuccess {
				for _, o := range r.IsEdns0().Option {
					refused += o.String() + " "
				}
				return nil, dns.RcodeToString[r.Rcode] + " " + refused
			}
			for _, x := range r.Answer {
				if lines = append(lines, x.String()); x.Header().Rrtype == dns.TypeSOA {
					soas++
				}
			}
		}
		slices.Sort(lines)
		return lines, ""
	}
	var all []string
	e.await("both hand on the same", func() string {
		want, wrong := axfr(h)
		got, refused := axfr(e)
		if all = got; wrong+refused != "" || !slices.Equal(got, want) || !strings.Contains(fmt.Sprint(got), "RRSIG") {
			return fmt.Sprint(wrong, refused, got, want)
		}
		return ""
	})
	if verify, err := exec.LookPath("ldns-verify-zone"); err == nil {
		file := filepath.Join(t.TempDir(), "zone")
		if err := os.WriteFile(file, []byte(strings.Join(all, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(verify, file).CombinedOutput(); err != nil {
			t.Errorf("ldns-verify-zone: %v\n%s", err, out)
		}
	}
	_, policies, _ := strings.Cut(signedResources(listen(t, "127.0.0.1:0"), nil), "data: ['\"hello\"']\n")
	c.putAll(zone + strings.ReplaceAll(policies, "www.example.test", "steered.example.test"))
	h.await("with policies it is handed on", func() string {
		lines, wrong := axfr(h)
		if wrong != "" || !strings.Contains(fmt.Sprint(lines), "steered.example.test") {
			return fmt.Sprint(wrong, lines)
		}
		return ""
	})
	e.await("it is refused", func() string {
		_, refused := axfr(e)
		if !strings.Contains(refused, "SERVFAIL") || !strings.Contains(refused, "holds no keys") {
			return "it is told " + refused
		}
		return ""
	})
}

// TestEdgeAwayThroughARoll: a server without keys was away until all keys that it knows are gone. It finds the present
// ones by itself.
func TestEdgeAwayThroughARoll(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.putAll(signedZone)
	origin, _ := rr.ParseName("example.test")
	made := func(times dnssec.Times) *dnssec.TimedKey {
		k, err := dnssec.Generate(origin, dnssec.FlagsCSK, dnssec.ECDSAP256)
		if err != nil {
			t.Fatal(err)
		}
		return &dnssec.TimedKey{Key: k, Times: times}
	}
	sign := func(keys ...*dnssec.TimedKey) *member { // and waits until these are handed out
		folder := t.TempDir()
		for _, k := range keys {
			if err := k.Write(folder); err != nil {
				t.Fatal(err)
			}
		}
		s := signer(t, c, "sign", folder)
		s.await("the keys are handed out", func() string {
			paper := c.signatures()["/leeward.signatures/example.test/keys"]
			out, err := dnssec.ReadHandOut(origin, paper, nil, time.Now(), nil)
			if err != nil || len(out.Keys.All()) != len(keys) || !out.Keys.Has(keys[len(keys)-1].Key) {
				return fmt.Sprint("handed out are others: ", err)
			}
			return ""
		})
		return s
	}
	now := time.Now().Add(-time.Hour)
	old, fresh := made(dnssec.Times{}), made(dnssec.Times{Publish: now, Activate: now})
	first := sign(old)
	state := t.TempDir()
	e := serve(t, edge("edge", c, state))
	e.awaitSigned("example.test.", dns.TypeDNSKEY, 2)
	e.end()
	first.end()
	old.Times.Inactive, old.Times.Delete = now, now
	sign(old, fresh).end()
	sign(fresh)
	text, err := dns.NewRR(fresh.Public())
	if err != nil {
		t.Fatal(err)
	}
	e = serve(t, edge("edge", c, state))
	e.await("it answers with the key of now", func() string {
		_, err := e.ask("www.example.test", dns.TypeA, []*dns.DNSKEY{text.(*dns.DNSKEY)})
		return errText(err)
	})
	e.awaitMetric("leeward_edge_keys_refused", 0, 0)
}
