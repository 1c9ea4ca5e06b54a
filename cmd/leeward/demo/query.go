package demo

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// reply is a server's response to one question.
type reply struct {
	addresses []netip.Addr
	ttl       uint32
	scope     uint8 // of the ECS option in the response
	took      time.Duration
}

// optionECS is the EDNS Client Subnet option's code (RFC 7871 6).
const optionECS = 8

// ask sends a query for A over UDP, as a resolver of clients in the subnet would.
func ask(ctx context.Context, server, name string, subnet netip.Prefix) (reply, error) {
	ctx, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	id := uint16(rand.Uint32())
	question, err := newQuery(id, name, subnet)
	if err != nil {
		return reply{}, err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", server)
	if err != nil {
		return reply{}, err
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	c.SetDeadline(deadline)
	start := time.Now()
	if _, err := c.Write(question); err != nil {
		return reply{}, err
	}
	b := make([]byte, 4096)
	for {
		n, err := c.Read(b)
		if err != nil {
			return reply{}, err
		}
		if n >= 2 && binary.BigEndian.Uint16(b) == id {
			r, err := readReply(b[:n])
			r.took = time.Since(start)
			return r, err
		}
	}
}

// newQuery writes a query with an OPT record that carries the subnet.
func newQuery(id uint16, name string, subnet netip.Prefix) ([]byte, error) {
	qname, err := dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id})
	b.EnableCompression()
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(dnsmessage.Question{
		Name: qname, Type: dnsmessage.TypeA,
		Class: dnsmessage.ClassINET,
	}); err != nil {
		return nil, err
	}
	if err := b.StartAdditionals(); err != nil {
		return nil, err
	}
	var h dnsmessage.ResourceHeader
	if err := h.SetEDNS0(1232, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	family, address := byte(1), subnet.Masked().Addr().AsSlice()
	if subnet.Addr().Is6() {
		family = 2
	}
	option := append([]byte{0, family, byte(subnet.Bits()), 0}, address[:(subnet.Bits()+7)/8]...)
	if err := b.OPTResource(h, dnsmessage.OPTResource{Options: []dnsmessage.Option{{
		Code: optionECS,
		Data: option,
	}}}); err != nil {
		return nil, err
	}
	return b.Finish()
}

// readReply reads the addresses and the scope of a response. A response without addresses is an error.
func readReply(b []byte) (reply, error) {
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		return reply{}, err
	}
	var r reply
	for _, rr := range m.Answers {
		if a, ok := rr.Body.(*dnsmessage.AResource); ok {
			r.addresses = append(r.addresses, netip.AddrFrom4(a.A))
			r.ttl = rr.Header.TTL
		}
	}
	for _, rr := range m.Additionals {
		if opt, ok := rr.Body.(*dnsmessage.OPTResource); ok {
			for _, o := range opt.Options {
				if o.Code == optionECS && len(o.Data) >= 4 {
					r.scope = o.Data[3]
				}
			}
		}
	}
	if m.RCode != dnsmessage.RCodeSuccess || len(r.addresses) == 0 {
		return r, fmt.Errorf("%v with %d addresses", m.RCode, len(r.addresses))
	}
	return r, nil
}
