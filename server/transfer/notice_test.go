package transfer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"leeward/zones/rr"
)

// hears receives NOTIFY on a port of its own, answers with an RCODE, and returns what has come.
func hears(t *testing.T, rcode int) (netip.AddrPort, chan *dns.Msg) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan *dns.Msg, 8)
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		heard <- q
		_ = w.WriteMsg(new(dns.Msg).SetRcode(q, rcode))
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ActivateAndServe() }()
	t.Cleanup(func() { conn.Close(); <-done })
	return conn.LocalAddr().(*net.UDPAddr).AddrPort(), heard
}

// TestNoticeOfCDS: a notice of CDS has the form of RFC 9859, and goes to the next address if one does not answer.
func TestNoticeOfCDS(t *testing.T) {
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.LocalAddr().(*net.UDPAddr).AddrPort()
	closed.Close()
	there, heard := hears(t, dns.RcodeSuccess)
	n := Notice{Zone: rr.Name("\x07example\x04test\x00"), Type: rr.TypeCDS}
	if answered, err := n.Send(t.Context(), []netip.AddrPort{nobody, there}); !answered || err != nil {
		t.Fatalf("answered is %v, with error %v", answered, err)
	}
	q := <-heard
	want := []dns.Question{{Name: "example.test.", Qtype: dns.TypeCDS, Qclass: dns.ClassINET}}
	if q.Opcode != dns.OpcodeNotify || q.Response || !q.Authoritative || q.RecursionDesired ||
		!slices.Equal(q.Question, want) || len(q.Answer)+len(q.Ns)+len(q.Extra) > 0 {
		t.Errorf("the notice is\n%s", q)
	}

	refuses, heard := hears(t, dns.RcodeRefused)
	answered, err := n.Send(t.Context(), []netip.AddrPort{refuses})
	if !answered || err == nil || !strings.Contains(err.Error(), refuses.String()+": answered with RCODE 5") {
		t.Errorf("who refuses: answered is %v, with error %v", answered, err)
	}
	if <-heard; len(heard) > 0 {
		t.Error("who refuses is asked again")
	}
	if answered, err := n.Send(t.Context(), nil); answered || err == nil {
		t.Errorf("to nobody: answered is %v, with error %v", answered, err)
	}
}

// TestTries: a server that never answers gets six tries, and each has its wait, even if sending fails at once.
func TestTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		began := time.Now()
		fails := errors.New("refused")
		once := func(try int, _ time.Duration) (bool, error) {
			if try != len(at) {
				t.Errorf("try %d is told to be try %d", len(at), try)
			}
			at = append(at, time.Since(began))
			return false, fails
		}
		if err := tries(t.Context(), once); !errors.Is(err, fails) {
			t.Errorf("the error is %v", err)
		}
		second := time.Second
		want := []time.Duration{0, 2 * second, 6 * second, 14 * second, 30 * second, 62 * second}
		if !slices.Equal(at, want) {
			t.Errorf("tries are at %v, want %v", at, want)
		}
		at = nil
		ctx, stop := context.WithTimeout(t.Context(), 3*second)
		defer stop()
		began = time.Now()
		if err := tries(ctx, once); !errors.Is(err, fails) || time.Since(began) != 3*second || len(at) != 2 {
			t.Errorf("who is told to end does so after %v and %d tries with error %v", time.Since(began), len(at), err)
		}
	})
}
