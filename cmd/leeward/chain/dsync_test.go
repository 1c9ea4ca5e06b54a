package chain

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// resolver answers from zones of its own. If no zone has an answer, it sends the SOA of the zone that encloses the
// name.
type resolver struct {
	address netip.AddrPort
	zones   []string // apexes
	records []dns.RR
	odd     func(m *dns.Msg) // alters each response; nil: none

	mu    sync.Mutex
	asked []string // names that were asked for DSYNC, in order
}

func newResolver(t *testing.T, zones string, records ...string) *resolver {
	t.Helper()
	x := &resolver{zones: strings.Fields(zones)}
	for _, text := range records {
		r, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		x.records = append(x.records, r)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x.address = l.Addr().(*net.TCPAddr).AddrPort()
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(x.answer)}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ActivateAndServe() }()
	t.Cleanup(func() { l.Close(); <-done })
	return x
}

func (x *resolver) answer(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable, m.AuthenticatedData = true, q.AuthenticatedData
	name, typ := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	if typ == TypeDSYNC {
		x.mu.Lock()
		x.asked = append(x.asked, name)
		x.mu.Unlock()
	}
	for _, r := range x.records {
		owner := r.Header().Name
		rest, wild := strings.CutPrefix(owner, "*.")
		if r.Header().Rrtype == typ && (owner == name || wild && dns.IsSubDomain(rest, name) && rest != name) {
			one := dns.Copy(r)
			one.Header().Name = name
			m.Answer = append(m.Answer, one)
		}
	}
	if len(m.Answer) == 0 {
		apex := "."
		for _, z := range x.zones {
			if dns.IsSubDomain(z, name) && len(z) > len(apex) {
				apex = z
			}
		}
		m.Ns = []dns.RR{&dns.SOA{
			Hdr: dns.RR_Header{Name: apex, Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: ".", Mbox: ".",
		}}
	}
	if x.odd != nil {
		x.odd(m)
	}
	_ = w.WriteMsg(m)
}

// dsync returns a DSYNC record in the form of RFC 3597.
func dsync(owner string, typ uint16, scheme uint8, port uint16, target string) string {
	data := []byte{byte(typ >> 8), byte(typ), scheme, byte(port >> 8), byte(port)}
	name := make([]byte, 255)
	end, err := dns.PackDomainName(target, name, 0, nil, false)
	if err != nil {
		panic(err)
	}
	data = append(data, name[:end]...)
	return fmt.Sprintf("%s 300 IN TYPE66 \\# %d %s", owner, len(data), hex.EncodeToString(data))
}

func cds(owner, target string, port uint16) string { return dsync(owner, dns.TypeCDS, 1, port, target) }

// TestFindEndpoints has the examples of RFC 9859, sections 2.3 to 4.1, and mistakes of parents.
func TestFindEndpoints(t *testing.T) {
	scanner := "scanner.example.net. 60 A 192.0.2.1"
	for name, one := range map[string]struct {
		zone    string
		zones   string // besides the root
		records []string
		asked   string // for DSYNC
		want    string // the endpoints
		doubts  string
	}{
		"wildcard": {
			zone: "child.example", zones: "example.",
			records: []string{
				cds("*._dsync.example.", "Scanner.Example.NET.", 5359), scanner,
				dsync("*._dsync.example.", dns.TypeCSYNC, 1, 5360, "csync-scanner.example.net."),
			},
			asked: "child._dsync.example.", want: "scanner.example.net. [192.0.2.1:5359]",
		},
		"of the child alone": {
			zone: "child.example", zones: "example.",
			records: []string{
				cds("child._dsync.example.", "rr-endpoint.example.", 5300), "rr-endpoint.example. 60 A 10.0.0.1",
				"rr-endpoint.example. 60 AAAA 2001:db8::1",
			},
			asked: "child._dsync.example.", want: "rr-endpoint.example. [10.0.0.1:5300 [2001:db8::1]:5300]",
		},
		"delegated over labels": {
			zone: "subsub.sub.child.example", zones: "example.",
			records: []string{cds("subsub.sub.child._dsync.example.", "scanner.example.net.", 1), scanner},
			asked:   "subsub._dsync.sub.child.example. subsub.sub.child._dsync.example.",
			want:    "scanner.example.net. [192.0.2.1:1]",
		},
		"without a wildcard": {
			zone: "child.example", zones: "example.",
			records: []string{cds("_dsync.example.", "scanner.example.net.", 1), scanner},
			asked:   "child._dsync.example. _dsync.example.", want: "scanner.example.net. [192.0.2.1:1]",
		},
		"over labels without a wildcard": {
			zone: "city.ise.mie.jp", zones: "jp.",
			records: []string{cds("_dsync.jp.", "scanner.example.net.", 1), scanner},
			asked:   "city._dsync.ise.mie.jp. city.ise.mie._dsync.jp. _dsync.jp.",
			want:    "scanner.example.net. [192.0.2.1:1]",
		},
		"_dsync is a zone": {
			zone: "child.example", zones: "example. _dsync.example.",
			records: []string{cds("_dsync.example.", "scanner.example.net.", 1), scanner},
			asked:   "child._dsync.example. _dsync.example.", want: "scanner.example.net. [192.0.2.1:1]",
		},
		"a parent that does not take part": {
			zone: "child.example", zones: "example.", asked: "child._dsync.example. _dsync.example.",
		},
		"nobody up to the root takes part": {
			zone: "a.b.c", asked: "a._dsync.b.c. a.b.c._dsync. _dsync.",
		},
		"below the root": {
			zone: "example", records: []string{cds("_dsync.", "scanner.example.net.", 1), scanner},
			asked: "example._dsync. _dsync.", want: "scanner.example.net. [192.0.2.1:1]",
		},
		"the root": {zone: "."},
		"the name would be too long": {
			zone:  strings.Repeat("a23456789012345678901234567890.", 8) + "bcde",
			zones: "bcde.",
			asked: "_dsync." + strings.Repeat("a23456789012345678901234567890.", 7) + "bcde. _dsync.bcde.",
		},
		"for other types, and by other schemes": {
			zone: "child.example", zones: "example.",
			records: []string{
				dsync("*._dsync.example.", dns.TypeCSYNC, 1, 1, "x.example."),
				dsync("*._dsync.example.", dns.TypeCDS, 0, 1, "x.example."),
				dsync("*._dsync.example.", dns.TypeCDS, 200, 1, "x.example."),
			},
			asked: "child._dsync.example.",
		},
		"no port, no target": {
			zone: "child.example", zones: "example.",
			records: []string{cds("*._dsync.example.", "x.example.", 0), cds("*._dsync.example.", ".", 53)},
			asked:   "child._dsync.example.", doubts: "a DSYNC record has no port or no target",
		},
		"RDATA that is none": {
			zone: "child.example", zones: "example.",
			records: []string{
				`*._dsync.example. TYPE66 \# 5 003B010001`, `*._dsync.example. TYPE66 \# 7 003B010001C00C`,
			},
			asked:  "child._dsync.example.",
			doubts: "a DSYNC record is cut short; the target of a DSYNC record is compressed, or no name",
		},
		"a target without an address": {
			zone: "child.example", zones: "example.", records: []string{cds("*._dsync.example.", "x.example.", 53)},
			asked: "child._dsync.example.", want: "x.example. []", doubts: "x.example. has no address",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newResolver(t, one.zones, one.records...)
			got, err := FindEndpoints(t.Context(), []netip.AddrPort{r.address}, one.zone, dns.TypeCDS)
			if err != nil {
				t.Fatal(err)
			}
			if asked := strings.Join(r.asked, " "); asked != one.asked {
				t.Errorf("asked for %s, want %s", asked, one.asked)
			}
			var all []string
			for _, e := range got.All {
				all = append(all, fmt.Sprintf("%s %v", e.Target, e.Addresses))
			}
			if text := strings.Join(all, "; "); text != one.want {
				t.Errorf("the endpoints are %q, want %q", text, one.want)
			}
			if text := strings.Join(got.Doubts, "; "); text != one.doubts {
				t.Errorf("the doubts are %q, want %q", text, one.doubts)
			}
			if (got.Name != "") != got.Validated {
				t.Errorf("records at %q are validated: %v", got.Name, got.Validated)
			}
		})
	}
}

// TestHostileParent: whatever a parent or resolver answers costs no more than a few questions.
func TestHostileParent(t *testing.T) {
	find := func(r *resolver, zone string) (Endpoints, error) {
		return FindEndpoints(t.Context(), []netip.AddrPort{r.address}, zone, dns.TypeCDS)
	}
	var many []string
	for i := range 1000 {
		many = append(many, cds("*._dsync.example.", fmt.Sprintf("x%d.example.", i), 53),
			fmt.Sprintf("x0.example. 60 A 192.0.%d.%d", 2+i/250, i%250))
	}
	r := newResolver(t, "example.", many...)
	got, err := find(r, "child.example")
	if err != nil || len(got.All) != mostEndpoints || len(got.All[0].Addresses) != mostAddresses {
		t.Errorf("of a thousand records: %+v, %v", got, err)
	}
	if text := strings.Join(got.Doubts, "\n"); !strings.Contains(text, "the parent has 1000 DSYNC records where one") {
		t.Errorf("the doubts are %s", text)
	}

	// Each response names a zone further up than the one before.
	deep := strings.Repeat("x.", 60)
	r = newResolver(t, "")
	r.odd = func(m *dns.Msg) {
		name := m.Question[0].Name
		m.Ns[0].Header().Name = name[strings.Index(name, "_dsync.")+len("_dsync.x."):]
	}
	if _, err := find(r, deep); err == nil || !strings.Contains(err.Error(), "is not found in 6 lookups") ||
		len(r.asked) != mostLookups {
		t.Errorf("after %d lookups the error is %v", len(r.asked), err)
	}

	// Answers about other zones, or about zones below, lead nowhere.
	for _, apex := range []string{"other.", "y._dsync.example.", "child.example.", "_dsync.example."} {
		r = newResolver(t, "")
		r.odd = func(m *dns.Msg) { m.Ns[0].Header().Name = apex }
		if got, err := find(r, "child.example"); err != nil || got.Name != "" || len(r.asked) != 2 {
			t.Errorf("a SOA of %s: %+v, %v, after %v", apex, got, err, r.asked)
		}
	}

	fails, works := newResolver(t, ""), newResolver(t, "example.", cds("_dsync.example.", "x.example.", 53))
	fails.odd = func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }
	works.odd = func(m *dns.Msg) { m.AuthenticatedData = false }
	both := []netip.AddrPort{fails.address, works.address}
	if got, err := FindEndpoints(t.Context(), both, "child.example", dns.TypeCDS); err != nil || got.Validated ||
		got.Name != "_dsync.example." {
		t.Errorf("a resolver that fails, and one that does not validate: %+v, %v", got, err)
	}
	if _, err := find(fails, "child.example"); err == nil || !strings.Contains(err.Error(), "SERVFAIL") {
		t.Errorf("a resolver that fails: %v", err)
	}
	if _, err := FindEndpoints(t.Context(), nil, "child.example", dns.TypeCDS); err == nil {
		t.Error("nobody can be asked, and there is no error")
	}
}

// TestParseDSYNC makes RDATA from fields, and reads it.
func TestParseDSYNC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var target strings.Builder
		for range rapid.IntRange(1, 4).Draw(t, "labels") {
			target.WriteString(rapid.StringMatching(`[a-z0-9_-]{1,63}\.`).Draw(t, "label"))
		}
		want := DSYNC{
			rapid.Uint16().Draw(t, "type"), rapid.Uint8().Draw(t, "scheme"), rapid.Uint16().Draw(t, "port"),
			target.String(),
		}
		if len(want.Target) > 254 {
			t.Skip("too long for a name")
		}
		text := strings.Fields(dsync("x.", want.Type, want.Scheme, want.Port, strings.ToUpper(want.Target)))
		data, err := hex.DecodeString(text[len(text)-1])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseDSYNC(data); err != nil || got != want {
			t.Fatalf("%x is read as %+v, %v, want %+v", data, got, err, want)
		}
		for cut := range data {
			if got, err := ParseDSYNC(data[:cut]); err == nil {
				t.Fatalf("%x is read as %+v, though it is cut short", data[:cut], got)
			}
		}
	})
}

func FuzzParseDSYNC(f *testing.F) {
	f.Add([]byte("\x00\x3b\x01\x14\xef\x03cds\x07example\x00"))
	f.Add([]byte("\x00\x3b\x01\x14\xef\xc0\x00"))
	f.Add([]byte("\x00\x3b\x01\x14\xef\x01.\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ParseDSYNC(data)
		if err != nil {
			return
		}
		again := []byte{byte(d.Type >> 8), byte(d.Type), d.Scheme, byte(d.Port >> 8), byte(d.Port)}
		name := make([]byte, 255)
		end, err := dns.PackDomainName(d.Target, name, 0, nil, false)
		if err != nil {
			t.Fatalf("%q is no name: %v", d.Target, err)
		}
		again = append(again, name[:end]...)
		if !slices.Equal(again[:5], data[:5]) || !bytes.EqualFold(again[5:], data[5:]) {
			t.Errorf("%x was read as %x", data, again)
		}
	})
}
