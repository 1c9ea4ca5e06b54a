//go:build linux

package conformance

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

var days = flag.Int("days", 2, "how many days a signer and its servers live in TestSignedForDays, 2 at least")

// TestSignedForDays: a signer, an edge without keys and a server with keys live for days, by a clock of their own that
// moves on by eight hours at a time. Health and records change all the while. Then the signer is away for as long
// again, up to twelve days. The edge restarts meanwhile, and the signer comes back. This room's validator judges what
// they answer at that time, and it is compared with the answers of a server that does not sign.
func TestSignedForDays(t *testing.T) {
	const step = 8 * time.Hour
	m, dir, keys, names := lab.StartEtcd(t), t.TempDir(), t.TempDir(), resolver(t)
	for _, origin := range []string{"steer.test", "other.test", "in.steer.test"} {
		lab.LeewardOK(t, "", "key", "generate", origin, "--keys", keys)
	}
	v := &validator{keys: keysOf(t, keys), open: []string{"open.steer.test."}}
	// A drill would have ended by their clock.
	states := healthStates[:len(healthStates)-2]
	marked := 0
	documents := func() string {
		return states[marked%len(states)].docs + above(v, marked) +
			fmt.Sprintf("---\n{kind: Record, name: plain.test/in%d/TXT, data: ['\"here\"']}\n", marked)
	}
	change := func() {
		t.Helper()
		marked++
		lab.Write(t, filepath.Join(dir, "all.yaml"), steeredText("dnssec: {enabled: true}\n",
			"dnssec: {enabled: true, nsec3: true}\n", documents()))
		if o := m.Ctl(t, "", "del", "--prefix", "/leeward/overrides/"); o.Code != 0 { // overrides are never pruned
			t.Fatal(o)
		}
		lab.LeewardOK(t, "", "apply", "-f", dir, "--prune", "--etcd", m.Client)
	}
	change()

	clock, shift := filepath.Join(t.TempDir(), "clock"), time.Duration(0)
	signer := &lab.Server{Name: "signer", Argv: []string{
		lab.Binary, "sign", "--etcd", m.Client, "--keys", keys, "--id", "signer", "--resolver", names,
	}}
	edge := lab.NewServer(t, "edge", "--etcd", m.Client, "--signatures", "etcd", "--resolver", names,
		"--state", t.TempDir())
	whole := lab.NewServer(t, "whole", "--etcd", m.Client, "--keys", keys, "--resolver", names)
	plainDir := t.TempDir()
	for _, s := range []*lab.Server{signer, edge, whole} {
		s.GiveClock(t, clock)
		s.Start(t)
	}
	plain := lab.NewServer(t, "plain", "--files", plainDir, "--resolver", names)

	// left is how long the signature of a zone's SOA on a server is still valid.
	left := func(s *lab.Server, origin string) (time.Duration, error) {
		msg := new(dns.Msg)
		msg.SetQuestion(origin, dns.TypeSOA)
		msg.SetEdns0(4096, true)
		reply, _, err := (&dns.Client{Timeout: 2 * time.Second}).Exchange(msg, s.DNS)
		if err != nil {
			return 0, err
		}
		for _, x := range reply.Answer {
			if sig, is := x.(*dns.RRSIG); is {
				return time.Unix(int64(sig.Expiration), 0).Sub(time.Now().Add(shift)), nil
			}
		}
		return 0, errors.New("no signature")
	}
	r, all := rand.New(rand.NewPCG(3, 4)), newSeen()
	all.loose = true
	look := func(what string, away time.Duration) {
		t.Helper()
		lab.Write(t, filepath.Join(plainDir, "all.yaml"), steeredText("", "", documents()))
		if plain.Process == nil {
			plain.Start(t)
			plain.Ready(t)
		}
		for _, s := range []*lab.Server{edge, whole, plain} {
			lab.Expect(t, time.Minute, s.DNS, lab.Question{Name: "mark.plain.test", Qtype: dns.TypeTXT},
				fmt.Sprintf(`"%d"`, marked))
			lab.Until(t, time.Minute, "what went with the last change is gone", func() error {
				reply, err := lab.Ask(nil, s.DNS, lab.Question{
					Name: fmt.Sprintf("in%d.plain.test", marked-1), Qtype: dns.TypeTXT,
				})
				if err == nil && reply.Rcode != dns.RcodeNameError {
					err = errors.New(dns.RcodeToString[reply.Rcode])
				}
				return err
			})
		}
		for _, s := range []*lab.Server{edge, whole} {
			least := 308 * time.Hour // at a day's end: 14 days less that day, and begun 3 h early
			if s == edge {
				least -= away
			}
			lab.Until(t, time.Minute, s.Name+" has the signatures of the day", func() error {
				for origin := range v.keys {
					if d, err := left(s, origin); err != nil || d < least {
						return fmt.Errorf("%s: %v for %v, want %v", origin, err, d, least)
					}
				}
				return nil
			})
			among(t, s, states[marked%len(states)].all)
			v.now = time.Now().Add(shift)
			walk(t, fmt.Sprintf("%s, %s, %v later", s.Name, what, shift), r, v, s.DNS, plain.DNS, all)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	pass := func() {
		t.Helper()
		shift += step
		if err := signer.Clock.Set(shift); err != nil {
			t.Fatal(err)
		}
	}

	look("at the start", 0)
	used := lab.CPU(t, signer.Process)
	for n := 0; shift < time.Duration(*days)*24*time.Hour; n++ {
		pass()
		if n%2 == 0 {
			change()
		}
		look("signed on", 0)
	}
	t.Logf("the signer took %v of processor time in %d days", lab.CPU(t, signer.Process)-used, *days)

	signer.Process.Kill()
	gone := shift
	for away := time.Duration(min(*days, 12)) * 24 * time.Hour; shift < gone+away; {
		pass()
		if shift == gone+2*step {
			edge.Process.Kill()
			edge.Start(t)
			edge.Ready(t)
		}
		look("the signer away", shift-gone)
	}
	signer.Start(t)
	change()
	look("the signer back", 0)
	all.contradictions(t, v)
}
