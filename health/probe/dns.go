package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"leeward/health"
)

// dns checks for NOERROR and an answer to one question, over UDP and, if the response is truncated, over TCP.
func (c *checker) dns(ctx context.Context, d *health.DNS) outcome {
	port := d.Port
	if port == 0 {
		port = 53
	}
	query, err := question(d)
	if err != nil {
		return outcome{reason: err.Error()}
	}
	for _, network := range [...]string{"udp", "tcp"} {
		answer, err := c.exchange(ctx, network, port, query)
		if err != nil {
			return c.failed(ctx, err)
		}
		header, answers, err := answer.head()
		switch {
		case err != nil:
			return down("not a DNS message")
		case header.Truncated && network == "udp":
			continue
		case header.RCode != dnsmessage.RCodeSuccess:
			return down("%s", rcode(header.RCode))
		case answers == 0:
			return down("no answer to %s %s", d.Name, typeName(d))
		}
		return up()
	}
	return down("truncated over TCP")
}

// question returns a query for the monitor's question. Recursion is desired, since the target may be a resolver.
func question(d *health.DNS) (message, error) {
	name, err := dnsmessage.NewName(strings.TrimSuffix(d.Name, ".") + ".")
	if err != nil {
		return nil, errors.New("the name " + d.Name + " cannot be asked for")
	}
	code, err := d.TypeCode()
	if err != nil {
		return nil, err
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(rand.Uint32()), RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.Type(code), Class: dnsmessage.ClassINET}},
	}
	return m.Pack()
}

// message is a DNS message in wire form (RFC 1035 section 4.1).
type message []byte

// head returns the header and how many answers follow.
func (m message) head() (header dnsmessage.Header, answers int, err error) {
	var p dnsmessage.Parser
	if header, err = p.Start(m); err == nil {
		err = p.SkipAllQuestions()
	}
	for err == nil {
		if err = p.SkipAnswer(); err == nil {
			answers++
		}
	}
	if errors.Is(err, dnsmessage.ErrSectionDone) || header.Truncated {
		err = nil
	}
	return header, answers, err
}

// answers reports whether the message is a response to the query: it has the same ID, and the same question if it has
// one.
func (m message) answers(query message) bool {
	var asked, got dnsmessage.Parser
	was, err := asked.Start(query)
	if err != nil {
		return false
	}
	is, err := got.Start(m)
	if err != nil || !is.Response || is.ID != was.ID {
		return false
	}
	a, err := asked.Question()
	if err != nil {
		return false
	}
	b, err := got.Question()
	if err != nil { // a server that could not parse the query may leave the question out
		return is.RCode != dnsmessage.RCodeSuccess
	}
	return a.Type == b.Type && a.Class == b.Class && strings.EqualFold(a.Name.String(), b.Name.String())
}

// exchange sends the query and returns the response to it. Over UDP it ignores everything else.
func (c *checker) exchange(ctx context.Context, network string, port uint16, query message) (message, error) {
	conn, err := c.dial(ctx, network, port)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	packet := query
	if network == "tcp" {
		packet = append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
	}
	if _, err := conn.Write(packet); err != nil {
		return nil, err
	}
	buffer := make([]byte, 65535)
	for {
		answer, err := receive(conn, network, buffer)
		if err != nil || answer.answers(query) {
			return answer, err
		}
		if network == "tcp" {
			return nil, errors.New("an answer to another question")
		}
	}
}

func receive(conn net.Conn, network string, buffer []byte) (message, error) {
	if network == "udp" {
		n, err := conn.Read(buffer)
		return buffer[:n], err
	}
	if _, err := io.ReadFull(conn, buffer[:2]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(buffer))
	_, err := io.ReadFull(conn, buffer[:n])
	return buffer[:n], err
}

func rcode(r dnsmessage.RCode) string {
	names := map[dnsmessage.RCode]string{
		dnsmessage.RCodeFormatError: "FORMERR", dnsmessage.RCodeServerFailure: "SERVFAIL",
		dnsmessage.RCodeNameError:      "NXDOMAIN",
		dnsmessage.RCodeNotImplemented: "NOTIMP", dnsmessage.RCodeRefused: "REFUSED",
	}
	if name, ok := names[r]; ok {
		return name
	}
	return strings.TrimPrefix(r.String(), "RCode")
}

func typeName(d *health.DNS) string {
	if d.Type == "" {
		return "A"
	}
	return strings.ToUpper(d.Type)
}
