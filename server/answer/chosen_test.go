package answer

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/server/wire"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// TestSignedAhead: once the server has seen what it serves, no answer makes a signature, whatever has failed. That
// holds when few sets are drawn from many, and in the epoch that comes next.
func TestSignedAhead(t *testing.T) {
	f, key := newSigned(t)
	var more strings.Builder
	more.WriteString("{kind: Pool, name: many, region: eu, monitor: m}\n")
	for i := range 20 {
		fmt.Fprintf(&more, "---\n{kind: Endpoint, name: many/e%d, weight: %d, addresses: [198.51.100.%d]}\n",
			i, 1+i%3, i)
	}
	for _, pick := range []string{"weighted", "sticky", "all"} {
		fmt.Fprintf(&more, "---\n{kind: Policy, name: %s.signed.test, answers: 3, pick: %s,\n"+
			"rules: [{failover: [many]}]}\n", pick, pick)
	}
	more.WriteString("---\n{kind: Policy, name: wildcard.signed.test, answers: 2, rules: [{failover: [p, many]}]}\n")
	f.apply(t, more.String())
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := r.newWorker(udp)
	var signer *dnssec.Signer
	f.snapshot.Signed(func(_ rr.Name, s *dnssec.Signer) bool { signer = s; return true })
	var chosen snapshot.Chosen
	names := map[string]int{"weighted": 3, "sticky": 3, "all": 20, "wildcard": 2, "three": 3}
	see := func() {
		t.Helper()
		s := f.state()
		r.Publish(s)
		chosen.See(s.Snapshot, s.View)
		for more := true; more; {
			if more, err = chosen.Next(); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask := func(down int) {
		t.Helper()
		before := signer.Now().Len()
		for name, want := range names {
			if name == "all" {
				want -= down
			}
			for i := range 100 {
				reply := new(dns.Msg)
				client := netip.AddrFrom4([4]byte{10, 0, byte(i)})
				response := w.answer(signedRequest(t, name+".signed.test.", dns.TypeA, true), client,
					make([]byte, 0, wire.UDPSize))
				if err := reply.Unpack(response); err != nil {
					t.Fatal(err)
				}
				last := len(reply.Answer) - 1
				if s, is := reply.Answer[last].(*dns.RRSIG); !is || s.Verify(key, reply.Answer[:last]) != nil ||
					last != want {
					t.Fatalf("%s, %d down: %v", name, down, reply)
				}
			}
		}
		if n := signer.Now().Len() - before; n > 0 {
			t.Errorf("%d down: answers have made %d signatures", down, n)
		}
	}
	see()
	ask(0)
	for i := range 3 {
		f.down[fmt.Sprintf("many/e%d", 5*i)] = true
		see()
		ask(i + 1)
	}
	signer.Prepare(time.Now().Add(dnssec.EpochLength))
	if _, err := f.snapshot.Prepare("\x06signed\x04test\x00"); err != nil {
		t.Fatal(err)
	}
	chosen.Again()
	see()
	signer.Turn()
	ask(3)
}

// TestSignedLong: endpoints come and go all day. Signatures of what is gone do not pile up, and everything that is
// there has one.
func TestSignedLong(t *testing.T) {
	f, _ := newSigned(t)
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := r.newWorker(udp)
	var signer *dnssec.Signer
	f.snapshot.Signed(func(_ rr.Name, s *dnssec.Signer) bool { signer = s; return true })
	var chosen snapshot.Chosen
	most, peak := 3*signer.Now().Len()+1<<12+200, 0
	for turn := range 3200 {
		f.apply(t, fmt.Sprintf("{kind: Endpoint, name: p/a, addresses: [10.%d.%d.1]}", turn>>8, turn&255))
		s := f.state()
		r.Publish(s)
		chosen.See(s.Snapshot, s.View)
		for more := true; more; {
			if more, err = chosen.Next(); err != nil {
				t.Fatal(err)
			}
		}
		fixed, _ := signer.Now().Held()
		if peak = max(peak, fixed); fixed > most {
			t.Fatalf("after %d changes %d signatures, want at most %d", turn, fixed, most)
		}
		if turn%500 == 0 || turn > 3190 {
			before := signer.Now().Len()
			for _, q := range signedQuestions {
				w.answer(signedRequest(t, q.name, q.typ, true), netip.MustParseAddr("192.0.2.99"),
					make([]byte, 0, wire.UDPSize))
			}
			if n := signer.Now().Len() - before; n > 0 {
				t.Errorf("after %d changes answers had to make %d signatures", turn, n)
			}
		}
	}
	t.Log("at most", peak)
}
