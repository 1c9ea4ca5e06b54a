//go:build linux

package conformance

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// TestSignedThroughLosses walks signed zones on a server that has the keys and on an edge that has not. Meanwhile
// regions fail, the signer goes, etcd goes, both servers are killed and start again without etcd, and etcd comes back.
func TestSignedThroughLosses(t *testing.T) {
	lab.Need(t, "delv", "unbound", "etcd")
	first, second := "dnssec: {enabled: true}\n", "dnssec: {enabled: true, nsec3: true}\n"
	m, dir, unsigned, keys, names := lab.StartEtcd(t), t.TempDir(), t.TempDir(), t.TempDir(), resolver(t)
	for _, origin := range []string{"steer.test", "other.test", "in.steer.test"} {
		lab.LeewardOK(t, "", "key", "generate", origin, "--keys", keys)
	}
	v := &validator{keys: keysOf(t, keys), open: []string{"open.steer.test."}, now: time.Now()}
	signer := lab.Start(t, nil, "signer", lab.Binary, "sign", "--etcd", m.Client, "--keys", keys, "--id", "signer",
		"--resolver", names)
	whole := lab.Serve(t, "whole", "--etcd", m.Client, "--keys", keys, "--resolver", names, "--state", t.TempDir())
	edge := lab.Serve(t, "edge", "--etcd", m.Client, "--signatures", "etcd", "--resolver", names, "--state",
		t.TempDir())
	plain := lab.Serve(t, "plain", "--files", unsigned, "--resolver", names)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r, all := rand.New(rand.NewPCG(seed, 0)), newSeen()
	all.loose = true
	judgesOf := map[*lab.Server]*judges{whole: newJudges(t, whole.DNS, v), edge: newJudges(t, edge.DNS, v)}
	mark := 0
	enter := func(docs string) {
		t.Helper()
		mark++
		more := docs + above(v, mark)
		lab.Write(t, filepath.Join(dir, "all.yaml"), steeredText(first, second, more))
		lab.Write(t, filepath.Join(unsigned, "all.yaml"), steeredText("", "", more))
		lab.LeewardOK(t, "", "apply", "-f", dir, "--prune", "--etcd", m.Client)
		for _, s := range []*lab.Server{whole, edge, plain} {
			lab.Expect(t, 60*time.Second, s.DNS, lab.Question{Name: "mark.plain.test", Qtype: dns.TypeTXT},
				fmt.Sprintf(`"%d"`, mark))
		}
	}
	judge := func(state string, addresses []string) {
		t.Helper()
		for _, s := range []*lab.Server{whole, edge} {
			for origin := range v.keys {
				lab.Until(t, 60*time.Second, origin+" is answered signed", func() error {
					return isSigned(s.DNS, origin)
				})
			}
			among(t, s, addresses)
			walk(t, state+" at "+s.Name, r, v, s.DNS, plain.DNS, all)
			judgesOf[s].take(t, state+" at "+s.Name, r, s.DNS, plain.DNS)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	enter("")
	judge("all up", euAddresses)
	signer.Kill()
	enter(override("state: down", "region/eu", "endpoint/us/b"))
	judge("no signer, a region down", usAddresses)
	m.Process.Kill()
	judge("no etcd", usAddresses)
	for _, s := range []*lab.Server{whole, edge} {
		s.Process.Kill()
		s.Start(t)
		s.Ready(t)
	}
	judge("no etcd, started again", usAddresses)
	m.Start(t)
	m.Wait(t)
	enter(override("state: down", "region/eu", "region/us"))
	judge("no signer, all down", euAddresses)
	all.contradictions(t, v)
}

// among waits until a server, which may have signed only parts of a set, answers all.steer.test with one of the
// addresses.
func among(t *testing.T, s *lab.Server, addresses []string) {
	t.Helper()
	lab.Until(t, 30*time.Second, fmt.Sprintf("all.steer.test is of %v", addresses), func() error {
		reply, err := lab.Ask(nil, s.DNS, lab.Question{Name: "all.steer.test", Qtype: dns.TypeA})
		if err != nil {
			return err
		}
		if got := lab.RDATA(reply); len(got) == 0 || !slices.Contains(addresses, got[0]) {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
}

// TestSignedWhileKeysRoll walks signed zones while their keys roll by times that are seconds apart. A CSK gets a ZSK,
// and then keys of another algorithm replace both. The validator has the DNSKEY set of a moment before, as a resolver
// has.
func TestSignedWhileKeysRoll(t *testing.T) {
	lab.Need(t, "unbound")
	signed, unsigned, keys, names := t.TempDir(), t.TempDir(), t.TempDir(), resolver(t)
	for _, origin := range []string{"steer.test", "other.test", "in.steer.test"} {
		lab.LeewardOK(t, "", "key", "generate", origin, "--keys", keys)
	}
	v := &validator{keys: keysOf(t, keys), open: []string{"open.steer.test."}, now: time.Now()}
	more := above(v, 0)
	lab.Write(t, filepath.Join(signed, "all.yaml"), steeredText("dnssec: {enabled: true}\n",
		"dnssec: {enabled: true, nsec3: true}\n", more))
	lab.Write(t, filepath.Join(unsigned, "all.yaml"), steeredText("", "", more))
	s := lab.Serve(t, "signed", "--files", signed, "--keys", keys, "--resolver", names)
	plain := lab.Serve(t, "plain", "--files", unsigned, "--resolver", names)
	origins := []string{"steer.test.", "other.test."}
	trusted := map[string]bool{} // digests of the parent's DS
	for _, origin := range origins {
		lab.Until(t, 20*time.Second, origin+" is signed", func() error { return isSigned(s.DNS, origin) })
		trusted[v.keys[origin].ToDS(dns.SHA256).Digest] = true
	}
	ask := unbound(t, s.DNS, v, origins,
		[]string{"steer.test", "other.test", "plain.test", "in.steer.test", "open.steer.test"})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r, all, sets := rand.New(rand.NewPCG(seed, 0)), newSeen(), map[string]bool{}
	var fetched time.Time
	// fetch reads the present DNSKEY sets, which a trusted key must have signed.
	fetch := func() {
		t.Helper()
		v.rolled, v.now, fetched = nil, time.Now(), time.Now()
		rolled := map[string][]*dns.DNSKEY{}
		for _, origin := range origins {
			reply := asked(t, s.DNS, origin, dns.TypeDNSKEY)
			section := setsOf(reply.Answer)
			k := rrsetKey{origin, dns.TypeDNSKEY}
			chained := false
			var tags []string
			for _, x := range section.sets[k] {
				key := x.(*dns.DNSKEY)
				rolled[origin] = append(rolled[origin], key)
				tags = append(tags, fmt.Sprint(key.Flags, key.Algorithm))
				for _, sig := range section.sigs[k] {
					chained = chained || trusted[key.ToDS(dns.SHA256).Digest] && sig.KeyTag == key.KeyTag() &&
						sig.Verify(key, section.sets[k]) == nil && sig.ValidityPeriod(v.now)
				}
			}
			if !chained {
				t.Fatalf("no key that the parent has a DS of has signed DNSKEY:\n%v", reply)
			}
			sets[strings.Join(tags, ", ")] = true
		}
		v.rolled = rolled
	}
	// A walk may take longer than the set may be cached.
	v.renew = func() {
		if time.Since(fetched) > 2*time.Second {
			fetch()
		}
	}
	look := func() {
		t.Helper()
		fetch()
		walk(t, "keys roll", r, v, s.DNS, plain.DNS, all)
		for _, name := range []string{"over.steer.test.", "q.p.steer.test.", "no.such.other.test.", "c4.steer.test."} {
			reply, err := ask(name, dns.TypeA)
			if err != nil || !reply.AuthenticatedData {
				t.Errorf("unbound does not take %s (%v):\n%v", name, err, reply)
			}
		}
		if t.Failed() {
			t.Fatalf("with the keys %v", v.rolled)
		}
	}
	during := func(limit time.Duration) {
		for begin := time.Now(); time.Since(begin) < limit; {
			look()
		}
	}
	look()
	times := []string{"--keys", keys, "--ttl", "3s", "--delay", "2s", "--parent-ttl", "2s"}
	for _, origin := range origins {
		lab.LeewardOK(t, "", append([]string{"key", "roll", origin, "--role", "zsk"}, times...)...)
	}
	s.Process.Signal(t, syscall.SIGHUP)
	during(20 * time.Second)
	for _, origin := range origins {
		lab.LeewardOK(t, "", append([]string{"key", "roll", origin, "--algorithm", "15"}, times...)...)
	}
	s.Process.Signal(t, syscall.SIGHUP)
	during(20 * time.Second)
	if len(sets) < 3 {
		t.Errorf("these sets of keys were seen: %v\n%s", sets, lab.LeewardOK(t, "", "key", "list", "--keys", keys))
	}
	all.contradictions(t, v)
}
