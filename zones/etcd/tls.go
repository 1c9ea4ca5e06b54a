package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"

	"google.golang.org/grpc/credentials"

	"leeward/zones/disk"
)

// The largest size of files with credentials, in octets.
const (
	mostPEM      = 1 << 20
	mostPassword = 4 << 10
)

// TLSFiles name the files for TLS. The zero value means the system's authorities and no client certificate. All files
// are read again for every connection, so that they can be replaced in place.
type TLSFiles struct {
	CA         string // PEM file of the authorities that sign etcd's certificates
	Cert, Key  string // the client's PEM files
	ServerName string // the name in etcd's certificate, if it is not the one in the URL
	Insecure   bool   // etcd's certificate is not verified
}

func (f TLSFiles) zero() bool { return f == TLSFiles{} }

// config reads the files. Errors name the file.
func (f TLSFiles) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName, InsecureSkipVerify: f.Insecure}
	if f.CA != "" {
		pem, err := disk.Read(f.CA, mostPEM)
		if err != nil {
			return nil, fmt.Errorf("etcd's certificate authorities: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("etcd's certificate authorities: %s has no PEM certificate in it", f.CA)
		}
	}
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("a client certificate and its key go together; give both files or neither")
	}
	if f.Cert != "" {
		cert, err := disk.Read(f.Cert, mostPEM)
		if err != nil {
			return nil, fmt.Errorf("client certificate for etcd: %w", err)
		}
		key, err := disk.Read(f.Key, mostPEM)
		if err != nil {
			return nil, fmt.Errorf("client certificate for etcd: %w", err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("client certificate for etcd (%s, %s): %w", f.Cert, f.Key, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// transport is TLS with files that are read again for every connection, so that a renewed certificate counts from the
// next one on. While the files cannot be read, as during a change, it keeps using what it read before.
type transport struct {
	credentials.TransportCredentials // of what was read first
	files                            TLSFiles
	log                              *slog.Logger

	mu    sync.Mutex
	last  *tls.Config // must not be changed
	fault string      // why the last reading failed
}

func newTransport(f TLSFiles, log *slog.Logger) (*transport, error) {
	c, err := f.config()
	if err != nil {
		return nil, err
	}
	return &transport{TransportCredentials: credentials.NewTLS(c), files: f, log: log, last: c}, nil
}

// config returns what the next connection uses.
func (t *transport) config() *tls.Config {
	c, err := t.files.config()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.last, t.fault = c, ""
	} else if t.fault != err.Error() {
		t.fault = err.Error()
		t.log.Warn("etcd: going on with the certificates from before", "err", err)
	}
	return t.last
}

// ClientHandshake implements credentials.TransportCredentials.
func (t *transport) ClientHandshake(
	ctx context.Context, authority string, c net.Conn,
) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(t.config()).ClientHandshake(ctx, authority, c)
}

// Clone returns the transport itself, as it has no state of a connection.
func (t *transport) Clone() credentials.TransportCredentials { return t }

// readPassword reads a password from a file, without a final line break.
func readPassword(file string) (string, error) {
	b, err := disk.Read(file, mostPassword)
	if err != nil {
		return "", fmt.Errorf("etcd's password: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
