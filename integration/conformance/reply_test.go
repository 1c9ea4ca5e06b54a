//go:build linux

package conformance

import (
	wirebytes "encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// reply is the part of a response that is compared: sections as sorted lines, names in lower case.
type reply struct {
	fault     string // instead of all else: no response, or one that cannot be read
	rcode     int
	aa, tc    bool
	answer    []string
	authority []string
	glue      []string // addresses of name servers below the cut
	other     []string // the rest of the additional section, without OPT: not compared
	opt       bool
}

func (r *reply) String() string {
	if r.fault != "" {
		return r.fault + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s aa=%v tc=%v opt=%v\n", dns.RcodeToString[r.rcode], r.aa, r.tc, r.opt)
	for _, s := range []struct {
		name  string
		lines []string
	}{{"answer", r.answer}, {"authority", r.authority}, {"glue", r.glue}, {"additional", r.other}} {
		for _, l := range s.lines {
			fmt.Fprintf(&b, "  %s %s\n", s.name, l)
		}
	}
	return b.String()
}

// Fields of a reply that can differ.
const (
	fieldFault     = "reply"
	fieldRcode     = "rcode"
	fieldAA        = "aa"
	fieldTC        = "tc"
	fieldAnswer    = "answer"
	fieldAuthority = "authority"
	fieldGlue      = "glue"
	fieldOPT       = "opt"
)

// differences names the fields in which two replies differ. Of truncated replies only the header is compared: nothing
// says how much is left in them, and nobody may use it (RFC 2181 section 9).
func differences(a, b *reply) []string {
	if a.fault != "" || b.fault != "" {
		if a.fault != b.fault {
			return []string{fieldFault}
		}
		return nil
	}
	var out []string
	if a.rcode != b.rcode {
		out = append(out, fieldRcode)
	}
	if a.aa != b.aa {
		out = append(out, fieldAA)
	}
	if a.opt != b.opt {
		out = append(out, fieldOPT)
	}
	if a.tc != b.tc {
		return append(out, fieldTC)
	}
	if a.tc {
		return out
	}
	if !slices.Equal(a.answer, b.answer) {
		out = append(out, fieldAnswer)
	}
	if !slices.Equal(a.authority, b.authority) {
		out = append(out, fieldAuthority)
	}
	if !slices.Equal(a.glue, b.glue) {
		out = append(out, fieldGlue)
	}
	return out
}

// newReply keeps what is compared of a message. If the message is no response to the probe, it says why.
func newReply(wire []byte, p probe, id uint16) *reply {
	var m dns.Msg
	if err := m.Unpack(wire); err != nil {
		return &reply{fault: "unreadable: " + err.Error()}
	}
	if m.Id != id || !m.Response || len(m.Question) != 1 || m.Question[0].Qtype != p.qtype ||
		!sameBytes(m.Question[0].Name, p.name) {
		return &reply{fault: fmt.Sprintf("a response to another question: %v", m.Question)}
	}
	r := &reply{rcode: m.Rcode, aa: m.Authoritative, tc: m.Truncated}
	r.answer = lines(m.Answer)
	r.authority = lines(m.Ns)
	var inside []string // name servers at or below the cut
	for _, rr := range m.Ns {
		if ns, ok := rr.(*dns.NS); ok && dns.IsSubDomain(ns.Hdr.Name, ns.Ns) {
			inside = append(inside, strings.ToLower(ns.Ns))
		}
	}
	var glue, other []dns.RR
	for _, rr := range m.Extra {
		switch rr.(type) {
		case *dns.OPT:
			r.opt = true
			continue
		case *dns.A, *dns.AAAA:
			if slices.Contains(inside, strings.ToLower(rr.Header().Name)) {
				glue = append(glue, rr)
				continue
			}
		}
		other = append(other, rr)
	}
	r.glue, r.other = lines(glue), lines(other)
	return r
}

// sameBytes compares names including their case, however they are escaped.
func sameBytes(a, b string) bool {
	if a == b {
		return true
	}
	var x, y [512]byte
	n, err := dns.PackDomainName(a, x[:], 0, nil, false)
	m, err2 := dns.PackDomainName(b, y[:], 0, nil, false)
	return err == nil && err2 == nil && string(x[:n]) == string(y[:m])
}

// lines formats records, sorted, with names in lower case. Text stays as it is.
func lines(all []dns.RR) []string {
	var out []string
	for _, rr := range all {
		h := rr.Header()
		h.Name = strings.ToLower(h.Name)
		s := rr.String()
		switch rr.(type) {
		case *dns.TXT, *dns.HINFO, *dns.CAA, *dns.A, *dns.AAAA:
		default:
			s = strings.ToLower(s)
		}
		s = strings.ReplaceAll(s, `\ `, `\032`) // a space is between fields only
		out = append(out, strings.ReplaceAll(s, "\t", " "))
	}
	slices.Sort(out)
	return out
}

// asker holds a socket to each of the servers.
type asker struct {
	q     *quartet
	conns [servers]net.Conn
	id    uint16
	buf   [1 << 16]byte
}

func newAsker(q *quartet) (*asker, error) {
	a := &asker{q: q}
	for i := range servers {
		c, err := net.Dial("udp", q.addresses[i])
		if err != nil {
			a.close()
			return nil, err
		}
		a.conns[i] = c
	}
	return a, nil
}

func (a *asker) close() {
	for _, c := range a.conns {
		if c != nil {
			c.Close()
		}
	}
}

// askLimit is how long a server may take for an answer, and askTries how often it is asked again over UDP.
const (
	noResponse = "no response"

	askLimit = 1 * time.Second
	askTries = 3
)

// ask sends a probe to all servers.
func (a *asker) ask(p probe) (out [servers]*reply) {
	a.id++
	request, err := p.message(a.id).Pack()
	if err != nil {
		for i := range out {
			out[i] = &reply{fault: "the question cannot be asked: " + err.Error()}
		}
		return out
	}
	if p.tcp {
		for i := range out {
			out[i] = a.overTCP(i, request, p)
		}
		return out
	}
	for _, c := range a.conns {
		c.Write(request)
	}
	for i, c := range a.conns {
		for try := range askTries {
			if try > 0 {
				c.Write(request)
			}
			if out[i] = a.read(c, p); out[i] != nil {
				break
			}
		}
		if out[i] == nil {
			out[i] = &reply{fault: noResponse}
		}
	}
	return out
}

// read takes the response with the present ID from a socket; nil if none comes.
func (a *asker) read(c net.Conn, p probe) *reply {
	c.SetReadDeadline(time.Now().Add(askLimit))
	for {
		n, err := c.Read(a.buf[:])
		if err != nil {
			return nil
		}
		if n >= 2 && wirebytes.BigEndian.Uint16(a.buf[:]) != a.id { // a late one
			continue
		}
		r := newReply(a.buf[:n], p, a.id)
		if limit := max(512, min(int(p.size), 4096)); n > limit {
			r.fault = fmt.Sprintf("%d octets, the client takes %d", n, limit)
		}
		return r
	}
}

func (a *asker) overTCP(i int, request []byte, p probe) *reply {
	c, err := net.DialTimeout("tcp", a.q.addresses[i], askLimit)
	if err != nil {
		return &reply{fault: err.Error()}
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(askLimit))
	c.Write(append(wirebytes.BigEndian.AppendUint16(nil, uint16(len(request))), request...))
	if _, err := io.ReadFull(c, a.buf[:2]); err != nil {
		return &reply{fault: "no response over TCP"}
	}
	b := a.buf[:wirebytes.BigEndian.Uint16(a.buf[:2])]
	if _, err := io.ReadFull(c, b); err != nil {
		return &reply{fault: "half a response over TCP"}
	}
	return newReply(b, p, a.id)
}
