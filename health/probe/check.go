package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"time"

	"leeward/health"
)

// outcome is what one probe found.
type outcome struct {
	state   health.State
	reason  string // why it is not up
	latency time.Duration
	load    health.Load

	timedOut bool          // it is down because of the timeout
	detected time.Duration // see health.Report
	held     time.Time     // see health.Report
}

func up() outcome { return outcome{state: health.Up} }

func down(format string, args ...any) outcome {
	return outcome{state: health.Down, reason: fmt.Sprintf(format, args...)}
}

// checker is one probe: where it goes, how long it may take, and what it trusts.
type checker struct {
	address netip.Addr
	manner  health.Manner
	metric  string // which one is the endpoint's load, see health.Monitor
	timeout time.Duration
	roots   *x509.CertPool
	shown   func() *tls.Certificate // certificate to present; nil: none
	now     func() time.Time
}

// host returns the name to ask for: the endpoint's host, the monitor's, or the endpoint's hostname. It returns "" if
// there is none, and the address is used instead.
func (c *checker) host(monitor string) string {
	return cmp.Or(c.manner.Host, monitor, c.manner.Hostname)
}

// probe checks an address as the monitor and the endpoint say.
func (p *Prober) probe(ctx context.Context, address netip.Addr, m *health.Monitor, manner health.Manner) outcome {
	c := checker{
		address: address, manner: manner, metric: m.Load, timeout: m.EffectiveTimeout(), roots: p.options.RootCAs,
		shown: p.options.Certificate, now: p.options.Now,
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	switch {
	case m.HTTP != nil:
		return c.http(ctx, m.HTTP, false)
	case m.HTTPS != nil:
		return c.http(ctx, m.HTTPS, true)
	case m.TCP != nil:
		return c.tcp(ctx, m.TCP)
	case m.TLS != nil:
		return c.tls(ctx, m.TLS)
	case m.GRPC != nil:
		return c.grpc(ctx, m.GRPC)
	case m.DNS != nil:
		return c.dns(ctx, m.DNS)
	}
	return outcome{reason: "the monitor has no check that a vantage makes"}
}

// tcp checks that a connection is accepted.
func (c *checker) tcp(ctx context.Context, t *health.TCP) outcome {
	conn, err := c.dial(ctx, "tcp", t.Port)
	if err != nil {
		return c.failed(ctx, err)
	}
	// Reset the connection: the handshake was all that was wanted. A connection that is closed in order would stay for
	// a minute (TIME_WAIT, RFC 9293 section 3.5), and 10,000 probes a second would make 600,000 of them.
	if c, ok := conn.(*boundConn).Conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	conn.Close()
	return up()
}

// dial connects to the address. When the context ends the connection is closed, and everything that waits on it fails.
func (c *checker) dial(ctx context.Context, network string, port uint16) (net.Conn, error) {
	// Without KeepAlive: a probe is over before the first one would be sent.
	d := net.Dialer{KeepAlive: -1}
	to := netip.AddrPortFrom(c.address, port)
	var conn net.Conn
	var err error
	if network == "tcp" {
		var t *net.TCPConn
		if t, err = d.DialTCP(ctx, network, netip.AddrPort{}, to); err == nil {
			conn = t
		}
	} else {
		conn, err = d.DialContext(ctx, network, to.String())
	}
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return &boundConn{conn, stop}, nil
}

// boundConn is a connection that ends with its context.
type boundConn struct {
	net.Conn
	stop func() bool
}

func (c *boundConn) Close() error {
	c.stop()
	return c.Conn.Close()
}
