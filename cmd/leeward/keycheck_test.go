package main

import (
	"bytes"
	"encoding/hex"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"leeward/zones/dnssec"
)

// keyCheckPrivate is the key of the zone that is checked; its tag is 13485.
const keyCheckPrivate = "Private-key-format: v1.3\nAlgorithm: 13\n" +
	"PrivateKey: Sr/WxgCoFi7+21v/1WE2/RgAddDe3U3YhyyH0avej+Q=\n"

var timePrinted = regexp.MustCompile(`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z`)

// TestKeyCheckPrints compares what key check prints about servers of the parent and of the zone. -update writes the
// files anew.
func TestKeyCheckPrints(t *testing.T) {
	const origin = "\x07example\x04test\x00"
	parse := func(flags uint16) *dnssec.TimedKey {
		k, err := dnssec.Parse(origin, flags, keyCheckPrivate)
		if err != nil {
			t.Fatal(err)
		}
		return &k
	}
	ours, other := parse(dnssec.FlagsCSK), parse(dnssec.FlagZone) // there is no private key of the other
	folder := t.TempDir()
	if err := ours.Write(folder); err != nil {
		t.Fatal(err)
	}
	head := func(typ uint16) dns.RR_Header {
		return dns.RR_Header{Name: "example.test.", Rrtype: typ, Class: dns.ClassINET, Ttl: 60}
	}
	ds := func(k *dnssec.TimedKey, digest uint8) dns.RR {
		data, err := k.DS(digest)
		if err != nil {
			t.Fatal(err)
		}
		return &dns.DS{
			Hdr: head(dns.TypeDS), KeyTag: k.Tag(), Algorithm: 13,
			DigestType: digest, Digest: hex.EncodeToString(data[4:]),
		}
	}
	dnskey := func(k *dnssec.TimedKey) dns.RR {
		return &dns.RFC3597{Hdr: head(dns.TypeDNSKEY), Rdata: hex.EncodeToString(k.DNSKEY())}
	}
	type server struct {
		answer []dns.RR
		lame   bool
		rcode  int
		down   bool
		raw    string // octets instead of an answer
		cut    bool   // TC, over TCP
		none   bool   // nobody listens
	}
	answering := func(records ...dns.RR) server { return server{answer: records} }
	whole := answering(dnskey(ours))
	for _, c := range []struct {
		name             string
		status           int
		parents, servers []server
	}{
		{"all well", 0, []server{answering(ds(ours, 2)), answering(ds(ours, 2))}, []server{whole, whole}},
		{"DS by SHA-384", 0, []server{answering(ds(ours, 4))}, nil},
		{"DS of another key too", 0, []server{answering(ds(ours, 2), ds(other, 2))}, nil},
		{"no DS", 1, []server{{}, {}}, nil},
		{"DS of another key", 1, []server{answering(ds(other, 2))}, nil},
		{"no DS at one", 1, []server{answering(ds(ours, 2)), {}}, nil},
		{"parent that is not authoritative", 1, []server{{answer: []dns.RR{ds(ours, 2)}, lame: true}}, nil},
		{"parent that refuses", 1, []server{{rcode: dns.RcodeRefused}}, nil},
		{"parent that ends connections", 1, []server{{down: true}}, nil},
		{"parent that is not there", 1, []server{{none: true}}, nil},
		{"parent that ends in the middle", 1, []server{{raw: "\x01\x00it begins"}}, nil},
		{"parent that is no DNS server", 1, []server{{raw: "\x00\x04spam"}}, nil},
		{"parent that cuts answers short", 1, []server{{answer: []dns.RR{ds(ours, 2)}, cut: true}}, nil},
		{"parent that lacks the name", 1, []server{{rcode: dns.RcodeNameError}}, nil},
		{"server that ends connections", 1, nil, []server{whole, {down: true}}},
		{"server without DNSKEY", 1, nil, []server{whole, {}}},
		{"server with another DNSKEY", 1, nil, []server{answering(dnskey(other))}},
		{"server with one more DNSKEY", 0, nil, []server{answering(dnskey(ours), dnskey(other))}},
		{"server that fails", 1, nil, []server{{rcode: dns.RcodeServerFailure}}},
		{"both wrong", 1, []server{{}}, []server{{}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args, named := []string{"key", "check", "example.test", "--keys", folder}, []string{}
			for flag, all := range map[string][]server{"--parent": c.parents, "--server": c.servers} {
				for i, s := range all {
					l, err := net.Listen("tcp", "127.0.0.1:0")
					if err != nil {
						t.Fatal(err)
					}
					serve := func(w dns.ResponseWriter, q *dns.Msg) {
						if s.down {
							_ = w.Close()
							return
						}
						m := new(dns.Msg).SetRcode(q, s.rcode)
						m.Authoritative, m.Truncated, m.Answer = !s.lame, s.cut, s.answer
						_ = w.WriteMsg(m)
					}
					serving := &dns.Server{Listener: l, Handler: dns.HandlerFunc(serve)}
					done := make(chan struct{})
					go func() {
						defer close(done)
						if s.raw == "" {
							_ = serving.ActivateAndServe()
							return
						}
						for c, err := l.Accept(); err == nil; c, err = l.Accept() {
							if _, err := (&dns.Conn{Conn: c}).ReadMsg(); err == nil {
								_, _ = io.WriteString(c, s.raw)
							}
							c.Close()
						}
					}()
					t.Cleanup(func() { l.Close(); <-done })
					if s.none {
						l.Close()
					}
					args = append(args, flag, l.Addr().String())
					named = append(named, l.Addr().String(), strings.TrimPrefix(flag, "--")+"-"+string(rune('1'+i)))
				}
			}
			var out, errs bytes.Buffer
			if status := run(t.Context(), args, nil, strings.NewReader(""), &out, &errs); status != c.status {
				t.Errorf("exit status %d, want %d", status, c.status)
			}
			got := strings.NewReplacer(named...).Replace(out.String() + errs.String())
			got = timePrinted.ReplaceAllString(got, "TIME")
			golden := filepath.Join("testdata", "keycheck", strings.ReplaceAll(c.name, " ", "-")+".txt")
			if *keyWalkUpdate {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(golden); err != nil || got != string(want) {
				t.Errorf("it is (%v; -update writes it anew)\n%s\nwant\n%s", err, got, want)
			}
		})
	}
}
