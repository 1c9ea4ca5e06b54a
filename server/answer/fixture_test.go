package answer

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/health"
	"leeward/server/wire"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/document"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// fixture is testdata/zones.yaml as a running server would have it. Changes arrive as documents, and verdicts as
// targets that are down.
type fixture struct {
	catalog  *catalog.Catalog
	builder  *snapshot.Builder
	revision int64
	snapshot *snapshot.Snapshot
	down     map[string]bool // by endpoint
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{
		catalog: catalog.New(time.Now), builder: snapshot.NewBuilder(time.Now), revision: 1000,
		down: map[string]bool{},
	}
	text, err := os.ReadFile("testdata/zones.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f.apply(t, string(text))
	return f
}

// apply reads documents, at the next revision.
func (f *fixture) apply(t testing.TB, text string) {
	t.Helper()
	documents, problems := document.Read("zones.yaml", strings.NewReader(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	f.revision++
	batch := zones.Batch{Revision: f.revision, Accepted: f.revision}
	for _, d := range documents {
		batch.Changes = append(batch.Changes,
			zones.Change{Key: d.Resource.Key(), Resource: d.Resource, Revision: f.revision})
	}
	delta := f.catalog.Apply(batch)
	if problems := f.catalog.Problems().Err(); problems != nil {
		t.Fatal(problems)
	}
	f.snapshot, problems = f.builder.Update(f.catalog, delta, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
}

// state is what should be published now.
func (f *fixture) state() State {
	view := steer.NewView(f.snapshot.Program(), steer.Sight{State: func(target health.Target) health.State {
		if f.down[target.Endpoint] {
			return health.Down
		}
		return health.Up
	}}, nil)
	return State{Snapshot: f.snapshot, View: view}
}

// The transports of the tests.
var (
	udp = Transport{Name: "udp", Size: wire.UDPSize}
	tcp = Transport{Name: "tcp", Stream: true, Size: wire.MaxMessage, Idle: 10 * time.Second}
)

func (r *Responder) newWorker(over Transport) *Worker { return r.Worker(r.Over(over)) }

// answer is Respond, with the recovery from panics that transports have.
func (w *Worker) answer(request []byte, client netip.Addr, out []byte) (response []byte) {
	defer func() {
		if fault := recover(); fault != nil {
			w.Fault(fault, request, client)
			response = nil
		}
	}()
	response, _ = w.Respond(request, client, false, out)
	return response
}

func question(name string, kind uint16) *dns.Msg { return new(dns.Msg).SetQuestion(name, kind) }

// newResponder returns a responder that has published the fixture.
func newResponder(t testing.TB, change ...func(*Options)) *Responder {
	t.Helper()
	o := Options{ID: "lee-1", Chaos: Chaos{ID: "lee-1", Version: "leeward 1.2"}, Seed: func() uint64 { return 1 }}
	for _, c := range change {
		c(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Publish(newFixture(t).state())
	return s
}

// inquiry is one line of a scenario: "dig www.example.test A client=198.51.100.7 ecs=203.0.113.0/24 tcp".
type inquiry struct {
	message *dns.Msg
	client  netip.Addr
	proto   Transport
}

func readInquiry(line string) (q inquiry, err error) {
	words := strings.Fields(line)
	if len(words) < 3 || words[0] != "dig" {
		return q, fmt.Errorf("not an inquiry: %q", line)
	}
	kind, known := dns.StringToType[words[2]]
	if !known {
		return q, fmt.Errorf("no type %q", words[2])
	}
	q.message = new(dns.Msg)
	q.message.SetQuestion(words[1], kind)
	q.message.Id = 4711
	q.message.RecursionDesired = false
	q.client = netip.MustParseAddr("198.51.100.7")
	q.proto = udp
	option := func(o dns.EDNS0) {
		if q.message.IsEdns0() == nil {
			q.message.SetEdns0(1232, false)
		}
		if o != nil {
			opt := q.message.IsEdns0()
			opt.Option = append(opt.Option, o)
		}
	}
	for _, word := range words[3:] {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "client":
			q.client, err = netip.ParseAddr(value)
		case "ecs":
			var p netip.Prefix
			if p, err = netip.ParsePrefix(value); err == nil {
				family := uint16(1)
				if p.Addr().Is6() {
					family = 2
				}
				option(&dns.EDNS0_SUBNET{
					Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice(),
				})
			}
		case "edns":
			option(nil)
			var size uint16
			if _, err = fmt.Sscan(value, &size); err == nil {
				q.message.IsEdns0().SetUDPSize(size)
			}
		case "version":
			option(nil)
			q.message.IsEdns0().SetVersion(1)
		case "do":
			option(nil)
			q.message.IsEdns0().SetDo()
		case "nsid":
			option(&dns.EDNS0_NSID{Code: dns.EDNS0NSID})
		case "keepalive":
			option(&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE})
		case "tcp":
			q.proto = tcp
		case "rd":
			q.message.RecursionDesired = true
		case "class":
			q.message.Question[0].Qclass = dns.StringToClass[value]
		case "opcode":
			q.message.Opcode = dns.StringToOpcode[value]
		default:
			err = fmt.Errorf("no option %q", word)
		}
		if err != nil {
			return q, err
		}
	}
	return q, nil
}

// show prints a response in the form of the scenarios.
func show(m *dns.Msg) string {
	var out strings.Builder
	code := dns.RcodeToString[m.Rcode]
	if m.Rcode == dns.RcodeBadVers {
		code = "BADVERS"
	}
	fmt.Fprintf(&out, "> %s", code)
	for _, flag := range []struct {
		set  bool
		name string
	}{
		{m.Authoritative, "aa"},
		{m.Truncated, "tc"},
		{m.RecursionDesired, "rd"},
		{m.RecursionAvailable, "ra"},
		{m.AuthenticatedData, "ad"},
	} {
		if flag.set {
			out.WriteString(" " + flag.name)
		}
	}
	out.WriteString("\n")
	for _, section := range []struct {
		name    string
		records []dns.RR
	}{{"answer", m.Answer}, {"authority", m.Ns}, {"additional", m.Extra}} {
		sortAddresses(section.records)
		for _, r := range section.records {
			if opt, ok := r.(*dns.OPT); ok {
				fmt.Fprintf(&out, "> opt %d%s\n", opt.UDPSize(), showOptions(opt))
				continue
			}
			text := strings.ReplaceAll(r.String(), "\t", " ")
			if len(text) > 100 {
				text = text[:100] + "…"
			}
			fmt.Fprintf(&out, "> %s %s\n", section.name, text)
		}
	}
	return out.String()
}

// sortAddresses sorts a response's last RRset if it has addresses: a policy puts them in random order.
func sortAddresses(records []dns.RR) {
	first := len(records)
	for ; first > 0; first-- {
		if kind := records[first-1].Header().Rrtype; kind != dns.TypeA && kind != dns.TypeAAAA {
			break
		}
	}
	slices.SortFunc(records[first:], func(a, b dns.RR) int { return strings.Compare(a.String(), b.String()) })
}

func showOptions(opt *dns.OPT) (text string) {
	if opt.Do() {
		text += " do"
	}
	for _, o := range opt.Option {
		switch o := o.(type) {
		case *dns.EDNS0_SUBNET:
			text += fmt.Sprintf(" ecs=%s/%d/%d", o.Address, o.SourceNetmask, o.SourceScope)
		case *dns.EDNS0_NSID:
			id, _ := hex.DecodeString(o.Nsid)
			text += fmt.Sprintf(" nsid=%s", id)
		case *dns.EDNS0_EDE:
			text += fmt.Sprintf(" ede=%d(%s)", o.InfoCode, o.ExtraText)
		case *dns.EDNS0_TCP_KEEPALIVE:
			text += fmt.Sprintf(" keepalive=%d", o.Timeout)
		default:
			text += fmt.Sprintf(" option=%d", o.Option())
		}
	}
	return text
}

// ask lets the worker answer. It fails if the oracle cannot read the response, or if the response is larger than the
// query allows.
func ask(t testing.TB, w *Worker, q inquiry) *dns.Msg {
	t.Helper()
	request, err := q.message.Pack()
	if err != nil {
		t.Fatal(err)
	}
	size := wire.UDPSize
	if q.proto == tcp {
		size = dns.MaxMsgSize
	}
	raw := w.answer(request, q.client, make([]byte, 0, size))
	if raw == nil {
		return nil
	}
	if q.proto == udp {
		limit := dns.MinMsgSize
		if opt := q.message.IsEdns0(); opt != nil {
			limit = min(max(limit, int(opt.UDPSize())), wire.UDPSize)
		}
		if len(raw) > limit {
			t.Fatalf("%d octets where %d are the most:\n%s", len(raw), limit, q.message)
		}
	}
	m := new(dns.Msg)
	if err := m.Unpack(raw); err != nil {
		t.Fatalf("the response does not unpack: %v\n% x", err, raw)
	}
	if !m.Response || m.Id != q.message.Id || m.Opcode != q.message.Opcode {
		t.Fatalf("not a response to the query:\n%s", m)
	}
	return m
}
