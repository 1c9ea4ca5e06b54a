package transfer

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"leeward/health"
	"leeward/server/answer"
	"leeward/server/socket"
	"leeward/server/tsig"
	"leeward/server/wire"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/document"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

var secret = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

const first = `
kind: Zone
name: example.test
nameservers: [ns1.example.test]
transfer: {allow: [127.0.0.1, key xfer]%s}
---
{kind: Record, name: example.test/ns1/A, data: [192.0.2.53]}
---
{kind: Record, name: example.test/@/MX, data: ["10 mail.example.test.", "20 Mail2.example.test."]}
---
{kind: Record, name: "example.test/*.wild/TXT", data: ['"any"']}
---
kind: Zone
name: closed.test
nameservers: [ns1.example.test]
---
kind: Zone
name: key.test
nameservers: [ns1.example.test]
transfer: {allow: [127.0.0.1 key xfer, 192.0.2.0/24]}
---
{kind: Region, name: eu}
---
{kind: Pool, name: eu, region: eu}
---
{kind: Endpoint, name: eu/a, addresses: [192.0.2.1, "2001:db8::1"]}
---
{kind: Endpoint, name: eu/b, addresses: [192.0.2.2]}
---
{kind: Endpoint, name: eu/spare, addresses: [192.0.2.3], weight: 0}
---
{kind: Policy, name: www.example.test, ttl: 20s, rules: [{failover: [eu]}]}
`

// house is a server with a Primary.
type house struct {
	t        *testing.T
	catalog  *catalog.Catalog
	builder  *snapshot.Builder
	revision int64
	primary  *Primary
	answers  *answer.Responder
	server   *socket.Server
	shot     *snapshot.Snapshot
	address  string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, catalog: catalog.New(time.Now), builder: snapshot.NewBuilder(time.Now), revision: 100}
	primary, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	h.primary = primary
	keys, err := tsig.Parse("keys", fmt.Sprintf(`key xfer { algorithm hmac-sha256; secret %q; };`, secret))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := tsig.NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	primary.SetKeys(ring)
	h.answers, err = answer.New(answer.Options{Handlers: answer.Handlers{
		Transfer: primary.Serve,
		Notify:   primary.Notified, Keys: primary.Keys,
	}})
	if err != nil {
		t.Fatal(err)
	}
	h.server, err = socket.New(socket.Options{Listen: []string{"127.0.0.1:0"}, Workers: 1}, h.answers)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.server.Start(); err != nil {
		t.Fatal(err)
	}
	h.address = h.server.Addrs()[0].String()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); primary.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-done
		limited, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := h.server.Shutdown(limited); err != nil {
			t.Error(err)
		}
	})
	return h
}

// respond answers a message as over a stream or over UDP.
func respond(t *testing.T, r *answer.Responder, message []byte, from netip.AddrPort, stream bool,
	write func([]byte) error,
) {
	t.Helper()
	over := answer.Transport{Name: "udp", Size: wire.UDPSize}
	if stream {
		over = answer.Transport{Name: "tcp", Stream: true, Size: wire.MaxMessage}
	}
	w := r.Worker(r.Over(over))
	if out, kind := w.Respond(message, from.Addr(), false, make([]byte, 0, over.Size)); kind == answer.Query {
		if err := write(out); err != nil {
			t.Error(err)
		}
		return
	}
	x := w.Later(message, from)
	x.Write = write
	if !r.Serve(t.Context(), x) {
		t.Fatalf("a panic while %x is answered", message)
	}
}

// apply reads documents at the next revision, and publishes. A key with "-" before it is deleted.
func (h *house) apply(text string, gone ...zones.Key) {
	h.t.Helper()
	documents, problems := document.Read("zones.yaml", strings.NewReader(text))
	if len(problems) > 0 {
		h.t.Fatal(problems)
	}
	h.revision++
	batch := zones.Batch{Revision: h.revision, Accepted: h.revision}
	for _, d := range documents {
		batch.Changes = append(batch.Changes,
			zones.Change{Key: d.Resource.Key(), Resource: d.Resource, Revision: h.revision})
	}
	for _, key := range gone {
		batch.Changes = append(batch.Changes, zones.Change{Key: key, Revision: h.revision})
	}
	h.publish(h.catalog.Apply(batch))
}

// arrive gives the server a version of a zone that lives elsewhere, and publishes.
func (h *house) arrive(origin string, t snapshot.Transferred) {
	h.t.Helper()
	h.builder.Transferred(origin, t)
	h.publish(catalog.Delta{})
}

func (h *house) publish(d catalog.Delta) {
	s, _ := h.builder.Update(h.catalog, d, nil)
	h.shot = s
	state := answer.State{
		Snapshot: s,
		View: steer.NewView(s.Program(), steer.Sight{State: func(health.Target) health.State {
			return health.Down
		}}, nil),
	}
	h.answers.Publish(state)
	h.primary.Publish(state)
	s.EachZone(func(z *snapshot.Zone) bool { h.primary.journal.newest(z); return true }) // Run does this at some time
}

// transfer asks as a secondary does and returns the records in their order.
func (h *house) transfer(m *dns.Msg, signed bool) ([]string, error) {
	h.t.Helper()
	tr := &dns.Transfer{}
	if signed {
		tr.TsigSecret = map[string]string{"xfer.": secret}
		m.SetTsig("xfer.", dns.HmacSHA256, 300, time.Now().Unix())
	}
	messages, err := tr.In(m, h.address)
	if err != nil {
		return nil, err
	}
	var all []string
	for e := range messages {
		if e.Error != nil {
			err = e.Error
		}
		for _, r := range e.RR {
			all = append(all, strings.ReplaceAll(r.String(), "\t", " "))
		}
	}
	return all, err
}

func axfr(zone string) *dns.Msg { return new(dns.Msg).SetAxfr(zone) }

func ixfr(zone string, serial uint32) *dns.Msg {
	return new(dns.Msg).SetIxfr(zone, serial, "ns.", "h.")
}

func soa(serial int64) string {
	return fmt.Sprintf("example.test. 300 IN SOA ns1.example.test. hostmaster.example.test. %d 3600 900 1209600 30",
		serial)
}

func TestAXFR(t *testing.T) {
	h := newHouse(t)
	h.apply(fmt.Sprintf(first, ""))
	want := []string{
		soa(101), "*.wild.example.test. 300 IN TXT \"any\"", "example.test. 300 IN MX 10 mail.example.test.",
		"example.test. 300 IN MX 20 Mail2.example.test.", "example.test. 300 IN NS ns1.example.test.",
		"ns1.example.test. 300 IN A 192.0.2.53", "www.example.test. 20 IN A 192.0.2.1",
		"www.example.test. 20 IN A 192.0.2.2",
		"www.example.test. 20 IN AAAA 2001:db8::1", soa(101),
	}
	for _, signed := range []bool{false, true} {
		got, err := h.transfer(axfr("example.test."), signed)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(got[1 : len(got)-1])
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("signed %v: %s", signed, d)
		}
	}
}

// TestPolicies: a transfer has, for each policy, its answer without a client and without health.
func TestPolicies(t *testing.T) {
	h := newHouse(t)
	h.apply(fmt.Sprintf(first, "") + `---
{kind: Pool, name: us, region: eu}
---
{kind: Endpoint, name: us/a, addresses: [192.0.2.7]}
---
{kind: Pool, name: cloud, region: eu}
---
{kind: Endpoint, name: cloud/a, hostname: lb.cloud.invalid}
---
{kind: Pool, name: flat, region: eu}
---
{kind: Endpoint, name: flat/a, hostname: lb.cloud.invalid, flatten: true}
---
{kind: Policy, name: rules.example.test, rules: [{when: {countries: [US]}, failover: [eu]}, {failover: [us, eu]}]}
---
{kind: Policy, name: weights.example.test, rules: [{failover: [{eu: 5, us: 95}]}]}
---
{kind: Policy, name: alias.example.test, rules: [{failover: [cloud]}]}
---
{kind: Policy, name: beside.example.test, rules: [{failover: [cloud]}]}
---
{kind: Record, name: example.test/beside/TXT, data: ['"x"']}
---
{kind: Policy, name: second.example.test, rules: [{failover: [flat, us]}]}
---
{kind: Override, name: pool/us, state: drain}
`)
	got, err := h.transfer(axfr("example.test."), false)
	if err != nil {
		t.Fatal(err)
	}
	got = slices.DeleteFunc(got, func(r string) bool {
		return !slices.ContainsFunc([]string{"rules", "weights", "alias", "beside", "second"}, func(name string) bool {
			return strings.HasPrefix(r, name)
		})
	})
	slices.Sort(got)
	want := []string{
		"alias.example.test. 30 IN CNAME lb.cloud.invalid.", `beside.example.test. 300 IN TXT "x"`,
		"rules.example.test. 30 IN A 192.0.2.7",
		"rules.example.test. 30 IN AAAA 2001:db8::1", "second.example.test. 30 IN A 192.0.2.7",
		"weights.example.test. 30 IN A 192.0.2.7",
		"weights.example.test. 30 IN AAAA 2001:db8::1", // the first pool that has any of the family
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestLongAXFR: a zone takes many messages over one connection, and each of them is signed.
func TestLongAXFR(t *testing.T) {
	h := newHouse(t)
	var b strings.Builder
	fmt.Fprintf(&b, first, "")
	for i := range 5000 {
		fmt.Fprintf(&b, "---\n{kind: Record, name: example.test/name-%d.below/TXT, data: ['\"%s\"']}\n", i,
			strings.Repeat("x", i%200))
	}
	fmt.Fprintf(&b, "---\n{kind: Record, name: example.test/long/TXT, data: ['%s']}\n",
		strings.Repeat(`"`+strings.Repeat("y", 250)+`" `, 200))
	h.apply(b.String())
	got, err := h.transfer(axfr("example.test."), true)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 10+5001 {
		t.Errorf("%d records came, want %d", len(got), 10+5001)
	}
}

func TestIXFR(t *testing.T) {
	h := newHouse(t)
	h.apply(fmt.Sprintf(first, ""))
	h.apply(`{kind: Record, name: example.test/new/A, data: [192.0.2.9]}`, "records/example.test/*.wild/TXT")
	h.apply(`
{kind: Record, name: example.test/@/MX, data: ["10 mail.example.test.", "30 third.example.test."]}
---
{kind: Policy, name: www.example.test, ttl: 10s, rules: [{failover: [eu]}]}
`)
	changed := []string{
		soa(103), soa(101),
		`*.wild.example.test. 300 IN TXT "any"`, "example.test. 300 IN MX 20 Mail2.example.test.",
		"www.example.test. 20 IN A 192.0.2.1",
		"www.example.test. 20 IN A 192.0.2.2", "www.example.test. 20 IN AAAA 2001:db8::1",
		soa(103),
		"example.test. 300 IN MX 30 third.example.test.", "new.example.test. 300 IN A 192.0.2.9",
		"www.example.test. 10 IN A 192.0.2.1",
		"www.example.test. 10 IN A 192.0.2.2", "www.example.test. 10 IN AAAA 2001:db8::1",
		soa(103),
	}
	got, err := h.transfer(ixfr("example.test.", 101), true)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) == len(changed) {
		slices.Sort(got[2:7])
		slices.Sort(got[8:13])
	}
	if d := cmp.Diff(changed, got); d != "" {
		t.Error(d)
	}
	if got, err := h.transfer(ixfr("example.test.", 7), false); err != nil || len(got) < 8 || got[0] != soa(103) ||
		got[1] == soa(7) {
		t.Errorf("a serial that nobody knows: %v, %v; want the whole zone", got, err)
	}
	if got, err := h.transfer(ixfr("example.test.", 103), false); err != nil || !slices.Equal(got, []string{soa(103)}) {
		t.Errorf("the current serial: %v, %v; want one SOA", got, err)
	}
	reply, _, err := new(dns.Client).Exchange(ixfr("example.test.", 101), h.address)
	if err != nil || len(reply.Answer) != 1 || reply.Truncated {
		t.Errorf("over UDP: %v, %v; want one SOA", reply, err)
	}
}

func TestRefusals(t *testing.T) {
	h := newHouse(t)
	h.apply(fmt.Sprintf(first, ""))
	for name, c := range map[string]struct {
		query  *dns.Msg
		signed bool
		udp    bool
		want   int
	}{
		"nobody is let in":     {axfr("closed.test."), true, false, dns.RcodeRefused},
		"without its key":      {axfr("key.test."), false, false, dns.RcodeRefused},
		"with its key":         {axfr("key.test."), true, false, dns.RcodeSuccess},
		"a name within a zone": {axfr("www.example.test."), false, false, dns.RcodeNotAuth},
		"nobody's zone":        {axfr("other.test."), false, false, dns.RcodeNotAuth},
		"AXFR over UDP":        {axfr("example.test."), false, true, dns.RcodeRefused},
		"IXFR without a serial": {
			new(dns.Msg).SetQuestion("example.test.", dns.TypeIXFR), false, false,
			dns.RcodeFormatError,
		},
		"NOTIFY": {new(dns.Msg).SetNotify("example.test."), false, true, dns.RcodeRefused},
		"another class": {
			&dns.Msg{
				MsgHdr:   dns.MsgHdr{Id: 1},
				Question: []dns.Question{{Name: "example.test.", Qtype: dns.TypeAXFR, Qclass: dns.ClassCHAOS}},
			}, false,
			false, dns.RcodeRefused,
		},
	} {
		client := &dns.Client{Net: "tcp", TsigSecret: map[string]string{"xfer.": secret}}
		if c.udp {
			client.Net = "udp"
		}
		c.query.SetEdns0(1232, true)
		if c.signed {
			c.query.SetTsig("xfer.", dns.HmacSHA256, 300, time.Now().Unix())
		}
		reply, _, err := client.Exchange(c.query, h.address)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if reply.Rcode != c.want || (reply.IsTsig() != nil) != c.signed || reply.IsEdns0() == nil {
			t.Errorf("%s: %v, want rcode %s", name, reply, dns.RcodeToString[c.want])
		}
	}
	plain := new(dns.Msg).SetQuestion("example.test.", dns.TypeSOA)
	for _, network := range []string{"udp", "tcp"} {
		client := &dns.Client{Net: network, TsigSecret: map[string]string{"xfer.": secret}}
		plain.Extra = nil
		plain.SetTsig("xfer.", dns.HmacSHA256, 300, time.Now().Unix())
		if reply, _, err := client.Exchange(plain, h.address); err != nil || reply.IsTsig() == nil ||
			len(reply.Answer) != 1 {
			t.Errorf("a signed query for the SOA: %v, %v", reply, err)
		}
	}
	bad := axfr("example.test.").SetTsig("xfer.", dns.HmacSHA256, 300, time.Now().Add(-time.Hour).Unix())
	tr := &dns.Client{Net: "tcp", TsigSecret: map[string]string{"xfer.": secret}}
	if reply, _, err := tr.Exchange(bad, h.address); reply == nil || reply.Rcode != dns.RcodeNotAuth ||
		reply.IsTsig().Error != dns.RcodeBadTime {
		t.Errorf("late: %v, %v", reply, err)
	}
}

// TestNotify: secondaries are told of each new serial, with a signature if they have a key, and again until they
// answer.
func TestNotify(t *testing.T) {
	h := newHouse(t)
	type heard struct {
		serial uint32
		signed bool
	}
	got := make(chan heard, 10)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	started := make(chan struct{})
	secondary := &dns.Server{
		PacketConn: conn, TsigSecret: map[string]string{"xfer.": secret}, NotifyStartedFunc: func() { close(started) },
		MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
			if asked.Add(1) == 1 { // the first is lost
				return
			}
			got <- heard{m.Answer[0].(*dns.SOA).Serial, m.IsTsig() != nil && w.TsigStatus() == nil}
			reply := new(dns.Msg).SetReply(m)
			reply.SetTsig("xfer.", dns.HmacSHA256, 300, time.Now().Unix())
			_ = w.WriteMsg(reply)
		}),
	}
	go func() { _ = secondary.ActivateAndServe() }()
	<-started
	defer func() { _ = secondary.Shutdown() }()
	port := conn.LocalAddr().(*net.UDPAddr).Port
	h.apply(fmt.Sprintf(first, fmt.Sprintf(", notify: [\"127.0.0.1:%d key xfer\", \"127.0.0.1:%d key none\"]", port,
		port)))
	if x := <-got; x != (heard{101, true}) {
		t.Errorf("heard %+v", x)
	}
	h.apply(`{kind: Record, name: example.test/new/A, data: [192.0.2.9]}`)
	if x := <-got; x != (heard{102, true}) {
		t.Errorf("heard %+v", x)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		told := h.primary.Told()
		if len(told) == 2 && !told[0].Pending && !told[1].Pending {
			if told[1].Error != "" || told[1].Serial != 102 || !strings.Contains(told[0].Error, `no TSIG key "none"`) {
				t.Errorf("told: %+v", told)
			}
			return
		}
		<-tick.C
	}
}

// TestJournal: the number of versions is bounded, and another history begins anew.
func TestJournal(t *testing.T) {
	h := newHouse(t)
	h.apply(fmt.Sprintf(first, ""))
	for i := range mostVersions + 10 {
		h.apply(fmt.Sprintf(`{kind: Record, name: example.test/n%d/A, data: [192.0.2.9]}`, i))
	}
	j := h.primary.journal
	if j.at("\x07example\x04test\x00", 101) != nil || j.at("\x07example\x04test\x00", uint32(h.revision)) == nil {
		t.Error("the oldest version is still there, or the newest is not")
	}
	if got, err := h.transfer(ixfr("example.test.", uint32(h.revision-5)), false); err != nil || len(got) != 4+5 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestSerials(t *testing.T) {
	for _, c := range []struct {
		a, b uint32
		want bool
	}{{1, 0, true}, {0, 1, false}, {5, 5, false}, {0, 1<<32 - 1, true}, {1 << 31, 1, true}, {1<<31 + 2, 1, false}} {
		if newer(c.a, c.b) != c.want {
			t.Errorf("newer(%d, %d) is %v", c.a, c.b, !c.want)
		}
	}
}

// FuzzServe: any request gets messages that can be read, or no answer at all.
func FuzzServe(f *testing.F) {
	for _, m := range []*dns.Msg{
		axfr("example.test."), ixfr("example.test.", 1),
		new(dns.Msg).SetNotify("example.test."),
	} {
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	h := &house{t: &testing.T{}, catalog: catalog.New(time.Now), builder: snapshot.NewBuilder(time.Now)}
	primary, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	documents, problems := document.Read("zones.yaml", strings.NewReader(fmt.Sprintf(first, "")))
	if len(problems) > 0 {
		f.Fatal(problems)
	}
	batch := zones.Batch{Revision: 1, Accepted: 1}
	for _, d := range documents {
		batch.Changes = append(batch.Changes, zones.Change{Key: d.Resource.Key(), Resource: d.Resource, Revision: 1})
	}
	s, _ := h.builder.Update(h.catalog, h.catalog.Apply(batch), nil)
	r, err := answer.New(answer.Options{Handlers: answer.Handlers{
		Transfer: primary.Serve, Notify: primary.Notified,
		Keys: primary.Keys,
	}})
	if err != nil {
		f.Fatal(err)
	}
	r.Publish(answer.State{Snapshot: s, View: steer.NewView(s.Program(), steer.Sight{}, nil)})
	f.Fuzz(func(t *testing.T, request []byte) {
		if len(request) < 12 || request[2]&0x80 != 0 {
			return // it gets no answer
		}
		respond(t, r, request, netip.MustParseAddrPort("127.0.0.1:1"), len(request)%2 == 0, func(m []byte) error {
			if err := new(dns.Msg).Unpack(m); err != nil {
				t.Fatalf("%x: %v", m, err)
			}
			return nil
		})
	})
}
