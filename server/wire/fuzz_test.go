package wire

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// FuzzParse: nothing panics, whatever comes. Whatever is not dropped gets a reply that the oracle can read. What the
// oracle reads as a plain query is read the same way here.
func FuzzParse(f *testing.F) {
	f.Add(plain())
	f.Add(usual())
	f.Add(plain(optRecord(512, 1<<16), record("\x01k\x00", TypeTSIG, ClassANY, 0)))
	f.Add(request(header{qd: 1, an: 1}, question("\x00", 2), record("\xc0\x0c", 1, 1, 0, 1, 2, 3, 4)))
	f.Add(request(header{flags: 4 << 11, qd: 1}, question(www, 6)))
	f.Add(request(header{qd: 1}, question("\x01a\xc0\x0c", 1)))
	buf := make([]byte, 0, MaxMessage)
	f.Fuzz(func(t *testing.T, msg []byte) {
		var q Query
		verdict := q.Parse(msg)
		if verdict == Drop {
			if len(msg) >= HeaderSize && msg[2]&flagQR == 0 {
				t.Fatal("a request was dropped")
			}
			return
		}
		b := Builder{NSID: []byte("id")}
		response := b.Reply(buf, q.Limit(1232), &q, verdict.Rcode())
		reply := unpacked(t, response)
		if reply.Id != binary.BigEndian.Uint16(msg) || !reply.Response || reply.IsEdns0() != nil != q.EDNS {
			t.Fatalf("the reply does not match: %v", reply)
		}
		if q.Question != nil && !bytes.Equal(response[HeaderSize:HeaderSize+len(q.Question)], q.Question) {
			t.Fatal("the question is not echoed as it was sent")
		}

		var m dns.Msg
		if m.Unpack(msg) != nil || !ordinary(&m, msg) {
			return
		}
		opt := m.IsEdns0()
		if opt != nil && opt.Version() != 0 {
			if verdict != BadVers {
				t.Fatalf("version %d: %v", opt.Version(), verdict)
			}
			return
		}
		if verdict == FormErr && strict(opt) {
			return
		}
		if verdict != OK {
			t.Fatalf("%v, and the oracle reads it:\n%v", verdict, &m)
		}
		wire := make([]byte, MaxName+1)
		n, err := dns.PackDomainName(m.Question[0].Name, wire, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		if lower(wire[:n], wire[:n]); !bytes.Equal(q.Name(), wire[:n]) {
			t.Fatalf("name %q, the oracle has %q", q.Name(), wire[:n])
		}
		if len(q.Labels()) != dns.CountLabel(m.Question[0].Name) {
			t.Fatalf("%d labels in %s", len(q.Labels()), m.Question[0].Name)
		}
		if q.Type != m.Question[0].Qtype || q.Class != m.Question[0].Qclass || q.RD != m.RecursionDesired ||
			q.CD != m.CheckingDisabled {
			t.Fatalf("question or header: %+v, the oracle has %v", q, &m)
		}
		if q.EDNS != (opt != nil) {
			t.Fatalf("EDNS %v", q.EDNS)
		}
		if opt == nil {
			return
		}
		if q.UDPSize != max(512, opt.UDPSize()) || q.DO != opt.Do() {
			t.Fatalf("size %d, DO %v, the oracle has %v", q.UDPSize, q.DO, opt)
		}
		for _, o := range opt.Option {
			e, ok := o.(*dns.EDNS0_SUBNET)
			if !ok {
				continue
			}
			if !q.ECS.Present || q.ECS.Family != e.Family || q.ECS.Source != e.SourceNetmask {
				t.Fatalf("client subnet %+v, the oracle has %v", q.ECS, e)
			}
			if addr, _ := netip.AddrFromSlice(e.Address.To16()); e.Family != 0 && q.ECS.Addr.Unmap() != addr.Unmap() {
				t.Fatalf("client subnet %v, the oracle has %v", q.ECS.Addr, e)
			}
			break
		}
	})
}

// ordinary reports whether a server must be able to read the message. The oracle reads more than a server should.
func ordinary(m *dns.Msg, msg []byte) bool {
	if m.Response || m.Opcode != dns.OpcodeQuery || len(m.Question) != 1 || len(m.Answer)+len(m.Ns) > 0 ||
		len(m.Extra) > 1 {
		return false
	}
	for i, c := range []int{1, 0, 0, len(m.Extra)} {
		if int(binary.BigEndian.Uint16(msg[4+2*i:])) != c {
			return false // it stops reading where a message ends early
		}
	}
	end, ok := 12, true
	for ok && end < len(msg) && msg[end] != 0 {
		ok = msg[end] < 64
		end += int(msg[end]) + 1
	}
	if !ok || end+5 > len(msg) { // a compressed question, or one that ends early
		return false
	}
	if len(m.Extra) == 0 {
		return true
	}
	opt, is := m.Extra[0].(*dns.OPT)
	return is && opt.Hdr.Name == "." && msg[end+5] == 0
}

// strict reports whether there is an option of RFC 7871, 7873 or 7828. The oracle accepts forms that these forbid.
func strict(opt *dns.OPT) bool {
	return opt != nil && slices.ContainsFunc(opt.Option, func(o dns.EDNS0) bool {
		return o.Option() == optionECS || o.Option() == optionCookie || o.Option() == optionKeepalive
	})
}

// FuzzSubnet puts any octets into a CLIENT-SUBNET option. An option that is well-formed by RFC 7871 section 6, which
// this test states a second time in bits, is read, and comes back with only its scope changed. Everything else is
// FORMERR.
func FuzzSubnet(f *testing.F) {
	f.Add([]byte{0, 1, 24, 0, 198, 51, 100})
	f.Add([]byte{0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0})
	f.Add([]byte{0, 1, 20, 0, 198, 51, 0xf0})
	f.Add([]byte{0, 1, 20, 0, 198, 51, 0xf8})
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 1, 24, 24, 198, 51, 100})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<10 {
			return
		}
		var q Query
		verdict := q.Parse(plain(optRecord(1232, 0, option(optionECS, data...))))
		if want := subnetHolds(data); (verdict == OK) != want || verdict != OK && verdict != FormErr {
			t.Fatalf("%x: %v, well-formed %v", data, verdict, want)
		}
		if verdict != OK {
			return
		}
		var b Builder
		b.Start(make([]byte, 0, 1232), 1232, &q)
		b.SetScope(17)
		reply := unpacked(t, b.Finish())
		echo, ok := reply.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
		scope := uint8(17)
		if q.ECS.Family == 0 {
			scope = 0
		}
		if !ok || echo.Family != q.ECS.Family || echo.SourceNetmask != data[2] || echo.SourceScope != scope ||
			!bytes.Equal(q.ECS.Raw, data) {
			t.Fatalf("%x comes back as %v", data, echo)
		}
		if q.ECS.Family != 0 && (netip.PrefixFrom(q.ECS.Addr, int(q.ECS.Source)).Masked().Addr() != q.ECS.Addr ||
			!bytes.HasPrefix(q.ECS.Addr.AsSlice(), data[4:])) {
			t.Fatalf("%x is read as %v/%d", data, q.ECS.Addr, q.ECS.Source)
		}
	})
}

// subnetHolds is the oracle of FuzzSubnet.
func subnetHolds(data []byte) bool {
	if len(data) < 4 || data[0] != 0 || data[1] > 2 || data[3] != 0 {
		return false
	}
	source, address := int(data[2]), data[4:]
	if source > []int{0, 32, 128}[data[1]] || len(address) != (source+7)/8 {
		return false
	}
	for bit := source; bit < 8*len(address); bit++ {
		if address[bit/8]>>(7-bit%8)&1 == 1 {
			return false
		}
	}
	return true
}
