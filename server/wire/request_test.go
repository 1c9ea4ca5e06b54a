package wire

import (
	"encoding/binary"
	"testing"

	"github.com/miekg/dns"
)

// Tests put a request together from octets: a header, and then whatever parts it has.

type header struct {
	flags      uint16
	qd, an, ns uint16
	ar         uint16
}

func request(h header, parts ...[]byte) []byte {
	msg := binary.BigEndian.AppendUint16(nil, 0xbeef)
	for _, v := range []uint16{h.flags, h.qd, h.an, h.ns, h.ar} {
		msg = binary.BigEndian.AppendUint16(msg, v)
	}
	for _, p := range parts {
		msg = append(msg, p...)
	}
	return msg
}

func question(name string, qtype uint16) []byte {
	return append([]byte(name), byte(qtype>>8), byte(qtype), 0, 1)
}

// record makes a record, with its owner in wire form.
func record(owner string, kind, class uint16, ttl uint32, data ...byte) []byte {
	r := []byte(owner)
	r = binary.BigEndian.AppendUint16(r, kind)
	r = binary.BigEndian.AppendUint16(r, class)
	r = binary.BigEndian.AppendUint32(r, ttl)
	r = binary.BigEndian.AppendUint16(r, uint16(len(data)))
	return append(r, data...)
}

func optRecord(size uint16, ttl uint32, options ...[]byte) []byte {
	var data []byte
	for _, o := range options {
		data = append(data, o...)
	}
	return record("\x00", TypeOPT, size, ttl, data...)
}

func option(code uint16, data ...byte) []byte {
	o := binary.BigEndian.AppendUint16(nil, code)
	o = binary.BigEndian.AppendUint16(o, uint16(len(data)))
	return append(o, data...)
}

const www = "\x03wWw\x07eXample\x04TEST\x00"

// plain makes a QUERY for www.example.test A.
func plain(records ...[]byte) []byte {
	return request(header{qd: 1, ar: uint16(len(records))}, append([][]byte{question(www, TypeA)}, records...)...)
}

// parsed reads a Query from a request that must be OK.
func parsed(t testing.TB, msg []byte) *Query {
	t.Helper()
	q := new(Query)
	if v := q.Parse(msg); v != OK {
		t.Fatalf("Parse(% x) = %v, want OK", msg, v)
	}
	return q
}

// unpacked is a response as the oracle reads it.
func unpacked(t testing.TB, response []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(response); err != nil {
		t.Fatalf("the oracle cannot read the response: %v\n% x", err, response)
	}
	return m
}
