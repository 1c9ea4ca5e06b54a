package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"leeward/server/wire"
	"leeward/zones/rr"
)

// Numbers in messages (RFC 1035 section 4.1, RFC 6891 section 6.1).
const (
	headerSize = 12
	classIN    = 1

	optionSubnet = 8  // RFC 7871
	optionCookie = 10 // RFC 7873
	payload      = 1232

	rcodeServFail = 2
	rcodeRefused  = 5
)

// most is how many messages are prepared at most: more than the caches of the server's processor hold.
const most = 1 << 17

// query is a message. Its ID is set when it is sent.
type query struct {
	message  []byte
	question int // octets of the question, which begins after the header
}

// prepare writes the messages in the order in which they will be sent. Questions and clients are drawn independently.
func prepare(s Settings, cookie []byte) []query {
	random := rand.New(rand.NewPCG(s.Seed, 1))
	n := len(s.Questions)
	if len(s.Clients) > 0 {
		n = most
	}
	all := make([]query, min(max(n, 1<<12), most))
	order := random.Perm(len(s.Questions))
	for i := range all {
		q := s.Questions[order[i%len(order)]]
		var subnet netip.Prefix
		if len(s.Clients) > 0 {
			subnet = subnetOf(random, s.Clients[random.IntN(len(s.Clients))])
		}
		all[i] = newQuery(q, subnet, cookie)
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// subnetOf returns the subnet that a resolver would send for a random address in the prefix: a /24 or /56 (RFC 7871
// section 11.1), or the prefix itself if that is longer.
func subnetOf(random *rand.Rand, p netip.Prefix) netip.Prefix {
	a := p.Masked().Addr().AsSlice()
	bits := 24
	if len(a) == 16 {
		bits = 56
	}
	bits = max(bits, p.Bits())
	for i := p.Bits(); i < bits; i++ {
		if random.IntN(2) == 1 {
			a[i/8] |= 0x80 >> (i % 8)
		}
	}
	addr, _ := netip.AddrFromSlice(a)
	return netip.PrefixFrom(addr, bits)
}

func newQuery(q Question, subnet netip.Prefix, cookie []byte) query {
	m := make([]byte, headerSize, headerSize+len(q.Name)+64)
	m[5], m[11] = 1, 1 // QDCOUNT, ARCOUNT
	m = append(m, q.Name...)
	m = binary.BigEndian.AppendUint16(m, uint16(q.Type))
	m = binary.BigEndian.AppendUint16(m, classIN)
	end := len(m)
	m = append(m, 0, 0, 41, payload>>8, payload&0xff, 0, 0, 0, 0, 0, 0)
	options := len(m)
	if subnet.IsValid() {
		family, address := uint16(1), subnet.Addr().AsSlice()[:(subnet.Bits()+7)/8]
		if subnet.Addr().Is6() {
			family = 2
		}
		m = binary.BigEndian.AppendUint16(m, optionSubnet)
		m = binary.BigEndian.AppendUint16(m, uint16(4+len(address)))
		m = binary.BigEndian.AppendUint16(m, family)
		m = append(m, byte(subnet.Bits()), 0)
		m = append(m, address...)
	}
	if len(cookie) > 0 {
		m = binary.BigEndian.AppendUint16(m, optionCookie)
		m = binary.BigEndian.AppendUint16(m, uint16(len(cookie)))
		m = append(m, cookie...)
	}
	binary.BigEndian.PutUint16(m[options-2:], uint16(len(m)-options))
	return query{m, end - headerSize}
}

// greet asks the first question, to see that there is a server. It returns the cookie to send from now on; nil if
// cookies are not wanted, or the server gives none.
func greet(ctx context.Context, s Settings) (cookie []byte, err error) {
	var client []byte
	if s.Cookies {
		client = binary.BigEndian.AppendUint64(nil, rand.Uint64())
	}
	q := newQuery(s.Questions[0], netip.Prefix{}, client)
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", s.Server.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	b := make([]byte, 65535)
	for range 3 {
		id := uint16(rand.Uint32())
		binary.BigEndian.PutUint16(q.message, id)
		if _, err = c.Write(q.message); err != nil {
			break
		}
		c.SetReadDeadline(time.Now().Add(s.Timeout))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var n int
		for {
			if n, err = c.Read(b); err != nil {
				break
			}
			if r := b[:n]; answers(q, r) && binary.BigEndian.Uint16(r) == id {
				return serverCookie(r, headerSize+q.question, client), nil
			}
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("no answer from %s to %s %s: %w; is a DNS server listening there?", s.Server,
		s.Questions[0].Name, s.Questions[0].Type, err)
}

// answers reports whether r is a response to the question of q.
func answers(q query, r []byte) bool {
	return len(r) >= headerSize+q.question && r[2]&0x80 != 0 && r[4] == 0 && r[5] == 1 &&
		bytes.Equal(r[headerSize:headerSize+q.question], q.message[headerSize:headerSize+q.question])
}

// serverCookie returns the data of the COOKIE option in a response whose records begin at an offset: the client's
// cookie and the server's. It returns nil if there is none, or it is not for this client.
func serverCookie(r []byte, at int, client []byte) []byte {
	if client == nil {
		return nil
	}
	records := 0
	for _, count := range [][]byte{r[6:], r[8:], r[10:]} {
		records += int(binary.BigEndian.Uint16(count))
	}
	for range records {
		if at = wire.SkipName(r, at); at < 0 || at+10 > len(r) {
			return nil
		}
		kind, size := rr.Type(binary.BigEndian.Uint16(r[at:])), int(binary.BigEndian.Uint16(r[at+8:]))
		at += 10
		if at+size > len(r) {
			return nil
		}
		if data := r[at : at+size]; kind == rr.TypeOPT {
			for len(data) >= 4 {
				code, n := binary.BigEndian.Uint16(data), int(binary.BigEndian.Uint16(data[2:]))
				if 4+n > len(data) {
					return nil
				}
				if option := data[4 : 4+n]; code == optionCookie && n >= 16 && n <= 40 && bytes.Equal(option[:8],
					client) {
					return bytes.Clone(option)
				}
				data = data[4+n:]
			}
		}
		at += size
	}
	return nil
}
