package resolve

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	tryLimit = 2 * time.Second // for one question to one server
	rounds   = 2               // through all servers
	maxLinks = 8               // aliases that are followed one by one, with servers that do not follow them
	maxUDP   = 4096            // octets; more than the 512 that a response without EDNS may have
)

// stub asks recursive resolvers (RFC 1034 section 5.3.1).
type stub struct {
	servers func() ([]netip.AddrPort, error)
	first   atomic.Uint32 // index of the server that answered last
}

// both asks for a name's IPv4 and IPv6 addresses at once.
func (s *stub) both(ctx context.Context, name string) (four, six reply) {
	var wg sync.WaitGroup
	wg.Go(func() { four = s.addresses(ctx, name, dnsmessage.TypeA) })
	wg.Go(func() { six = s.addresses(ctx, name, dnsmessage.TypeAAAA) })
	wg.Wait()
	return four, six
}

// addresses asks for one family, and asks again if the answer ends with an alias.
func (s *stub) addresses(ctx context.Context, name string, t dnsmessage.Type) reply {
	var ttl time.Duration
	for link := range maxLinks {
		f, err := s.query(ctx, name, t)
		if err != nil {
			return reply{err: err}
		}
		if link == 0 || f.ttl < ttl {
			ttl = f.ttl
		}
		switch {
		case f.absent:
			return reply{absent: true}
		case len(f.addresses) > 0 || f.name == name:
			return reply{addresses: f.addresses, ttl: ttl}
		}
		name = f.name
	}
	return reply{err: fmt.Errorf("it is an alias of an alias, %d times", maxLinks)}
}

// query asks the servers in turn until one answers.
func (s *stub) query(ctx context.Context, name string, t dnsmessage.Type) (finding, error) {
	servers, err := s.servers()
	if err != nil {
		return finding{}, err
	}
	first := int(s.first.Load())
	var last error
	for try := range rounds * len(servers) {
		at := (first + try) % len(servers)
		f, err := ask(ctx, servers[at], name, t)
		if err == nil {
			s.first.Store(uint32(at))
			return f, nil
		}
		last = fmt.Errorf("resolver %s: %w", servers[at], err)
		if ctx.Err() != nil {
			break
		}
	}
	return finding{}, last
}

// ask sends one question to one server, over UDP and, if the response is truncated, over TCP.
func ask(ctx context.Context, server netip.AddrPort, name string, t dnsmessage.Type) (finding, error) {
	qname, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return finding{}, err
	}
	for _, network := range [...]string{"udp", "tcp"} {
		q := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: uint16(rand.Uint32()), RecursionDesired: true},
			Questions: []dnsmessage.Question{{Name: qname, Type: t, Class: dnsmessage.ClassINET}},
		}
		query, err := q.Pack()
		if err != nil {
			return finding{}, err
		}
		answer, err := exchange(ctx, network, server, query, q)
		if err != nil {
			return finding{}, err
		}
		if answer.Truncated && network == "udp" {
			continue
		}
		return read(answer, name, t)
	}
	return finding{}, errors.New("the answer is truncated over TCP too")
}

// exchange sends a query and returns the response to it. Over UDP it ignores everything else: anybody could have sent
// it, and the right response may still come (RFC 5452 section 9.1).
func exchange(ctx context.Context, network string, server netip.AddrPort, query []byte,
	q dnsmessage.Message,
) (m dnsmessage.Message, err error) {
	ctx, stop := context.WithTimeout(ctx, tryLimit)
	defer stop()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return m, shorter(err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return m, err
		}
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if network == "tcp" {
		query = append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
	}
	if _, err := conn.Write(query); err != nil {
		return m, shorter(err)
	}
	for {
		b, err := receive(conn, network)
		if err != nil {
			return m, shorter(err)
		}
		if err := m.Unpack(b); err == nil && answers(m, q) {
			return m, nil
		}
		if network == "tcp" {
			return m, errors.New("what came back is no answer to the question")
		}
	}
}

func receive(conn net.Conn, network string) ([]byte, error) {
	size := maxUDP
	if network == "tcp" {
		var head [2]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return nil, err
		}
		b := make([]byte, binary.BigEndian.Uint16(head[:]))
		_, err := io.ReadFull(conn, b)
		return b, err
	}
	b := make([]byte, size)
	n, err := conn.Read(b)
	return b[:n], err
}

// answers reports whether a message is the response to the query.
func answers(m, q dnsmessage.Message) bool {
	if !m.Response || m.ID != q.ID || len(m.Questions) != 1 {
		return false
	}
	a, b := m.Questions[0], q.Questions[0]
	return a.Type == b.Type && a.Class == b.Class && strings.EqualFold(a.Name.String(), b.Name.String())
}

// shorter removes the addresses from an error, since its receiver knows them.
func shorter(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return errors.New("no answer in time")
	case errors.As(err, &op) && op.Err != nil:
		return op.Err
	}
	return err
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// finding is the content of a response.
type finding struct {
	name      string // where its aliases end: the name that was asked for, if it has none
	addresses []netip.Addr
	ttl       time.Duration // the shortest on the way
	absent    bool
}

// read extracts from a response the aliases from the name on, and the addresses at their end.
func read(m dnsmessage.Message, name string, t dnsmessage.Type) (f finding, err error) {
	switch m.RCode {
	case dnsmessage.RCodeSuccess:
	case dnsmessage.RCodeNameError:
		return finding{name: name, absent: true}, nil
	default:
		return f, errors.New(strings.ToUpper(strings.TrimPrefix(m.RCode.String(), "RCode")))
	}
	if len(m.Answers) == 0 && !m.Authoritative && !m.RecursionAvailable {
		return f, errors.New("it does not resolve for others (no recursion)")
	}
	type alias struct {
		target string
		ttl    time.Duration
	}
	aliases := map[string]alias{}
	for _, r := range m.Answers {
		if c, ok := r.Body.(*dnsmessage.CNAMEResource); ok {
			aliases[key(r.Header.Name)] = alias{key(c.CNAME), seconds(r.Header.TTL)}
		}
	}
	f.name, f.ttl = name, MaxInterval
	for range len(aliases) {
		a, ok := aliases[f.name]
		if !ok {
			break
		}
		f.name, f.ttl = a.target, min(f.ttl, a.ttl)
	}
	for _, r := range m.Answers {
		if key(r.Header.Name) != f.name || r.Header.Type != t {
			continue
		}
		switch x := r.Body.(type) {
		case *dnsmessage.AResource:
			f.addresses = append(f.addresses, netip.AddrFrom4(x.A))
		case *dnsmessage.AAAAResource:
			f.addresses = append(f.addresses, netip.AddrFrom16(x.AAAA))
		default:
			continue
		}
		f.ttl = min(f.ttl, seconds(r.Header.TTL))
	}
	return f, nil
}

// key returns a name for comparing: in lower case, without the final dot.
func key(n dnsmessage.Name) string { return strings.ToLower(strings.TrimSuffix(n.String(), ".")) }

// seconds reads a TTL. A TTL with the highest bit set is 0 (RFC 2181 section 8).
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}
