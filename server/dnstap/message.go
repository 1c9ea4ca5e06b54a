// Package dnstap sends what was asked and answered to followers, as dnstap messages (https://dnstap.info) in Frame
// Streams, over a socket or to a file. It reads the rings of an answer.Tap in a goroutine of its own. So a follower
// that is slow, hangs or is gone costs queries nothing: the rings fill, and the newest queries are dropped and counted.
package dnstap

import (
	"encoding/binary"
	"net/netip"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"leeward/server/answer"
)

// Field numbers and values of dnstap.proto.
const (
	dnstapIdentity protowire.Number = 1
	dnstapVersion  protowire.Number = 2
	dnstapMessage  protowire.Number = 14
	dnstapType     protowire.Number = 15

	messageType          protowire.Number = 1
	messageFamily        protowire.Number = 2
	messageProtocol      protowire.Number = 3
	messageQueryAddress  protowire.Number = 4
	messageQueryPort     protowire.Number = 6
	messageQuerySec      protowire.Number = 8
	messageQueryNano     protowire.Number = 9
	messageQuery         protowire.Number = 10
	messageResponseSec   protowire.Number = 12
	messageResponseNano  protowire.Number = 13
	messageResponse      protowire.Number = 14
	typeMessage                           = 1
	authQuery, authReply                  = 1, 2
	inet, inet6                           = 1, 2
	overUDP, overTCP                      = 1, 2
)

// writer makes messages. It reuses its buffers.
type writer struct {
	identity, version []byte
	inner, outer      []byte
}

// query makes an AUTH_QUERY. It is valid until the next message is made.
func (w *writer) query(x *answer.Tapped) []byte {
	w.begin(authQuery, x)
	w.inner = protowire.AppendTag(w.inner, messageQuery, protowire.BytesType)
	w.inner = protowire.AppendBytes(w.inner, x.Query)
	return w.end()
}

// response makes an AUTH_RESPONSE. A response is made within microseconds, so the query gets the same time.
func (w *writer) response(x *answer.Tapped) []byte {
	w.begin(authReply, x)
	w.time(messageResponseSec, messageResponseNano, x.At)
	w.inner = protowire.AppendTag(w.inner, messageResponse, protowire.BytesType)
	w.inner = protowire.AppendBytes(w.inner, x.Response)
	return w.end()
}

func (w *writer) begin(kind uint64, x *answer.Tapped) {
	family, protocol := uint64(inet), uint64(overUDP)
	if x.Client.Addr().Is6() {
		family = inet6
	}
	if x.Stream {
		protocol = overTCP
	}
	w.inner = w.inner[:0]
	w.number(messageType, kind)
	w.number(messageFamily, family)
	w.number(messageProtocol, protocol)
	w.inner = protowire.AppendTag(w.inner, messageQueryAddress, protowire.BytesType)
	w.inner = appendAddress(w.inner, x.Client.Addr())
	w.number(messageQueryPort, uint64(x.Client.Port()))
	w.time(messageQuerySec, messageQueryNano, x.At)
}

func (w *writer) number(field protowire.Number, n uint64) {
	w.inner = protowire.AppendVarint(protowire.AppendTag(w.inner, field, protowire.VarintType), n)
}

func (w *writer) time(seconds, nanoseconds protowire.Number, t time.Time) {
	w.number(seconds, uint64(t.Unix()))
	w.inner = protowire.AppendTag(w.inner, nanoseconds, protowire.Fixed32Type)
	w.inner = protowire.AppendFixed32(w.inner, uint32(t.Nanosecond()))
}

func appendAddress(b []byte, a netip.Addr) []byte {
	if a.Is4() {
		four := a.As4()
		return protowire.AppendBytes(b, four[:])
	}
	sixteen := a.As16()
	return protowire.AppendBytes(b, sixteen[:])
}

// end puts the message into its envelope and a frame.
func (w *writer) end() []byte {
	w.outer = append(w.outer[:0], 0, 0, 0, 0)
	for _, field := range []struct {
		number protowire.Number
		value  []byte
	}{{dnstapIdentity, w.identity}, {dnstapVersion, w.version}, {dnstapMessage, w.inner}} {
		w.outer = protowire.AppendTag(w.outer, field.number, protowire.BytesType)
		w.outer = protowire.AppendBytes(w.outer, field.value)
	}
	w.outer = protowire.AppendVarint(protowire.AppendTag(w.outer, dnstapType, protowire.VarintType), typeMessage)
	binary.BigEndian.PutUint32(w.outer, uint32(len(w.outer)-4))
	return w.outer
}
