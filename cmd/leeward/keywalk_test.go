package main

import (
	"bytes"
	"crypto"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// treeServer is one server of the tree: what it answers, by owner and type, and what it delegates.
type treeServer struct {
	address string
	answers map[string][]dns.RR // "example.test. DNSKEY"
	denial  map[string][]dns.RR // the proof that there is no answer
	cuts    map[string][]dns.RR // by the name of the cut: its NS and their addresses
	down    bool
}

func (s *treeServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	name, typ := q.Question[0].Name, q.Question[0].Qtype
	key := name + " " + dns.TypeToString[typ]
	m.Answer, m.Ns = s.answers[key], s.denial[key]
	if typ != dns.TypeDS {
		for cut, all := range s.cuts {
			if dns.IsSubDomain(cut, name) {
				m.Authoritative = false
				m.Ns, m.Extra = nil, nil
				for _, r := range all {
					if r.Header().Rrtype == dns.TypeNS {
						m.Ns = append(m.Ns, r)
					} else {
						m.Extra = append(m.Extra, r)
					}
				}
			}
		}
	}
	_ = w.WriteMsg(m)
}

// tree is a signed root, test. and example.test., the latter two on two servers each.
type tree struct {
	t       *testing.T
	keys    map[string]*dns.DNSKEY
	private map[string]crypto.Signer
	made    int // keys
	root    treeServer
	test    [2]treeServer
	zone    [2]treeServer
}

func record(t *testing.T, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *tree) key(zone string) *dns.DNSKEY {
	w.keys[zone], w.private[zone] = w.make(zone, dns.ECDSAP256SHA256)
	return w.keys[zone]
}

// make makes a key. Tags have five digits and grow from key to key, so that texts about them always look the same.
func (w *tree) make(zone string, algorithm uint8) (*dns.DNSKEY, crypto.Signer) {
	w.made++
	for {
		k := &dns.DNSKEY{
			Hdr:   dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 60},
			Flags: 257, Protocol: 3, Algorithm: algorithm,
		}
		private, err := k.Generate(256)
		if err != nil {
			w.t.Fatal(err)
		}
		if int(k.KeyTag())/10_000 == w.made {
			return k, private.(crypto.Signer)
		}
	}
}

var (
	keyWalkPort = regexp.MustCompile(`\b(127\.0\.0\.\d):\d{5}\b`)
	keyWalkTag  = regexp.MustCompile(`\b[1-6]\d{4}\b`)
	keyWalkTime = regexp.MustCompile(`\b20\d\d-\d\d-\d\d(\s+)\d\d:\d\d:\d\dZ\b`)
)

// print returns what was printed, with names for the tags of keys and without times, in columns of the same width.
func (w *tree) print(text string) string {
	text = keyWalkPort.ReplaceAllString(text, "${1}:PORT-")
	text = keyWalkTag.ReplaceAllStringFunc(text, func(tag string) string {
		return "KEY-" + string(tag[0]-'1'+'A')
	})
	return keyWalkTime.ReplaceAllString(text, "DAY-DAY-DA${1}HH:MM:SSZ")
}

// signed returns a set with its signature by a zone's key. left is how long the signature still holds.
func (w *tree) signed(zone string, left time.Duration, set ...dns.RR) []dns.RR {
	return w.signedFrom(zone, -48*time.Hour, left, set...)
}

// signedFrom is signed with the time until the signature begins to hold, negative if it holds already.
func (w *tree) signedFrom(zone string, begin, left time.Duration, set ...dns.RR) []dns.RR {
	k := w.keys[zone]
	s := &dns.RRSIG{
		Algorithm: k.Algorithm, KeyTag: k.KeyTag(), SignerName: zone,
		Inception: uint32(time.Now().Add(begin).Unix()), Expiration: uint32(time.Now().Add(left).Unix()),
	}
	if err := s.Sign(w.private[zone], set); err != nil {
		w.t.Fatal(err)
	}
	return append(set, s)
}

const week = 7 * 24 * time.Hour

func newTree(t *testing.T) *tree {
	w := &tree{t: t, keys: map[string]*dns.DNSKEY{}, private: map[string]crypto.Signer{}}
	for _, zone := range []string{".", "test.", "example.test."} {
		w.key(zone)
	}
	apex := func(zone string) map[string][]dns.RR {
		return map[string][]dns.RR{
			zone + " DNSKEY": w.signed(zone, week, w.keys[zone]),
			zone + " SOA":    w.signed(zone, week, record(t, zone+" 60 SOA ns. host. 1 1 1 1 1")),
		}
	}
	cut := func(zone string, a, b int) map[string][]dns.RR {
		var all []dns.RR
		for i, last := range []int{a, b} {
			all = append(all, record(t, fmt.Sprintf("%s 60 NS ns%d.%s", zone, i, zone)),
				record(t, fmt.Sprintf("ns%d.%s 60 A 127.0.0.%d", i, zone, last)))
		}
		return map[string][]dns.RR{zone: all}
	}
	w.root = treeServer{address: "127.0.0.1", answers: apex("."), cuts: cut("test.", 2, 3)}
	w.root.answers["test. DS"] = w.signed(".", week, w.keys["test."].ToDS(dns.SHA256))
	for i := range 2 {
		w.test[i] = treeServer{
			address: fmt.Sprintf("127.0.0.%d", 2+i), answers: apex("test."), cuts: cut("example.test.", 4, 5),
			denial: map[string][]dns.RR{},
		}
		w.test[i].answers["example.test. DS"] = w.signed("test.", week, w.keys["example.test."].ToDS(dns.SHA256))
		w.zone[i] = treeServer{address: fmt.Sprintf("127.0.0.%d", 4+i), answers: apex("example.test.")}
	}
	return w
}

// listen lets all servers listen on one port, and returns it.
func (w *tree) listen() string {
	all := []*treeServer{&w.root, &w.test[0], &w.test[1], &w.zone[0], &w.zone[1]}
	for range 100 {
		var taken []net.Listener
		port := "0"
		for _, s := range all {
			l, err := net.Listen("tcp", net.JoinHostPort(s.address, port))
			if err != nil {
				break // another process has that port at this address
			}
			taken = append(taken, l)
			_, port, _ = net.SplitHostPort(l.Addr().String())
		}
		if len(taken) < len(all) {
			for _, l := range taken {
				l.Close()
			}
			continue
		}
		for i, l := range taken {
			if all[i].down {
				l.Close()
				continue
			}
			s, done := &dns.Server{Listener: l, Handler: all[i]}, make(chan struct{})
			go func() { defer close(done); _ = s.ActivateAndServe() }()
			w.t.Cleanup(func() { l.Close(); <-done })
		}
		return port
	}
	w.t.Fatal("no port is free at all addresses")
	return ""
}

var keyWalkUpdate = flag.Bool("update", false, "write testdata/keywalk and keycheck anew")

// TestKeyWalk: key check from the root says what a resolver would say, and which server makes the difference.
func TestKeyWalk(t *testing.T) {
	const zone, ds, dnskey = "example.test.", "example.test. DS", "example.test. DNSKEY"
	denied := func(w *tree, zone int, left time.Duration) {
		delete(w.test[zone].answers, ds)
		w.test[zone].denial[ds] = w.signed("test.", left, record(w.t, "example.test. 60 NSEC test. NS RRSIG NSEC"))
	}
	// hashed lets all servers of test. deny the DS with one NSEC3, that of a name, whose hash leads back to itself: it
	// covers everything that it does not match.
	hashed := func(w *tree, of, next string, flags, iterations int, types string) {
		hash := func(name string) string { return dns.HashName(name, dns.SHA1, uint16(iterations), "") }
		text := fmt.Sprintf("%s.test. 60 NSEC3 1 %d %d - %s %s", hash(of), flags, iterations, hash(next), types)
		for i := range w.test {
			delete(w.test[i].answers, ds)
			w.test[i].denial[ds] = w.signed("test.", week, record(w.t, strings.ToLower(text[:33])+text[33:]))
		}
	}
	for _, c := range []struct {
		name   string
		status int
		with   func(*tree)
		wants  []string
	}{
		{
			"secure", 0, func(*tree) {},
			[]string{"All is well", "127.0.0.3 (ns1.test) DS", "127.0.0.5 (ns1.example.test) DNSKEY"},
		},
		{
			"DS missing at one", 1, func(w *tree) { denied(w, 1, week) },
			[]string{
				"Secure by some",
				"server 127.0.0.3 (ns1.test) of test.: it has no DS of example.test., and proves it",
			},
		},
		{
			"DS missing at one, without proof", 1, func(w *tree) { delete(w.test[1].answers, ds) },
			[]string{"Secure by some", "it has no DS, and no NSEC or NSEC3 that proves it"},
		},
		{
			"DS of another key", 1, func(w *tree) {
				old := w.keys[zone]
				other := w.key(zone).ToDS(dns.SHA256)
				w.keys[zone] = old
				for i := range w.test {
					w.test[i].answers[ds] = w.signed("test.", week, other)
				}
			},
			[]string{"Bogus at example.test:", "none of its DNSKEYs", "is that of a DS"},
		},
		{
			"DNSKEY expired", 1, func(w *tree) {
				for i := range w.zone {
					w.zone[i].answers[dnskey] = w.signed(zone, -time.Hour, w.keys[zone])
				}
			},
			[]string{"Bogus at example.test:", "the RRSIG of DNSKEY by key", "expired at"},
		},
		{
			"SOA expired at one", 1, func(w *tree) {
				set := w.zone[0].answers["example.test. SOA"][:1]
				w.zone[0].answers["example.test. SOA"] = w.signed(zone, -time.Hour, set[0])
			},
			[]string{"Secure by some", "server 127.0.0.4", "the RRSIG of SOA by key", "expired at"},
		},
		{
			"DS expired", 1, func(w *tree) {
				for i := range w.test {
					w.test[i].answers[ds] = w.signed("test.", -time.Hour, w.keys[zone].ToDS(dns.SHA256))
				}
			},
			[]string{"Bogus at example.test:", "the RRSIG of DS by key", "expired at"},
		},
		{
			"DNSKEY missing at one", 1, func(w *tree) { delete(w.zone[1].answers, dnskey) },
			[]string{"Secure by some", "server 127.0.0.5", "it has no DNSKEY, and the parent has a DS"},
		},
		{
			"insecure", 1, func(w *tree) { denied(w, 0, week); denied(w, 1, week) },
			[]string{"Insecure: the chain of trust ends at example.test.", "put its DS"},
		},
		{
			"insecure by a proof that expired", 1, func(w *tree) { denied(w, 0, -time.Hour); denied(w, 1, -time.Hour) },
			[]string{"Bogus at example.test:", "what should prove it does not"},
		},
		{
			"insecure by NSEC3", 1, func(w *tree) { hashed(w, zone, zone, 0, 0, "NS") },
			[]string{"Insecure: the chain of trust ends at example.test.", "put its DS"},
		},
		{
			"NSEC3 that says there is a DS", 1,
			func(w *tree) { hashed(w, zone, zone, 0, 0, "NS DS RRSIG") },
			[]string{"Bogus at example.test:", "no NSEC or NSEC3 that proves it"},
		},
		{
			"insecure by opt-out", 1, func(w *tree) { hashed(w, "test.", "test.", 1, 0, "NS SOA RRSIG") },
			[]string{"Insecure: the chain of trust ends at example.test.", "put its DS"},
		},
		{
			"covered without opt-out", 1, func(w *tree) { hashed(w, "test.", "test.", 0, 0, "NS SOA RRSIG") },
			[]string{"Bogus at example.test:", "no NSEC or NSEC3 that proves it"},
		},
		{
			"more iterations than resolvers take", 1,
			func(w *tree) { hashed(w, zone, zone, 0, 2500, "NS DS RRSIG") },
			[]string{"Insecure: the chain of trust ends at example.test.", "an NSEC3 with 2500 iterations"},
		},
		{
			"algorithm that nobody knows", 1, func(w *tree) {
				d := w.keys[zone].ToDS(dns.SHA256)
				d.Algorithm = 250
				for i := range w.test {
					w.test[i].answers[ds] = w.signed("test.", week, d)
				}
			},
			[]string{"Insecure: the chain of trust ends at example.test.", "that resolvers do not know"},
		},
		{
			"wrong anchor", 1, func(w *tree) { w.key(".") },
			[]string{"Bogus at the root:", "none of its DNSKEYs"},
		},
		{
			"DNSKEY not valid yet", 1, func(w *tree) {
				for i := range w.zone {
					w.zone[i].answers[dnskey] = w.signedFrom(zone, time.Hour, week, w.keys[zone])
				}
			},
			[]string{"Bogus at example.test:", "the RRSIG of DNSKEY by key", "holds only from"},
		},
		{
			"one behind, without the new key", 1, func(w *tree) {
				old, signer := w.keys[zone], w.private[zone]
				key := w.key(zone)
				w.zone[0].answers[dnskey] = w.signed(zone, week, old, key)
				w.zone[0].answers["example.test. SOA"] = w.signed(zone, week,
					record(w.t, "example.test. 60 SOA ns. host. 2 1 1 1 1"))
				for i := range w.test {
					w.test[i].answers[ds] = w.signed("test.", week, key.ToDS(dns.SHA256))
				}
				w.keys[zone], w.private[zone] = old, signer
			},
			[]string{"Secure by some", "server 127.0.0.5 (ns1.example.test)"},
		},
		{
			"an algorithm of the DS that does not sign", 1, func(w *tree) {
				key, _ := w.make(zone, dns.ED25519)
				for i := range w.zone {
					w.zone[i].answers[dnskey] = w.signed(zone, week, w.keys[zone], key)
					w.test[i].answers[ds] = w.signed("test.", week, w.keys[zone].ToDS(dns.SHA256), key.ToDS(dns.SHA256))
				}
			},
			[]string{"Secure, but not to every resolver", "DNSKEY has no RRSIG of algorithm ED25519, which a DS is of"},
		},
		{
			"an algorithm of a DNSKEY that does not sign", 1, func(w *tree) {
				key, _ := w.make(zone, dns.ED25519)
				for i := range w.zone {
					w.zone[i].answers[dnskey] = w.signed(zone, week, w.keys[zone], key)
				}
			},
			[]string{
				"Secure, but not to every resolver",
				"SOA has no RRSIG of algorithm ED25519, which a DNSKEY is of",
			},
		},
		{
			"one unreachable", 1, func(w *tree) { w.zone[1].down = true },
			[]string{"Secure by some", "server 127.0.0.5 (ns1.example.test) of example.test. does not answer"},
		},
		{
			"all unreachable", 1, func(w *tree) { w.zone[0].down, w.zone[1].down = true, true },
			[]string{"No answer: the walk ends at example.test."},
		},
		{
			"lame", 1, func(w *tree) {
				for i := range w.test { // both refer to themselves, and to each other
					w.test[i].cuts[zone] = []dns.RR{record(w.t, "example.test. 60 NS ns.loop.test.")}
					w.test[i].cuts["loop.test."] = []dns.RR{record(w.t, "loop.test. 60 NS ns.example.test.")}
				}
			},
			[]string{"No answer", "name server ns.loop.test. has no address that is found"},
		},
		{
			"alias", 1, func(w *tree) {
				for i := range w.test {
					delete(w.test[i].cuts, zone)
					w.test[i].answers["example.test. NS"] = []dns.RR{
						record(w.t, "example.test. 60 CNAME example.test."),
					}
				}
			},
			[]string{"No answer", "it has no delegation of example.test."},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTree(t)
			c.with(w)
			port := w.listen()
			file := filepath.Join(t.TempDir(), "anchor")
			if err := os.WriteFile(file, []byte(w.keys["."].ToDS(dns.SHA256).String()+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, form := range []string{"text", "json"} {
				var out, errs bytes.Buffer
				status := run(t.Context(), []string{
					"key", "check", "example.test", "--root", "127.0.0.1:" + port, "--anchor", file, "-o", form,
				}, nil, strings.NewReader(""), &out, &errs)
				if status != c.status || errs.Len() > 0 {
					t.Fatalf("exit status %d, want %d\n%s%s", status, c.status, out.String(), errs.String())
				}
				if form == "json" {
					if !json.Valid(out.Bytes()) || !strings.Contains(out.String(), `"steps"`) {
						t.Errorf("not the JSON of a walk: %s", out.String())
					}
					continue
				}
				golden := filepath.Join("testdata", "keywalk", strings.ReplaceAll(c.name, " ", "-")+".txt")
				if *keyWalkUpdate {
					if err := os.WriteFile(golden, []byte(w.print(out.String())), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if want, err := os.ReadFile(golden); err != nil || w.print(out.String()) != string(want) {
					t.Errorf("it is (%v; -update writes it anew)\n%s\nwant\n%s", err, w.print(out.String()), want)
				}
				for line := range strings.Lines(out.String()) {
					if len(strings.TrimSuffix(line, "\n")) > 80 {
						t.Errorf("a line is wider than 80 columns: %s", line)
					}
				}
				for _, want := range c.wants {
					if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
						t.Errorf("%q is not said", want)
					}
				}
			}
		})
	}
}

// TestKeyWalkRefuses: arguments that make no sense are refused before anything is asked.
func TestKeyWalkRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--root", "nowhere"}, "write an address"},
		{[]string{"--root", "127.0.0.1:1,127.0.0.2:2"}, "all servers are asked at one port"},
		{[]string{"--root", "127.0.0.1:1", "--anchor", "/nowhere/anchor"}, "no such file"},
		{[]string{"--root", "127.0.0.1:1", "--anchor", "test. DS 1 8 2 00"}, "is not a DS of the root"},
		{[]string{"--root", "127.0.0.1:1", "--anchor", ". DS 1 99 2 00"}, "no DS of an algorithm"},
		{[]string{"--root", "127.0.0.1:1", "--server", "127.0.0.1"}, "--server has no effect"},
	} {
		var out, errs bytes.Buffer
		status := run(t.Context(), append([]string{"key", "check", "example.test"}, c.args...), nil,
			strings.NewReader(""), &out, &errs)
		if status != 2 || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%q: exit status %d, want 2 with %q\n%s", c.args, status, c.says, errs.String())
		}
	}
}
