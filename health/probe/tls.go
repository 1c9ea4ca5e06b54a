package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"

	"leeward/health"
)

// tls checks for a handshake and a certificate for the name that stays valid long enough.
func (c *checker) tls(ctx context.Context, t *health.TLS) outcome {
	conn, err := c.dial(ctx, "tcp", t.Port)
	if err != nil {
		return c.failed(ctx, err)
	}
	defer conn.Close()
	session, err := c.handshake(ctx, conn, c.settings(cmp.Or(t.ServerName, withoutPort(c.host(""))), t.Insecure))
	if err != nil {
		return c.failed(ctx, err)
	}
	if want := t.MinValidity.Std(); want > 0 {
		left := session.ConnectionState().PeerCertificates[0].NotAfter.Sub(c.now())
		switch {
		case left <= 0: // expired, but accepted because verification is off
			return down("certificate expired %s ago", age(-left))
		case left < want:
			return down("certificate expires in %s, less than %s", age(left), age(want))
		}
	}
	return up()
}

// handshake starts a TLS session over a connection.
func (c *checker) handshake(ctx context.Context, conn net.Conn, settings *tls.Config) (*tls.Conn, error) {
	session := tls.Client(conn, settings)
	return session, session.HandshakeContext(ctx)
}

// settings returns a configuration that verifies the certificate for the name, or for the address if there is no name.
func (c *checker) settings(name string, insecure bool) *tls.Config {
	if name == "" {
		name = c.address.WithZone("").String()
	}
	return &tls.Config{
		ServerName: name, RootCAs: c.roots, InsecureSkipVerify: insecure, Time: c.now,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if c.shown != nil {
				if own := c.shown(); own != nil {
					return own, nil
				}
			}
			return &tls.Certificate{}, nil // none: the endpoint decides whether that will do
		},
	}
}
