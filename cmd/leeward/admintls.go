package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/spf13/pflag"

	"leeward/cmd/leeward/process"
	"leeward/zones/disk"
)

// adminTLSFlags say how a client of an admin interface speaks TLS.
type adminTLSFlags struct{ ca, cert, key, serverName string }

func (f *adminTLSFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.ca, "admin-ca", "",
		"a `FILE` of CA certificates that the server's is checked against (default: the system's)")
	flags.StringVar(&f.cert, "admin-cert", "",
		"a `FILE` with a client certificate, for a server with --admin-client-ca")
	flags.StringVar(&f.key, "admin-key", "", "a `FILE` with its private key")
	flags.StringVar(&f.serverName, "admin-server-name", "",
		"the `NAME` in the admin interface's certificate, if it is not the one in the URL")
}

func (f *adminTLSFlags) given() bool { return *f != adminTLSFlags{} }

// page returns the URL of a page of the admin interface that --admin names. As serve takes the same --admin, it may be
// an address without a scheme, which is https where TLS flags are given, or one that nobody can dial, such as ":8053",
// which is loopback's.
func (f *adminTLSFlags) page(address, path string) (*url.URL, error) {
	text := address
	if !strings.Contains(address, "://") {
		scheme := "http://"
		if f.given() {
			scheme = "https://"
		}
		text = scheme + address
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, misused("--admin %q: write an address such as 127.0.0.1:8053, or a URL", address)
	}
	a, err := netip.ParseAddr(u.Hostname())
	switch {
	case u.Hostname() == "", err == nil && a == netip.IPv4Unspecified():
		u.Host = net.JoinHostPort("127.0.0.1", u.Port())
	case err == nil && a == netip.IPv6Unspecified():
		u.Host = net.JoinHostPort("::1", u.Port())
	}
	return u.JoinPath(path), nil
}

// config reads the files.
func (f *adminTLSFlags) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.serverName}
	if f.ca != "" {
		text, err := disk.Read(f.ca, process.MostPEM)
		if err != nil {
			return nil, fmt.Errorf("--admin-ca: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--admin-ca: %s has no PEM certificate in it", f.ca)
		}
	}
	if (f.cert == "") != (f.key == "") {
		return nil, misused("give both --admin-cert and --admin-key, or neither")
	}
	if f.cert != "" {
		pair, err := process.ReadPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("--admin-cert and --admin-key (%s, %s): %w", f.cert, f.key, err)
		}
		c.Certificates = []tls.Certificate{pair}
		// Send it whatever authorities the server names, so that it is the server that says what is wrong with it.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return c, nil
}

// explain adds to an error of TLS what the operator can do about it. It returns other errors as they are.
func (f *adminTLSFlags) explain(err error) error {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var header tls.RecordHeaderError
	var invalid x509.CertificateInvalidError
	text := err.Error()
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w; give the server a new one (its --admin-tls-cert), if this machine's clock is right", err)
	case strings.Contains(text, "remote error: tls: expired certificate"):
		return fmt.Errorf("%w; the server refuses this client certificate: give one with --admin-cert whose time it is",
			err)
	case errors.As(err, &authority):
		return fmt.Errorf("%w; give the authority that signed its certificate with --admin-ca FILE", err)
	case errors.As(err, &name):
		return fmt.Errorf("%w; use a name that its certificate has, or give one with --admin-server-name", err)
	case errors.As(err, &header), strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("%w; the server speaks plain HTTP: write http:// and leave out --admin-ca and the like", err)
	case strings.Contains(text, "remote error: tls:"):
		return fmt.Errorf("%w; the server refuses this client certificate: an authority in its --admin-client-ca "+
			"must have signed it", err)
	}
	return err
}

// plainToTLS is how Go's HTTPS server answers a client that speaks plain HTTP.
const plainToTLS = "Client sent an HTTP request to an HTTPS server"

func speaksTLS(base string) error {
	return fmt.Errorf("%s: the server speaks TLS: write https://, and give the authority that signed its certificate "+
		"with --admin-ca FILE", base)
}
