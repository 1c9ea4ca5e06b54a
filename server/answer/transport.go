package answer

import "time"

// Transport is what a response depends on of the way that its request came. A transport is a value: one that comes
// later (TLS, QUIC, HTTPS) is another value and a room below package socket, and nothing here changes.
//
// How a message is answered later is the Write of its Exchange, which the transport makes for each.
type Transport struct {
	Name      string        // that queries are counted under, such as "udp"
	Stream    bool          // any number of messages, in order, to an address that a handshake has proven
	Encrypted bool          // nobody on the way can read it
	Size      int           // octets, of the largest response
	Idle      time.Duration // that a client may be silent and stay connected (RFC 7828); 0: it is not told

	way int // in counts: of IPv4, with that of IPv6 behind it
}

// mostTransports is how many names of transports are counted apart.
const mostTransports = 6

// Over takes in a transport that Workers are to be made for. Those of one name are counted together.
func (r *Responder) Over(t Transport) *Transport {
	t.way = r.counts.way(t.Name)
	return &t
}
