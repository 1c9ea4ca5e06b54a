//go:build !noembed

package process_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/cmd/leeward/process"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// setClock is a clock that a test sets.
type setClock struct{ ahead atomic.Int64 }

func (c *setClock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *setClock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

// dnskeys returns the DNSKEY records that a server has of example.test.
func (p *member) dnskeys() (all []*dns.DNSKEY, err error) {
	m := new(dns.Msg).SetQuestion("example.test.", dns.TypeDNSKEY)
	r, _, err := (&dns.Client{Net: "tcp", Timeout: 5 * time.Second}).Exchange(m, p.DNS[0].String())
	if err != nil {
		return nil, err
	}
	for _, one := range r.Answer {
		if k, is := one.(*dns.DNSKEY); is {
			all = append(all, k)
		}
	}
	return all, nil
}

// parentServer is a parent with the DS that CDS asked for at its last look.
type parentServer struct {
	address string
	ds      atomic.Pointer[[]dns.RR]
}

func newParent(t *testing.T) *parentServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &parentServer{address: l.Addr().String()}
	x.ds.Store(&[]dns.RR{})
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative, m.Answer = true, *x.ds.Load()
		_ = w.WriteMsg(m)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ActivateAndServe() }()
	t.Cleanup(func() { l.Close(); <-done })
	return x
}

// follow looks at the CDS of a server.
func (x *parentServer) follow(p *member) {
	p.t.Helper()
	m := new(dns.Msg).SetQuestion("example.test.", dns.TypeCDS)
	r, _, err := (&dns.Client{Net: "tcp"}).Exchange(m, p.DNS[0].String())
	if err != nil {
		p.t.Fatal(err)
	}
	var all []dns.RR
	for _, record := range r.Answer {
		if cds, is := record.(*dns.CDS); is {
			one := cds.DS
			one.Hdr.Rrtype = dns.TypeDS
			all = append(all, &one)
		}
	}
	x.ds.Store(&all)
}

// TestRollBesideEdges: a KSK reaches the age that the zone sets, and two signers roll it, for servers without keys.
// Each of these holds the roll up until it answers as the step asks. All name the one whose clock is behind, and the
// one that is cut off. In every step, whatever resolvers may have from either verifies the answers of the other. Each
// step is taken once, and lasts as long as it should by the clocks.
func TestRollBesideEdges(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	secrets := secretFile(t, filepath.Join(t.TempDir(), "secrets"), 1)
	v := vaultOf(t, c, secrets)
	origin := rr.Name("\x07example\x04test\x00")
	parent := newParent(t)
	var clock, late setClock
	firstKeys(t, v, origin, dnssec.ECDSAP256, true, time.Now().Add(-80*24*time.Hour))

	// Everything that is ever logged about the roll, in order.
	var mu sync.Mutex
	var said []dnssec.Roll
	watch, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	events := c.Watch(watch, "/leeward/keys/"+dnssec.RollOf(origin))
	go func() {
		for r := range events {
			for _, e := range r.Events {
				if roll, _, err := v.Secrets.OpenRoll(origin, e.Kv.Value); err == nil {
					mu.Lock()
					said = append(said, *roll)
					mu.Unlock()
				}
			}
		}
	}()

	var hups []chan struct{}
	sign := func(id string) *member {
		s := settings(id, c)
		s.Listen, s.KeySecrets, s.Sign, s.NoProbe, s.Clock = nil, secrets, true, true, clock.now
		hup := make(chan struct{}, 1)
		hups, s.Reload = append(hups, hup), hup
		return serve(t, s)
	}
	edgeBy := func(id string, by *setClock) *member {
		s := edge(id, c, filepath.Join(t.TempDir(), id))
		s.NoProbe, s.Clock = true, by.now
		return serve(t, s)
	}
	c.putAll(strings.NewReplacer("{enabled: true}", "{enabled: true, roll: {ksk: 90d}, parent: ["+parent.address+"]}",
		"name: example.test\n", "name: example.test\nttl: 1h\nsoaTTL: 1h\nnegativeTTL: 1h\n").Replace(signedZone))
	one, two := sign("sign-1"), sign("sign-2")
	a, b := edgeBy("a", &clock), edgeBy("b", &late)
	edges := []*member{a, b}

	var looked time.Time
	look := func() { // both signers look soon
		if time.Since(looked) < 100*time.Millisecond {
			return
		}
		looked = time.Now()
		for _, hup := range hups {
			select {
			case hup <- struct{}{}:
			default:
			}
		}
	}
	type cached struct {
		at   time.Time
		keys []*dns.DNSKEY
	}
	var known []cached // what resolvers may have from either, for a TTL
	learn := func() {
		known = slices.DeleteFunc(known, func(one cached) bool { return clock.now().Sub(one.at) > time.Hour })
		for _, p := range edges {
			keys, err := p.dnskeys()
			if err != nil {
				t.Fatal(err)
			}
			known = append(known, cached{clock.now(), keys})
		}
	}
	cross := func() string {
		look()
		for i, p := range edges {
			now, err := edges[1-i].dnskeys()
			if err != nil {
				return err.Error()
			}
			for _, one := range append(slices.Clone(known), cached{keys: now}) {
				keys := one.keys
				for _, q := range []uint16{dns.TypeSOA, dns.TypeTXT, dns.TypeDNSKEY} {
					if _, err := p.ask("example.test", q, keys); err != nil {
						return fmt.Sprint("who asks edge ", i, " with keys of before does not verify: ", err)
					}
				}
			}
		}
		return ""
	}
	a.await("the edges answer signed", cross)
	parent.follow(a)
	at := func(want string) {
		t.Helper()
		a.await("the roll is at "+want, func() string {
			if wrong := cross(); wrong != "" {
				t.Fatal(wrong)
			}
			h, err := v.Read(t.Context(), origin)
			if err != nil {
				return err.Error()
			}
			if got := h.Roll.String(); !strings.Contains(got, want) {
				return "it is " + got
			}
			return ""
		})
	}
	wait := func(want string) { // time passes until the roll has come so far
		t.Helper()
		last := time.Time{}
		a.await("the roll is at "+want, func() string {
			if wrong := cross(); wrong != "" {
				t.Fatal(wrong)
			}
			if time.Since(last) > 500*time.Millisecond {
				learn()
				clock.forward(20 * time.Minute)
				late.forward(20 * time.Minute)
				last = time.Now()
			}
			h, err := v.Read(t.Context(), origin)
			if err != nil {
				return err.Error()
			}
			if got := h.Roll.String(); !strings.Contains(got, want) {
				return "it is " + got
			}
			return ""
		})
	}
	names := func(all []*member, text string) {
		t.Helper()
		for _, p := range all {
			p.await("it says whom the roll waits for: "+text, func() string {
				look()
				got := fmt.Sprint(p.status().Problems)
				if waits := strings.Contains(got, "roll of its keys waits"); waits != (text != "") ||
					!strings.Contains(got, text) {
					return "the problems are " + got
				}
				return ""
			})
		}
	}
	everybody := []*member{one, two, a, b}

	// The key gets old enough, by the clocks of all but one.
	at("no roll")
	clock.forward(11 * 24 * time.Hour)
	late.forward(11*24*time.Hour - 2*time.Hour)
	at("step publish")
	names(everybody, "server b does not have the keys of this step in use")
	if n, _ := b.dnskeys(); len(n) != 2 {
		t.Fatalf("an edge whose clock is behind has %d keys", len(n))
	}
	late.forward(2 * time.Hour)
	at("step publish since") // nobody has waited yet
	names(everybody, "")
	at("until what resolvers had before is forgotten")
	for _, p := range edges {
		if n, err := p.dnskeys(); err != nil || len(n) != 3 {
			t.Fatalf("an edge has %d keys at the step publish, %v", len(n), err)
		}
	}

	// A server that answered and is cut off is waited for, too.
	ghost := "/leeward.servers/ghost/mark"
	if _, err := c.Put(t.Context(), ghost, "{}"); err != nil {
		t.Fatal(err)
	}
	names(everybody, "server ghost has not been heard of")
	if _, err := c.Delete(t.Context(), ghost); err != nil {
		t.Fatal(err)
	}
	wait("step sign")
	names(everybody, "the parent does not have the new DS yet")
	at("until all servers of the parent have the new DS")

	// The parent publishes the new DS. Meanwhile one of the signers goes, and it does not matter which.
	one.end()
	hups = hups[1:]
	parent.follow(b)
	wait("step retire")
	one = sign("sign-1")
	wait("over since")
	for _, p := range edges {
		p.await("the old key is gone", func() string {
			if n, err := p.dnskeys(); err != nil || len(n) != 2 {
				return fmt.Sprint(len(n), " keys, ", err)
			}
			return ""
		})
	}
	names([]*member{one, two, a, b}, "")
	if x, y := a.signed("example.test.", dns.TypeDNSKEY), b.signed("example.test.", dns.TypeDNSKEY); x != y {
		t.Errorf("two edges have other keys in the end:\n%s\n%s", x, y)
	}

	mu.Lock()
	defer mu.Unlock()
	var steps []string
	seen, began := map[string]bool{}, time.Time{}
	for _, r := range said {
		rests := r.Step == "sign" || r.Step == "retire" || r.Step == "delete"
		if passed := r.Began.Sub(began); rests && passed > 0 && passed < time.Hour {
			t.Errorf("the step %s began after %v", r.Step, passed)
		}
		began = r.Began
		if steps = append(steps, r.Step); seen[r.String()+r.Held.String()+r.Seen.String()] {
			t.Errorf("%s was written twice", r.String())
		}
		seen[r.String()+r.Held.String()+r.Seen.String()] = true
	}
	if got := fmt.Sprint(slices.Compact(steps)); got != "[publish sign retire delete over]" {
		t.Errorf("the steps were %s", got)
	}
}

// TestSignersAgreeOnRolls: a signer that has heard less about the keys than another does not take back what that one
// has handed out, whatever their clocks say.
func TestSignersAgreeOnRolls(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	secrets := secretFile(t, filepath.Join(t.TempDir(), "secrets"), 1)
	v := vaultOf(t, c, secrets)
	origin := rr.Name("\x07example\x04test\x00")
	firstKeys(t, v, origin, dnssec.ECDSAP256, true, time.Now())
	c.putAll(signedZone)
	var ahead setClock
	ahead.forward(time.Hour)
	sign := func(id string, clock func() time.Time) process.Settings {
		s := settings(id, c)
		s.Listen, s.KeySecrets, s.Sign, s.NoProbe, s.Clock = nil, secrets, true, true, clock
		return s
	}
	fast := serve(t, sign("fast", ahead.now))
	fast.await("it hands out the keys", func() string {
		if c.signatures()["/leeward.signatures/example.test/keys"] == nil {
			return "no keys are there"
		}
		return ""
	})
	fast.end()
	serve(t, sign("right", time.Now)) // for this one, the handout is from the future
	e := serve(t, edge("edge", c, ""))
	e.awaitSigned("example.test.", dns.TypeDNSKEY, 3)
	begin := func() *dnssec.Roll {
		t.Helper()
		held, err := v.Read(t.Context(), origin)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Begin(t.Context(), held, dnssec.RollsZSK, 0, time.Now()); err != nil {
			t.Fatal(err)
		}
		held, err = v.Read(t.Context(), origin)
		if err != nil {
			t.Fatal(err)
		}
		return held.Roll
	}
	roll := begin()
	e.awaitSigned("example.test.", dns.TypeDNSKEY, 4)
	e.await("it says what it does of the roll", func() string {
		for _, s := range e.status().Servers {
			for _, one := range s.Rolls {
				if s.ID == "edge" && strings.Contains(one.Step, roll.Step) {
					return ""
				}
			}
		}
		return "nothing"
	})
	if r, err := c.Get(t.Context(), "/leeward.signatures/example.test/keys"); err != nil || len(r.Kvs) != 1 {
		t.Fatal(r, err)
	} else if out, err := dnssec.ReadHandOut(origin, r.Kvs[0].Value, nil, time.Now(), nil); err != nil ||
		!out.Roll.Same(roll) || out.Revision == 0 {
		t.Errorf("handed out is %+v, %v", out, err)
	}
}

// TestAlgorithmBySetting: a zone's setting asks for keys of another algorithm, and later for the former one. A signer,
// a server with keys and one without roll them, with a parent that follows CDS. With the keys or the DS of any server
// from within a TTL, a resolver finds everything signed by each algorithm in them.
func TestAlgorithmBySetting(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	secrets := secretFile(t, filepath.Join(t.TempDir(), "secrets"), 1)
	v := vaultOf(t, c, secrets)
	origin := rr.Name("\x07example\x04test\x00")
	parent := newParent(t)
	var clock setClock
	first := firstKeys(t, v, origin, dnssec.ECDSAP256, false, time.Now().Add(-80*24*time.Hour))
	hups := []chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}
	signs, holds := settings("sign", c), settings("holder", c)
	signs.Listen, signs.Sign = nil, true
	for i, s := range []*process.Settings{&signs, &holds} {
		s.KeySecrets, s.NoProbe, s.Clock, s.Reload = secrets, true, clock.now, hups[i]
	}
	without := edge("edge", c, "")
	without.NoProbe, without.Clock = true, clock.now
	zone := func(settings string) {
		c.putAll(strings.NewReplacer("{enabled: true}", "{enabled: true, parent: ["+parent.address+"]"+settings+"}",
			"name: example.test\n", "name: example.test\nttl: 1h\nsoaTTL: 1h\nnegativeTTL: 1h\n").Replace(signedZone))
	}
	zone("")
	serve(t, signs)
	servers := []*member{serve(t, holds), serve(t, without)}

	type cached struct {
		at   time.Time
		keys []*dns.DNSKEY
		ds   []dns.RR
	}
	var known []cached
	byAlgorithm := func(all []*dns.DNSKEY) map[uint8][]*dns.DNSKEY {
		of := map[uint8][]*dns.DNSKEY{}
		for _, k := range all {
			of[k.Algorithm] = append(of[k.Algorithm], k)
		}
		return of
	}
	learn := func() {
		known = slices.DeleteFunc(known, func(one cached) bool { return clock.now().Sub(one.at) > time.Hour })
		for _, p := range servers {
			keys, err := p.dnskeys()
			if err != nil {
				t.Fatal(err)
			}
			known = append(known, cached{clock.now(), keys, *parent.ds.Load()})
		}
	}
	proves := func() string { // whatever resolvers may have from anybody proves all answers of anybody
		for _, p := range servers {
			there, err := p.dnskeys()
			if err != nil {
				return err.Error()
			}
			for _, one := range known {
				for a, keys := range byAlgorithm(one.keys) {
					for _, q := range []uint16{dns.TypeSOA, dns.TypeMX} {
						if _, err := p.ask("www.example.test", q, keys); err != nil {
							return fmt.Sprintf("algorithm %d, with keys of %v: %v", a, clock.now().Sub(one.at), err)
						}
					}
				}
				ds := map[uint8][]*dns.DNSKEY{} // the keys in use that the parent knows
				for _, x := range one.ds {
					d := x.(*dns.DS)
					ds[d.Algorithm] = slices.DeleteFunc(slices.Clone(there), func(k *dns.DNSKEY) bool {
						made := k.ToDS(d.DigestType)
						return made == nil || made.Digest != d.Digest
					})
				}
				for a, keys := range ds {
					if _, err := p.ask("example.test", dns.TypeDNSKEY, keys); err != nil {
						return fmt.Sprintf("algorithm %d of the DS of %v: %v", a, clock.now().Sub(one.at), err)
					}
				}
			}
		}
		return ""
	}
	a := servers[0]
	for _, p := range servers {
		p.awaitSigned("www.example.test.", dns.TypeA, 2)
	}
	parent.follow(a)
	learn()
	roll := func(algorithm int) (steps []string) {
		t.Helper()
		zone(fmt.Sprintf(", algorithm: %d", algorithm))
		last, is, over := time.Now(), "", false
		on := func() string { // until something of the roll has changed
			for _, hup := range hups {
				select {
				case hup <- struct{}{}:
				default:
				}
			}
			if wrong := proves(); wrong != "" {
				t.Fatal(wrong)
			}
			h, err := v.Read(t.Context(), origin)
			if err != nil {
				return err.Error()
			}
			now := h.Roll.String()
			if strings.Contains(now, "until all servers do it") {
				last = time.Now() // that takes no time by the clocks
			} else if time.Since(last) > 200*time.Millisecond {
				last = time.Now()
				learn()
				parent.follow(a)
				clock.forward(20 * time.Minute)
			}
			if now == is {
				return fmt.Sprint(now, "; the edge says: ", servers[1].status().Problems)
			}
			if _, step, found := strings.Cut(now, "step "); found {
				step, _, _ = strings.Cut(step, " ")
				steps = append(steps, step)
			}
			is, over = now, h.Roll.Over() && h.Keys.By(dnssec.Algorithm(algorithm), clock.now())
			return ""
		}
		for !over {
			a.await("the roll goes on", on)
		}
		return slices.Compact(steps)
	}
	for _, algorithm := range []int{15, 13} {
		steps := fmt.Sprint(roll(algorithm))
		if steps != "[sign publish ask withdraw delete retire]" && steps != "[sign publish ask withdraw delete]" {
			t.Errorf("to %d the steps were %s", algorithm, steps)
		}
		for _, p := range servers {
			p.await("it has one key", func() string {
				keys, err := p.dnskeys()
				if err != nil || len(keys) != 1 || int(keys[0].Algorithm) != algorithm {
					return fmt.Sprint(keys, err)
				}
				return ""
			})
		}
		if ds := *parent.ds.Load(); len(ds) != 1 || int(ds[0].(*dns.DS).Algorithm) != algorithm {
			t.Errorf("the parent has %v", ds)
		}
		clock.forward(2 * time.Hour)
	}
	if h, err := v.Read(t.Context(), origin); err != nil || h.Keys.At(clock.now()).Entry[0].Tag() == first[0].Tag() {
		t.Errorf("an old key is back: %v", err)
	}

	// If a roll is impossible, a problem says so.
	zone(`, algorithm: 15, foreign: ["257 3 13 ` +
		`mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ=="]`)
	a.awaitProblem("beside dnssec.foreign")
}
