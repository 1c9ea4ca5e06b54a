//go:build linux

package conformance

import (
	wirebytes "encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// rawProbe is a message that need not be valid, made octet by octet from words such as "www.example.test A edns
// version=1 option=65001:abcd". Words, after the name and the type ("-" for no question):
//
//	rd cd ad aa tc z qr opcode=N rcode=N class=NAME qdcount=N trailing=N
//	edns size=N version=N do flags=HEX xrcode=N owner=NAME section=answer|authority twice
//	nsid ecs=PREFIX ecs=hex:HEX cookie=client|good|bad|hex:HEX keepalive keepalive=N padding=N
//	option=CODE option=CODE:HEX
//	overlong  the last option says that it is one octet longer than the record
//	stub      half an option's header at the end
type rawProbe struct {
	name, words string
	cookie      string // of the server that is asked, in hexadecimal: what cookie=good sends
}

const (
	clientCookie = "0123456789abcdef"
	otherCookie  = clientCookie + "0100000012345678fedcba9876543210" // of an unknown secret
)

// has says whether the probe has a word.
func (p rawProbe) has(word string) bool { return slices.Contains(strings.Fields(p.words), word) }

// pack makes the message.
func (p rawProbe) pack(id uint16) ([]byte, error) {
	words := strings.Fields(p.words)
	if len(words) < 2 {
		return nil, fmt.Errorf("%s: a name and a type, or - -", p.name)
	}
	m := make([]byte, 12, 512)
	wirebytes.BigEndian.PutUint16(m, id)
	class, count := uint16(dns.ClassINET), -1
	var options []byte
	option := func(code uint16, data []byte) {
		options = wirebytes.BigEndian.AppendUint16(options, code)
		options = wirebytes.BigEndian.AppendUint16(options, uint16(len(data)))
		options = append(options, data...)
	}
	size, version, flags, xrcode, owner, section := 1232, 0, uint16(0), 0, ".", "additional"
	edns, twice, overlong, trailing := false, false, false, 0
	for _, word := range words[2:] {
		key, value, _ := strings.Cut(word, "=")
		n, _ := strconv.Atoi(value)
		octets, err := hex.DecodeString(strings.TrimPrefix(value, "hex:"))
		switch key {
		case "rd":
			m[2] |= 0x01
		case "tc":
			m[2] |= 0x02
		case "aa":
			m[2] |= 0x04
		case "qr":
			m[2] |= 0x80
		case "opcode":
			m[2] |= byte(n) << 3
		case "cd":
			m[3] |= 0x10
		case "ad":
			m[3] |= 0x20
		case "z":
			m[3] |= 0x40
		case "rcode":
			m[3] |= byte(n)
		case "class":
			class = dns.StringToClass[value]
		case "qdcount":
			count = n
		case "trailing":
			trailing = n
		default:
			edns = true
			switch key {
			case "edns":
			case "size":
				size = n
			case "version":
				version = n
			case "do":
				flags |= 0x8000
			case "flags":
				if err != nil || len(octets) != 2 {
					return nil, fmt.Errorf("%s: %s", p.name, word)
				}
				flags |= wirebytes.BigEndian.Uint16(octets)
			case "xrcode":
				xrcode = n
			case "owner":
				owner = dns.Fqdn(value)
			case "section":
				section = value
			case "twice":
				twice = true
			case "overlong":
				overlong = true
			case "stub":
				options = append(options, 0, 10, 0)
			case "nsid":
				option(dns.EDNS0NSID, nil)
			case "keepalive":
				option(dns.EDNS0TCPKEEPALIVE, make([]byte, n))
			case "padding":
				option(dns.EDNS0PADDING, make([]byte, n))
			case "cookie":
				text := map[string]string{"client": clientCookie, "good": p.cookie, "bad": otherCookie}[value]
				if text == "" {
					text = strings.TrimPrefix(value, "hex:")
				}
				if octets, err = hex.DecodeString(text); err != nil {
					return nil, fmt.Errorf("%s: %s: %w", p.name, word, err)
				}
				option(dns.EDNS0COOKIE, octets)
			case "ecs":
				if strings.HasPrefix(value, "hex:") {
					option(dns.EDNS0SUBNET, octets)
					break
				}
				prefix, err := netip.ParsePrefix(value)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", p.name, err)
				}
				family := byte(1)
				if prefix.Addr().Is6() {
					family = 2
				}
				data := []byte{0, family, byte(prefix.Bits()), 0}
				option(dns.EDNS0SUBNET, append(data, prefix.Addr().AsSlice()[:(prefix.Bits()+7)/8]...))
			case "option":
				code, data, _ := strings.Cut(value, ":")
				n, err := strconv.Atoi(code)
				if octets, err2 := hex.DecodeString(data); err != nil || err2 != nil {
					return nil, fmt.Errorf("%s: %s", p.name, word)
				} else {
					option(uint16(n), octets)
				}
			default:
				return nil, fmt.Errorf("%s: no word %q", p.name, word)
			}
		}
	}
	if words[0] != "-" {
		name := make([]byte, 256)
		n, err := dns.PackDomainName(dns.Fqdn(words[0]), name, 0, nil, false)
		if err != nil {
			return nil, err
		}
		kind, known := dns.StringToType[words[1]]
		if !known {
			return nil, fmt.Errorf("%s: no type %q", p.name, words[1])
		}
		if count < 0 {
			count = 1
		}
		for range count {
			m = append(m, name[:n]...)
			m = wirebytes.BigEndian.AppendUint16(m, kind)
			m = wirebytes.BigEndian.AppendUint16(m, class)
		}
		m[5] = byte(count)
	}
	if edns {
		name := make([]byte, 256)
		n, err := dns.PackDomainName(owner, name, 0, nil, false)
		if err != nil {
			return nil, err
		}
		record := append([]byte(nil), name[:n]...)
		record = wirebytes.BigEndian.AppendUint16(record, dns.TypeOPT)
		record = wirebytes.BigEndian.AppendUint16(record, uint16(size))
		record = append(record, byte(xrcode), byte(version))
		record = wirebytes.BigEndian.AppendUint16(record, flags)
		if overlong {
			last := len(options) - 1
			options = options[:last]
		}
		record = wirebytes.BigEndian.AppendUint16(record, uint16(len(options)))
		record = append(record, options...)
		at := map[string]int{"answer": 7, "authority": 9, "additional": 11}[section]
		m = append(m, record...)
		m[at]++
		if twice {
			m = append(m, record...)
			m[at]++
		}
	}
	return append(m, make([]byte, trailing)...), nil
}

// summary is a reply in words: RCODE, header bits, TC, counts, and the OPT record with its options. Whatever differs
// each time (a cookie) or for each server (a name) is there by kind.
func (p rawProbe) summary(wire []byte) string {
	var m dns.Msg
	if err := m.Unpack(wire); err != nil {
		return "unreadable"
	}
	rcode := m.Rcode
	opt := m.IsEdns0()
	words := []string{dns.RcodeToString[rcode]}
	if rcode == dns.RcodeBadVers {
		words[0] = "BADVERS" // 16 is BADSIG as well
	}
	for _, f := range []struct {
		set  bool
		name string
	}{
		{!m.Response, "not-qr"},
		{m.Authoritative, "aa"},
		{m.Truncated, "tc"},
		{m.RecursionDesired, "rd"},
		{m.RecursionAvailable, "ra"},
		{m.AuthenticatedData, "ad"},
		{m.CheckingDisabled, "cd"},
		{m.Zero, "z"},
	} {
		if f.set {
			words = append(words, f.name)
		}
	}
	if len(m.Question) != 1 {
		words = append(words, fmt.Sprintf("question=%d", len(m.Question)))
	}
	if n := len(m.Answer); n > 0 {
		words = append(words, fmt.Sprintf("answer=%d", n))
	}
	if n := len(m.Ns); n > 0 {
		words = append(words, fmt.Sprintf("authority=%d", n))
	}
	if opt == nil {
		return strings.Join(words, " ")
	}
	words = append(words, fmt.Sprintf("opt=%d", opt.UDPSize()))
	if opt.Version() != 0 {
		words = append(words, fmt.Sprintf("version=%d", opt.Version()))
	}
	if opt.Do() {
		words = append(words, "do")
	}
	if z := opt.Hdr.Ttl & 0x7fff; z != 0 {
		words = append(words, fmt.Sprintf("flags=%04x", z))
	}
	for _, o := range opt.Option {
		switch o := o.(type) {
		case *dns.EDNS0_NSID:
			name, _ := hex.DecodeString(o.Nsid)
			words = append(words, "nsid="+string(name))
		case *dns.EDNS0_SUBNET:
			words = append(words, fmt.Sprintf("ecs=%s/%d/%d", o.Address, o.SourceNetmask, o.SourceScope))
		case *dns.EDNS0_COOKIE:
			switch {
			case !strings.HasPrefix(o.Cookie, clientCookie) || len(o.Cookie) != 48:
				words = append(words, "cookie=odd")
			case o.Cookie == otherCookie:
				words = append(words, "cookie=echoed")
			case o.Cookie == p.cookie:
				words = append(words, "cookie=same")
			default:
				words = append(words, "cookie=new")
			}
		case *dns.EDNS0_TCP_KEEPALIVE:
			words = append(words, fmt.Sprintf("keepalive=%d", o.Timeout))
		case *dns.EDNS0_EDE:
			words = append(words, fmt.Sprintf("ede=%d", o.InfoCode))
		case *dns.EDNS0_PADDING:
			words = append(words, fmt.Sprintf("padding=%d", len(o.Padding)))
		default:
			words = append(words, fmt.Sprintf("option=%d", o.Option()))
		}
	}
	return strings.Join(words, " ")
}

// alike is the part of a summary that is compared among servers. It leaves out how large a datagram a server accepts,
// its name, for how long it keeps a connection, what it says beside the RCODE (RFC 8914), and how much of a truncated
// answer it sends.
func alike(summary string) string {
	words := strings.Fields(summary)
	if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "opt=") }); i >= 0 {
		slices.Sort(words[i+1:]) // options come in any order
	}
	truncated := slices.Contains(words, "tc")
	var out []string
	for _, w := range words {
		key, _, _ := strings.Cut(w, "=")
		switch {
		case key == "ede", key == "authority", key == "answer" && truncated:
		case key == "opt", key == "nsid", key == "keepalive":
			out = append(out, key)
		default:
			out = append(out, w)
		}
	}
	return strings.Join(out, " ")
}

// cookieOf is the whole cookie of a reply, in hexadecimal.
func cookieOf(wire []byte) string {
	var m dns.Msg
	if m.Unpack(wire) == nil && m.IsEdns0() != nil {
		for _, o := range m.IsEdns0().Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
	}
	return ""
}
