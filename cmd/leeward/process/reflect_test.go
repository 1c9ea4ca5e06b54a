//go:build !noembed

package process_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/cmd/leeward/process"
	"leeward/server/answer"
)

const reflected = `kind: Zone
name: example.test
nameservers: [ns1.example.test]
hostmaster: hostmaster@example.test
transfer: {allow: [203.0.113.1]}
---
{kind: Record, name: example.test/www/A, data: [192.0.2.1]}
---
{kind: Record, name: example.test/text/TXT, data: ['"0123456789012345678901234567890123456789"']}
`

// long is a name of nearly full length.
const long = "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghij.abcdefghijabcdefghijabcdefghijabcdefghijabcdefghij." +
	"abcdefghijabcdefghijabcdefghijabcdefghijabcdefghij.abcdefghijabcdefghijabcdefghijabcdefghijabcdefghij.invalid."

// forgeable returns requests of all kinds that anybody can send: opcodes, types, OPT records of all kinds, and
// signatures by unknown keys or wrong ones.
func forgeable(t *testing.T, secret string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for opcode := range 16 {
		for _, name := range []string{
			"www.example.test.", "example.test.", "none.example.test.", "elsewhere.invalid.",
			".", long,
		} {
			for _, kind := range []uint16{
				dns.TypeA, dns.TypeTXT, dns.TypeSOA, dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR,
				65280,
			} {
				if opcode > 5 && kind != dns.TypeA || opcode != dns.OpcodeQuery && kind == dns.TypeANY {
					continue
				}
				for _, opt := range []string{"", "edns", "nsid", "subnet", "cookie", "version", "do"} {
					m := new(dns.Msg)
					m.SetQuestion(name, kind)
					m.Opcode = opcode
					if opt != "" {
						m.SetEdns0(4096, opt == "do")
						o := m.IsEdns0()
						switch opt {
						case "nsid":
							o.Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
						case "subnet":
							o.Option = []dns.EDNS0{&dns.EDNS0_SUBNET{
								Code: dns.EDNS0SUBNET, Family: 1,
								SourceNetmask: 24, Address: net.IPv4(203, 0, 113, 0),
							}}
						case "cookie":
							o.Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"}}
						case "version":
							o.SetVersion(3)
						}
					}
					for _, key := range []string{"", "none", "pointer", "bad"} {
						b, err := m.Pack()
						switch key {
						case "none", "bad":
							signed := m.Copy()
							owner := map[string]string{"none": "nobody.", "bad": "ours."}[key]
							signed.SetTsig(owner, dns.HmacSHA256, 300, time.Now().Unix())
							b, _, err = dns.TsigGenerate(signed,
								base64.StdEncoding.EncodeToString([]byte("not "+secret)), "", false)
						case "pointer": // the key's name points to the question's, in two octets
							b = append(b, 0xc0, 12, 0, 250, 0, 255, 0, 0, 0, 0, 0, 13+16)
							b = append(append(b, "\x0bhmac-sha256\x00"...), make([]byte, 16)...)
							binary.BigEndian.PutUint16(b[10:], binary.BigEndian.Uint16(b[10:])+1)
						}
						if err != nil {
							t.Fatal(err)
						}
						all[fmt.Sprintf("opcode %d %.20s type %d opt %q key %q", opcode, name, kind, opt, key)] = b
					}
				}
			}
		}
	}
	return all
}

// mirror is a server with a key, and a socket that asks it.
func mirror(t *testing.T, limit answer.RateLimit) (net.Conn, string) {
	t.Helper()
	dir, secret := t.TempDir(), "a secret of ours, long enough"
	keys := filepath.Join(t.TempDir(), "keys")
	text := fmt.Sprintf("key \"ours\" {\n\talgorithm hmac-sha256;\n\tsecret %q;\n};\n",
		base64.StdEncoding.EncodeToString([]byte(secret)))
	for file, text := range map[string]string{filepath.Join(dir, "all.yaml"): reflected, keys: text} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := serve(t, process.Settings{
		ID: "a-server-with-a-long-name-that-nsid-would-tell", Listen: []string{"127.0.0.1:0"}, Files: dir,
		TSIGKeys: []string{keys}, RateLimit: limit,
	})
	c, err := net.Dial("udp", p.DNS[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	p.awaitAnswer("www.example.test.", "192.0.2.1")
	return c, secret
}

// TestNothingForgedIsMadeLarger: no response over UDP to an unknown client is larger than its request, except answers
// from a zone. A server's first cookie takes 16 octets more than the client's, which RFC 7873 allows.
func TestNothingForgedIsMadeLarger(t *testing.T) {
	c, secret := mirror(t, answer.RateLimit{})
	buffer := make([]byte, 1<<16)
	for name, request := range forgeable(t, secret) {
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buffer)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var m dns.Msg
		if err := m.Unpack(buffer[:n]); err != nil || m.Id != binary.BigEndian.Uint16(request) {
			t.Fatalf("%s: %v: % x", name, err, buffer[:n])
		}
		most := len(request)
		if o := m.IsEdns0(); o != nil && len(o.Option) > 0 && o.Option[0].Option() == dns.EDNS0COOKIE {
			most += 16
		}
		if n > most && len(m.Answer)+len(m.Ns) == 0 {
			t.Errorf("%s: %d octets for %d:\n%s", name, n, len(request), &m)
		}
		if m.Opcode != dns.OpcodeQuery && m.RecursionDesired {
			t.Errorf("%s: RD is copied", name)
		}
	}
}

// TestEveryResponseIsLimited: whatever a client repeats over UDP, it gets no more answers than the limit allows.
func TestEveryResponseIsLimited(t *testing.T) {
	const rate = 10
	c, secret := mirror(t, answer.RateLimit{Rate: rate, Slip: 0})
	answered := 0
	begin := time.Now()
	count := func() {
		buffer := make([]byte, 1<<16)
		for {
			_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if _, err := c.Read(buffer); err != nil {
				return
			}
			answered++
		}
	}
	all := forgeable(t, secret)
	for _, opcode := range []int{0, 2, 4, 5} {
		for _, kind := range []uint16{dns.TypeA, dns.TypeAXFR, dns.TypeIXFR, dns.TypeSOA} {
			for _, opt := range []string{"", "edns"} {
				for _, key := range []string{"", "none", "pointer", "bad"} {
					name := fmt.Sprintf("opcode %d %.20s type %d opt %q key %q", opcode, "example.test.", kind, opt,
						key)
					if all[name] == nil {
						t.Fatal(name)
					}
					for range 50 {
						if _, err := c.Write(all[name]); err != nil {
							t.Fatal(err)
						}
					}
					count()
				}
			}
		}
	}
	// All errors share one bucket, and the zone's own data has two more.
	if most := 3 * rate * int(2+time.Since(begin)/time.Second); answered > most {
		t.Errorf("%d responses, of 6400 requests, in %v: more than %d", answered, time.Since(begin), most)
	}
	t.Logf("%d responses to 6400 requests in %v", answered, time.Since(begin))
}
