package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"leeward/server/tsig"
	"leeward/server/wire"
	"leeward/zones/rr"
)

// How a server is notified: the number of tries, and the wait for the first answer, which doubles with each try.
const (
	notifyTries   = 6
	notifyFirst   = 2 * time.Second
	notifyRequest = 512 // octets of the request
)

// Notice is a NOTIFY (RFC 1996): a zone has something new.
type Notice struct {
	Zone rr.Name
	Type rr.Type // of what is new: SOA for a secondary, CDS for a parent (RFC 9859)
	SOA  []byte  // the record, as snapshot.Zone.SOA returns it; nil: none is sent
}

// Send sends the notice until it is answered or all tries are used: some two minutes. Each try goes to the next of the
// addresses. The addresses that this host has no route to are passed over. answered is true if a server has answered,
// even if with an error.
func (n *Notice) Send(ctx context.Context, to []netip.AddrPort) (answered bool, err error) {
	to = slices.Clone(to)
	err = tries(ctx, func(try int, wait time.Duration) (bool, error) {
		for len(to) > 0 {
			at := try % len(to)
			conn, err := dialFrom(ctx, "udp", netip.Addr{}, to[at])
			if err == nil {
				if answered, err = n.exchange(ctx, conn, nil, time.Now, wait); err != nil {
					err = fmt.Errorf("%s: %w", to[at], err)
				}
				return answered, err
			}
			if !errors.Is(err, syscall.ENETUNREACH) && !errors.Is(err, syscall.EADDRNOTAVAIL) || len(to) == 1 {
				return false, fmt.Errorf("%s: %w", to[at], err)
			}
			to = slices.Delete(to, at, at+1)
		}
		return true, errors.New("there is no address to send to")
	})
	return answered, err
}

// tries calls once until it has no error, until another try would not help, or until all tries are used. Each try has
// the whole of its wait, so that a server that cannot be reached is not tried again at once.
func tries(ctx context.Context, once func(try int, wait time.Duration) (final bool, err error)) (err error) {
	for try, wait := 0, notifyFirst; try < notifyTries; try, wait = try+1, 2*wait {
		rest := time.NewTimer(wait)
		final := false
		if final, err = once(try, wait); err == nil || final || try == notifyTries-1 {
			rest.Stop()
			return err
		}
		select {
		case <-rest.C:
		case <-ctx.Done():
			rest.Stop()
			return err
		}
	}
	return err
}

// exchange sends the notice and waits for the answer. It closes the connection. final is true if another try would not
// help. key signs the notice; nil: it is not signed.
func (n *Notice) exchange(ctx context.Context, conn net.Conn, key *tsig.Key, now func() time.Time, wait time.Duration) (
	final bool, err error,
) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(wait))

	id := uint16(rand.Uint32())
	msg := n.append(make([]byte, 0, notifyRequest), id)
	check := func([]byte) error { return nil }
	if key != nil {
		signed, answers := key.Request(msg, now())
		msg = signed
		check = func(b []byte) error { return answers.Next(b, now()) }
	}
	if _, err := conn.Write(msg); err != nil {
		return false, err
	}
	var buf [4096]byte
	for {
		size, err := conn.Read(buf[:])
		if err != nil { // refused by the host: the server may come back
			return false, fmt.Errorf("no answer: %w", err)
		}
		b := buf[:size]
		if size < wire.HeaderSize || binary.BigEndian.Uint16(b) != id || b[2]&0xf8 != 0x80|wire.OpcodeNotify<<3 {
			continue // from somebody else
		}
		if err := check(b); err != nil {
			return true, err
		}
		if rcode := b[3] & 15; rcode != 0 {
			return true, fmt.Errorf("answered with RCODE %d", rcode)
		}
		return true, nil
	}
}

// append appends the message: one question and, with a SOA, one answer (RFC 1996 section 3.7).
func (n *Notice) append(msg []byte, id uint16) []byte {
	answers := byte(0)
	if n.SOA != nil {
		answers = 1
	}
	msg = binary.BigEndian.AppendUint16(msg, id)
	msg = append(msg, wire.OpcodeNotify<<3|4, 0, 0, 1, 0, answers, 0, 0, 0, 0) // AA
	msg = append(msg, n.Zone...)
	msg = binary.BigEndian.AppendUint16(msg, uint16(n.Type))
	msg = append(msg, 0, 1)
	if n.SOA != nil {
		msg = append(append(msg, 0xc0, wire.HeaderSize), n.SOA[2:]...)
	}
	return msg
}
