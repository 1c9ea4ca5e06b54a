package answer

import "time"

// Transport is what a response depends on in the way that its request came. A transport is a value. A new one (TLS,
// QUIC, HTTPS) is another value and a room below package socket; nothing here changes.
//
// The Write of an Exchange sends a message that is answered later. The transport makes it for each Exchange.
type Transport struct {
	Name      string        // name under which queries are counted, such as "udp"
	Stream    bool          // any number of messages, in order, to an address that a handshake has proven
	Encrypted bool          // nobody on the way can read it
	Size      int           // of the largest response, in octets
	Idle      time.Duration // how long a client may be silent and stay connected (RFC 7828); 0: clients are not told

	way int // index in counts for IPv4; that for IPv6 follows it
}

// mostTransports is how many names of transports are counted separately.
const mostTransports = 6

// Over registers a transport that Workers are to be made for. Transports with the same name are counted together.
func (r *Responder) Over(t Transport) *Transport {
	t.way = r.counts.way(t.Name)
	return &t
}
