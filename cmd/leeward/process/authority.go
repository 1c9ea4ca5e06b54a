package process

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// askLimit is how long one server may take.
const askLimit = 10 * time.Second

// AskAuthority asks an authoritative server for the RRset of a type at a name, over TCP. server is an address with or
// without a port. It returns the RDATA of each record and the TTL in seconds. all is empty if the server has no such
// RRset.
func AskAuthority(ctx context.Context, server string, owner rr.Name, typ rr.Type) (all [][]byte, ttl int, err error) {
	address, err := netip.ParseAddrPort(server)
	if err != nil {
		host, err := netip.ParseAddr(server)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: write an address, or an address with a port", server)
		}
		address = netip.AddrPortFrom(host, 53)
	}
	name, err := dnsmessage.NewName(rr.TrimDot(owner.String()) + ".")
	if err != nil {
		return nil, 0, err
	}
	q := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(time.Now().UnixNano())},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.Type(typ), Class: dnsmessage.ClassINET}},
	}
	request, err := q.Pack()
	if err != nil {
		return nil, 0, err
	}
	ctx, stop := context.WithTimeout(ctx, askLimit)
	defer stop()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address.String())
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, 0, err
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(request))), request...)); err != nil {
		return nil, 0, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", server, err)
	}
	response := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, response); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", server, err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(response); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", server, err)
	}
	switch {
	case m.ID != q.ID || !m.Response:
		return nil, 0, fmt.Errorf("%s: it answers something else", server)
	case m.RCode != dnsmessage.RCodeSuccess:
		return nil, 0, fmt.Errorf("%s: it answers %s %s with %s", server, name, typ, m.RCode)
	case !m.Authoritative:
		return nil, 0, fmt.Errorf("%s: it is not authoritative for %s %s; name a server of the zone that has it",
			server, name, typ)
	}
	for _, r := range m.Answers {
		if body, ok := r.Body.(*dnsmessage.UnknownResource); ok && body.Type == dnsmessage.Type(typ) {
			all, ttl = append(all, body.Data), max(ttl, int(r.Header.TTL))
		}
	}
	return all, ttl, nil
}

// askParents asks all servers of a zone's parent for its DS RRset: the given servers or, if there are none, all
// addresses of the parent's NS, as a resolver finds them. It returns the error of the first server that fails.
func askParents(ctx context.Context, origin rr.Name, servers []string, resolvers []netip.AddrPort) (
	all []dnssec.ParentDS, err error,
) {
	found := len(servers) == 0
	if found {
		if servers, err = parentsOf(ctx, origin, resolvers); err != nil {
			return nil, fmt.Errorf("the servers of the parent are not found: %w; name them in dnssec.parent of the "+
				"Zone", err)
		}
	}
	for _, s := range servers {
		ds, ttl, err := AskAuthority(ctx, s, origin, rr.TypeDS)
		if found && errors.Is(err, syscall.ENETUNREACH) { // this host may have no IPv6, for example
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("a server of the parent cannot be asked: %w", err)
		}
		all = append(all, dnssec.ParentDS{Server: s, DS: ds, TTL: ttl})
	}
	return all, nil
}

// parentsOf finds the addresses of the servers of a zone's parent.
func parentsOf(ctx context.Context, origin rr.Name, resolvers []netip.AddrPort) (all []string, err error) {
	ctx, stop := context.WithTimeout(ctx, 2*askLimit)
	defer stop()
	resolver := &net.Resolver{PreferGo: true}
	if len(resolvers) > 0 {
		resolver.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, resolvers[0].String())
		}
	}
	for parent := origin; parent != rr.Root; {
		parent = parent.Parent()
		names, err := resolver.LookupNS(ctx, rr.TrimDot(parent.String())+".")
		var wrong *net.DNSError
		if err != nil && (!errors.As(err, &wrong) || !wrong.IsNotFound) {
			return nil, err
		}
		for _, ns := range names {
			addresses, err := resolver.LookupNetIP(ctx, "ip", ns.Host)
			if err != nil {
				return nil, err
			}
			for _, a := range addresses {
				if text := a.Unmap().String(); !slices.Contains(all, text) {
					all = append(all, text)
				}
			}
		}
		if len(all) > 0 {
			return all, nil
		}
	}
	return nil, errors.New("no resolver names them")
}
