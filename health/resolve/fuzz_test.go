package resolve

import (
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// FuzzRead: whatever a resolver sends, reading it ends, and gives only addresses that an Answer can have.
func FuzzRead(f *testing.F) {
	name := dnsmessage.MustNewName("lb.example.")
	head := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 60}
	for _, m := range []dnsmessage.Message{
		{Header: dnsmessage.Header{Response: true, RecursionAvailable: true}, Answers: []dnsmessage.Resource{
			{Header: head, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}},
		}},
		{Header: dnsmessage.Header{Response: true, Authoritative: true}, Answers: []dnsmessage.Resource{
			{Header: head, Body: &dnsmessage.CNAMEResource{CNAME: name}},
			{Header: head, Body: &dnsmessage.AAAAResource{AAAA: [16]byte{0x20, 1, 13: 1}}},
		}},
		{Header: dnsmessage.Header{Response: true, RCode: dnsmessage.RCodeNameError}},
		{Header: dnsmessage.Header{Response: true, RCode: 11}},
	} {
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m dnsmessage.Message
		if m.Unpack(b) != nil {
			return
		}
		var replies [2]reply
		for i, typ := range [...]dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
			found, err := read(m, "lb.example", typ)
			if err == nil && (found.ttl < 0 || found.ttl > MaxInterval) {
				t.Fatalf("TTL %v", found.ttl)
			}
			replies[i] = reply{addresses: found.addresses, ttl: found.ttl, err: err, absent: found.absent}
		}
		a := Answer{Hostname: "lb.example"}.fold(replies[0], replies[1], time.Unix(1, 0))
		if a.Err == "" && len(a.Addresses) == 0 {
			t.Fatalf("no fault and no address: %+v", replies)
		}
	})
}
