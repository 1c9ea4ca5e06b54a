package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// failed says what an error means for the target: that it is down, or nothing if the fault is this machine's.
func (c *checker) failed(ctx context.Context, err error) outcome {
	if reason := c.local(err); reason != "" {
		return outcome{reason: reason}
	}
	if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		o := down("timeout after %s", c.timeout)
		o.timedOut = true
		return o
	}
	return down("%s", c.reason(err))
}

// A probe that ends too long after its timeout is not believed: by more than a part of the timeout (one in tardy), and
// by more than leastTardy. It was not waiting for the endpoint. This process did not get a processor, and the answer
// may have been there.
const (
	tardy      = 4
	leastTardy = 50 * time.Millisecond
)

// believe returns the outcome of a probe that took that long, or Unknown if it is not to be believed.
func (o outcome) believe(timeout, took time.Duration) outcome {
	if o.timedOut && took > timeout+max(timeout/tardy, leastTardy) {
		return outcome{reason: "this vantage is too busy to tell"}
	}
	return o
}

// local names the fault of this machine that the error shows, or returns "".
func (c *checker) local(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "this vantage has no file descriptors left"
	case errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
		return "this vantage has no memory left for sockets"
	case errors.Is(err, syscall.EPERM):
		return "this vantage's own firewall forbids it"
	case errors.Is(err, syscall.EAFNOSUPPORT):
		return "this vantage has no " + family(c.address)
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.ENETUNREACH):
		if !routable(c.address) {
			return "this vantage has no " + family(c.address)
		}
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			return "this vantage has no local port left"
		}
	}
	return ""
}

func family(a netip.Addr) string {
	if a.Is4() || a.Is4In6() {
		return "IPv4"
	}
	return "IPv6"
}

// routable reports whether this machine has a route to the address, or to any address of the family. Only then does
// "network unreachable" come from a router or a withdrawn route, and is the target's fault. Connecting a UDP socket
// asks the kernel's routing table and sends nothing. The other address it tries is for documentation and on no network
// (RFC 5737, RFC 3849).
func routable(a netip.Addr) bool {
	anywhere := netip.AddrFrom4([4]byte{192, 0, 2, 1})
	if family(a) == "IPv6" {
		anywhere = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1})
	}
	for _, to := range [...]netip.Addr{a, anywhere} {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9)))
		if err != nil {
			continue
		}
		from := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
		conn.Close()
		// A link-local source leads nowhere but to the link.
		if !from.IsLinkLocalUnicast() || to.IsLinkLocalUnicast() {
			return true
		}
	}
	return false
}

// reason returns the shortest plain text for an error.
func (c *checker) reason(err error) string {
	var (
		invalid  x509.CertificateInvalidError
		hostname x509.HostnameError
		unknown  x509.UnknownAuthorityError
		alert    tls.AlertError
		record   tls.RecordHeaderError
		errno    syscall.Errno
	)
	switch {
	case errors.As(err, &invalid):
		return c.invalid(invalid)
	case errors.As(err, &hostname):
		return "certificate is not for " + hostname.Host
	case errors.As(err, &unknown):
		return "certificate is signed by an unknown authority"
	case errors.As(err, &alert):
		return "TLS alert: " + strings.TrimPrefix(alert.Error(), "tls: ")
	case errors.As(err, &record):
		return "not TLS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to host"
	case errors.Is(err, syscall.ENETUNREACH):
		return "network unreachable"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return "connection closed"
	}
	text := err.Error()
	text = strings.TrimPrefix(text, "tls: ")
	if len(text) > 120 {
		text = text[:120]
	}
	return strings.ToValidUTF8(text, "?")
}

func (c *checker) invalid(err x509.CertificateInvalidError) string {
	if err.Reason == x509.Expired {
		now := c.now()
		if now.Before(err.Cert.NotBefore) {
			return fmt.Sprintf("certificate not valid for another %s", age(err.Cert.NotBefore.Sub(now)))
		}
		return fmt.Sprintf("certificate expired %s ago", age(now.Sub(err.Cert.NotAfter)))
	}
	return strings.TrimPrefix(err.Error(), "x509: ")
}

// age formats a duration roughly: in days from two days on, in hours from two hours on, in minutes from two minutes on.
func age(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
