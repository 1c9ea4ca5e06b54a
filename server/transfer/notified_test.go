package transfer

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/server/tsig"
	"leeward/zones/snapshot"
)

const laid = `
kind: Zone
name: elsewhere.test
transfer:
  primaries: [192.0.2.1, "192.0.2.2:5353 key xfer key next"]
  allow: [127.0.0.1]
  allowNotify: [203.0.113.0/24, 198.51.100.9 key other]
---
kind: Zone
name: here.test
nameservers: [ns1.example.test]
---
{kind: Region, name: eu}
---
{kind: Pool, name: eu, region: eu}
---
{kind: Endpoint, name: eu/a, addresses: [198.51.100.1]}
---
{kind: Policy, name: www.elsewhere.test, rules: [{failover: [eu]}]}
`

// TestNotifiedBy: who may say that a zone has changed, and what all others are told.
func TestNotifiedBy(t *testing.T) {
	h := newHouse(t)
	h.apply(laid)
	second, err := NewSecondary(SecondaryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h.primary.o.Secondary = second
	second.Assign([]Assignment{{Origin: "elsewhere.test"}})
	keys, err := tsig.Parse("keys", fmt.Sprintf(`key xfer { algorithm hmac-sha256; secret %q; }; key other { algorithm hmac-sha256; secret %q; };
key next { algorithm hmac-sha256; secret %q; };`, secret, secret, secret))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := tsig.NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	h.primary.SetKeys(ring)
	soa := func(m *dns.Msg) *dns.Msg { m.Question[0].Qtype = dns.TypeTXT; return m }
	for _, c := range []struct {
		name  string
		zone  string
		from  string
		key   string
		msg   func(*dns.Msg) *dns.Msg
		rcode int
		want  string // "asked", "hinted"
	}{
		{"a primary, from any port", "elsewhere.test.", "192.0.2.1:1234", "", nil, dns.RcodeSuccess, "asked"},
		{"in other letters", "ELSEWHERE.test.", "192.0.2.1:1234", "", nil, dns.RcodeSuccess, "asked"},
		{
			"a primary that is known by a key, from any address", "elsewhere.test.", "198.51.100.1:53", "xfer", nil,
			dns.RcodeSuccess, "asked",
		},
		{
			"and by the key that it will have", "elsewhere.test.", "198.51.100.1:53", "next", nil, dns.RcodeSuccess,
			"asked",
		},
		{"the same without its key: a hint", "elsewhere.test.", "192.0.2.2:1234", "", nil, dns.RcodeSuccess, "hinted"},
		{"with another one's", "elsewhere.test.", "192.0.2.2:5353", "other", nil, dns.RcodeSuccess, "hinted"},
		{"with another one's, from elsewhere", "elsewhere.test.", "192.0.2.3:5353", "other", nil, dns.RcodeRefused, ""},
		{"an address that is allowed for", "elsewhere.test.", "203.0.113.7:53", "", nil, dns.RcodeSuccess, "asked"},
		{"one with its key", "elsewhere.test.", "198.51.100.9:53", "other", nil, dns.RcodeSuccess, "asked"},
		{"one without its key", "elsewhere.test.", "198.51.100.9:53", "", nil, dns.RcodeRefused, ""},
		{"somebody", "elsewhere.test.", "192.0.2.3:53", "", nil, dns.RcodeRefused, ""},
		{"a zone that lives here", "here.test.", "192.0.2.1:53", "", nil, dns.RcodeRefused, ""},
		{"a zone that is not here", "other.test.", "192.0.2.1:53", "", nil, dns.RcodeNotAuth, ""},
		{"not of the SOA", "elsewhere.test.", "192.0.2.1:53", "", soa, dns.RcodeFormatError, ""},
		{"with a key that nobody has", "elsewhere.test.", "192.0.2.1:53", "nobodys", nil, dns.RcodeNotAuth, ""},
	} {
		m := new(dns.Msg).SetNotify(c.zone)
		if c.msg != nil {
			m = c.msg(m)
		}
		packed, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if c.key != "" {
			key, err := tsig.NewKey(c.key, tsig.SHA256, []byte("0123456789abcdef0123456789abcdef"))
			if err != nil {
				t.Fatal(err)
			}
			packed, _ = key.Request(packed, time.Now())
		}
		z := second.zones["elsewhere.test"]
		z.asked, z.hinted, z.first = false, false, netip.Addr{}
		var reply dns.Msg
		respond(t, h.answers, packed, netip.MustParseAddrPort(c.from), true, func(b []byte) error {
			return reply.Unpack(b)
		})
		if reply.Rcode != c.rcode || reply.Opcode != dns.OpcodeNotify || !reply.Response ||
			reply.Authoritative != (c.rcode == 0) || reply.Id != m.Id || len(reply.Question) != 1 {
			t.Errorf("%s: %v", c.name, &reply)
		}
		got := ""
		switch {
		case z.asked:
			got = "asked"
		case z.hinted:
			got = "hinted"
		}
		if got != c.want || got != "" && z.first != netip.MustParseAddrPort(c.from).Addr() {
			t.Errorf("%s: %s, first %s", c.name, got, z.first)
		}
	}
}

// TestOnward: a zone of another primary goes out with our own records on top, under a serial that moves with both.
// Differences go only to those who have the version from this server. Nothing goes out before there is a version, or
// after it has expired.
func TestOnward(t *testing.T) {
	h := newHouse(t)
	h.apply(laid)
	if _, err := h.transfer(axfr("elsewhere.test."), false); err == nil {
		t.Error("there is nothing yet, and it is sent")
	}
	edition := func(serial string, more ...string) *snapshot.Version {
		v := wholeOf(t, "elsewhere.test.",
			append([]string{"@ SOA " + serial, "@ NS ns", "www A 192.0.2.1", "www TXT \"theirs\""}, more...)...)
		return v
	}
	first := edition("1000")
	h.arrive("elsewhere.test", snapshot.Transferred{Version: first})
	soaOf := func(serial int64) string {
		return fmt.Sprintf("elsewhere.test. 300 IN SOA ns.elsewhere.test. hostmaster.elsewhere.test. %d 3600 600 "+
			"86400 60", serial)
	}
	differ := ixfr("elsewhere.test.", uint32(1000+h.revision))
	got, err := h.transfer(differ.Copy(), false)
	if err != nil || len(got) != 1 || got[0] != soaOf(1000+h.revision) {
		t.Errorf("nothing newer: %v, %v", got, err)
	}
	h.arrive("elsewhere.test", snapshot.Transferred{Version: edition("1001", "new A 192.0.2.2").From(first)})
	whole := []string{
		soaOf(1001 + h.revision), "elsewhere.test. 300 IN NS ns.elsewhere.test.",
		"new.elsewhere.test. 300 IN A 192.0.2.2",
		"www.elsewhere.test. 30 IN A 198.51.100.1", `www.elsewhere.test. 300 IN TXT "theirs"`, soaOf(1001 + h.revision),
	}
	for _, m := range []*dns.Msg{differ.Copy(), axfr("elsewhere.test.")} { // nobody knows where it has that serial from
		got, err := h.transfer(m, false)
		slices.Sort(got[1 : len(got)-1])
		if err != nil || !slices.Equal(got, whole) {
			t.Errorf("%v, %v", got, err)
		}
	}
	h.apply(`{kind: Policy, name: www.elsewhere.test, ttl: 10s, rules: [{failover: [eu]}]}`)
	got, err = h.transfer(ixfr("elsewhere.test.", uint32(1001+h.revision-1)), false)
	want := []string{
		soaOf(1001 + h.revision), soaOf(1001 + h.revision - 1), "www.elsewhere.test. 30 IN A 198.51.100.1",
		soaOf(1001 + h.revision), "www.elsewhere.test. 10 IN A 198.51.100.1", soaOf(1001 + h.revision),
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	h.arrive("elsewhere.test", snapshot.Transferred{Version: first, Expired: true})
	if _, err := h.transfer(axfr("elsewhere.test."), false); err == nil {
		t.Error("it has expired, and it is sent")
	}
}

// TestExpireOutward: those who ask learn how long a zone is good, with the SOA and with transfers (RFC 7314). For a
// zone that lives here that is the SOA's EXPIRE, and for others what is left of it.
func TestExpireOutward(t *testing.T) {
	h := newHouse(t)
	h.apply(laid)
	h.apply("kind: Zone\nname: here.test\nnameservers: [ns1.example.test]\ntransfer: {allow: " +
		"[127.0.0.1]}\nexpire: 100h\n")
	until := new(atomic.Int64)
	version := wholeOf(t, "elsewhere.test.", "@ SOA 1000", "@ NS ns")
	h.arrive("elsewhere.test", snapshot.Transferred{Version: version, Until: until})
	for _, c := range []struct {
		zone string
		left time.Duration
		want uint32
	}{
		{"here.test.", 0, 360000},
		{"elsewhere.test.", 1000 * time.Second, 1000},
		{"elsewhere.test.", 100000 * time.Second, 86400}, // no more than the SOA says
		{"elsewhere.test.", -time.Second, 0},
	} {
		for _, m := range []*dns.Msg{new(dns.Msg).SetQuestion(c.zone, dns.TypeSOA), axfr(c.zone), ixfr(c.zone, 1<<31)} {
			until.Store(time.Now().Add(c.left).Unix())
			for _, asked := range []bool{true, false} {
				m.SetEdns0(1232, true)
				if asked {
					m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EXPIRE{Code: dns.EDNS0EXPIRE, Empty: true}}
				}
				conn, err := dns.Dial("tcp", h.address)
				if err != nil {
					t.Fatal(err)
				}
				if err := conn.WriteMsg(m); err != nil {
					t.Fatal(err)
				}
				r, err := conn.ReadMsg()
				conn.Close()
				if err != nil || r.Rcode != 0 || len(r.Answer) == 0 || r.IsEdns0() == nil || !r.IsEdns0().Do() {
					t.Fatalf("%v: %v, %v", m.Question, r, err)
				}
				got, there := int64(-1), false
				for _, o := range r.IsEdns0().Option {
					if x, ok := o.(*dns.EDNS0_EXPIRE); ok {
						got, there = int64(x.Expire), true
					}
				}
				if there != asked || asked && (got > int64(c.want) || got < int64(c.want)-30) {
					t.Errorf("%v, asked %v: %d, want %d", m.Question[0].String(), asked, got, c.want)
				}
				m.Extra = nil
			}
		}
	}
}
