package socket

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leeward/server/answer"

	"github.com/miekg/dns"
)

// handler answers as the real handlers do: with a refusal, a signed update, or a zone in many messages.
func handler(ctx context.Context, x *answer.Exchange) {
	m := append([]byte(nil), x.Request...)
	m[2] |= 0x80
	many := x.Kind == answer.Transfer && strings.Contains(string(x.Request), "allowed")
	for i := 0; ctx.Err() == nil && x.Write(m) == nil && many && i < 1000; i++ {
	}
}

// asked returns a request of every kind that TCP takes: opcodes, types, with and without a signature.
func asked(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for opcode := range 16 {
		for _, kind := range []uint16{dns.TypeA, dns.TypeSOA, dns.TypeTXT, dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR} {
			for _, zone := range []string{"example.test.", "huge.example.test.", "allowed.test."} {
				for _, signed := range []bool{false, true} {
					if opcode != dns.OpcodeQuery && (kind != dns.TypeSOA || zone != "example.test.") {
						continue // they are all the same
					}
					m := question(zone, kind)
					m.Opcode = opcode
					b, err := m.Pack()
					if signed {
						m.SetTsig("stranger.", dns.HmacSHA256, 300, 1_800_000_000)
						b, _, err = dns.TsigGenerate(m, "c2VjcmV0", "", false)
					}
					if err != nil {
						t.Fatal(err)
					}
					all[fmt.Sprintf("%s %s %s signed=%v", dns.OpcodeToString[opcode], dns.TypeToString[kind], zone,
						signed)] = b
				}
			}
		}
	}
	return all
}

// TestDeafClientsShutNobodyOut: clients that do not read ask for anything, fill all places, and come from many
// addresses. A moment later others are still answered: queries, and what is answered later.
func TestDeafClientsShutNobodyOut(t *testing.T) {
	const room, each = 170, 10
	for name, request := range asked(t) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, func(o *setup) {
				o.later(handler)
				o.TCP = TCPLimits{Connections: room, PerClient: each}
			})
			flood := append(binary.BigEndian.AppendUint16(nil, uint16(len(request))), request...)
			flood = []byte(strings.Repeat(string(flood), 20))
			stop := make(chan struct{})
			for n := range room + each {
				go func() { // it connects again whenever it is thrown out
					for {
						conn, _, ended := piped(s, fmt.Sprintf("192.0.2.%d", 1+n/each))
						go func() { _, _ = conn.Write(flood) }()
						select {
						case <-ended:
							time.Sleep(10 * time.Millisecond) // a connection takes a while
						case <-stop:
							_ = conn.Close()
							<-ended
							return
						}
						_ = conn.Close()
					}
				}()
			}
			synctest.Wait()
			time.Sleep(readGrace + time.Millisecond)
			for _, honest := range []string{
				"NOTIFY SOA example.test. signed=false",
				"QUERY A example.test. signed=false", "QUERY AXFR example.test. signed=false",
			} {
				m := asked(t)[honest]
				begin := time.Now()
				var err error
				for try := 0; ; try++ {
					var conn net.Conn
					conn, _, _ = piped(s, "198.51.100.1")
					_ = conn.SetDeadline(time.Now().Add(3 * readGrace))
					if _, err = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))),
						m...)); err == nil {
						_, err = (&dns.Conn{Conn: conn}).ReadMsg()
					}
					_ = conn.Close()
					if err == nil || try == 2 { // resolvers do the same
						break
					}
				}
				if took := time.Since(begin); err != nil || took > 3*readGrace {
					t.Errorf("deaf clients ask for %s: %s is answered after %v: %v", name, honest, took, err)
				}
			}
			close(stop)
			synctest.Wait()
			time.Sleep(10 * time.Second)
			for s.table.size() > 0 {
				time.Sleep(time.Second)
			}
		})
	}
}
