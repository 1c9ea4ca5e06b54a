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

// What files with credentials may hold, octets.
const (
	mostPEM      = 1 << 20
	mostPassword = 4 << 10
)

// TLSFiles name what TLS needs. The zero value: the system's authorities and no client certificate. All of them are
// read again for every connection, so that they can be renewed in place.
type TLSFiles struct {
	CA         string // PEM file of authorities that sign etcd's certificates
	Cert, Key  string // PEM files of the client
	ServerName string // name that etcd's certificate must have, if not the one in the URL
	Insecure   bool   // do not verify etcd's certificate
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

// transport is TLS whose files are read anew for every connection: who was refused for what has been renewed is not
// refused again. Files that cannot be read, as they are being written, leave what was read before.
type transport struct {
	credentials.TransportCredentials // of what was read first
	files                            TLSFiles
	log                              *slog.Logger

	mu    sync.Mutex
	last  *tls.Config // not to be changed
	fault string      // why the files were not read the last time
}

func newTransport(f TLSFiles, log *slog.Logger) (*transport, error) {
	c, err := f.config()
	if err != nil {
		return nil, err
	}
	return &transport{TransportCredentials: credentials.NewTLS(c), files: f, log: log, last: c}, nil
}

// config is what the next connection uses.
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

// ClientHandshake is that of credentials.TransportCredentials.
func (t *transport) ClientHandshake(
	ctx context.Context, authority string, c net.Conn,
) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(t.config()).ClientHandshake(ctx, authority, c)
}

// Clone returns the same: nothing of it is another connection's.
func (t *transport) Clone() credentials.TransportCredentials { return t }

// readPassword reads a password's file. A line's end at its end is no part of it.
func readPassword(file string) (string, error) {
	b, err := disk.Read(file, mostPassword)
	if err != nil {
		return "", fmt.Errorf("etcd's password: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
