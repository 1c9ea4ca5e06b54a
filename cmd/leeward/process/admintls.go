package process

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"

	"leeward/zones/disk"
)

// AdminTLS names the PEM files of the admin interface's TLS. The zero value is plain HTTP.
type AdminTLS struct {
	Cert, Key string // of the server; Cert holds the server's certificate first, then the intermediate ones
	ClientCA  string // authorities that sign clients' certificates; "": clients need no certificate
}

// Check returns an error if the files do not go together, as a certificate without a key. It does not read them.
func (a AdminTLS) Check() error {
	switch {
	case (a.Cert == "") != (a.Key == ""):
		return errors.New("the admin interface's certificate and its key go together; " +
			"give both --admin-tls-cert and --admin-tls-key, or neither")
	case a.ClientCA != "" && a.Cert == "":
		return errors.New("--admin-client-ca asks for clients' certificates, which takes TLS; " +
			"give --admin-tls-cert and --admin-tls-key too")
	}
	return nil
}

// adminTLS is the configuration in force. Each reload reads the files again, and keeps the last good configuration if
// they cannot be read.
type adminTLS struct {
	files AdminTLS
	now   atomic.Pointer[tls.Config]
}

func openAdminTLS(files AdminTLS) (*adminTLS, error) {
	a := &adminTLS{files: files}
	return a, a.reload()
}

// reload reads the files. Open connections are not affected.
func (a *adminTLS) reload() error {
	pair, err := ReadPair(a.files.Cert, a.files.Key)
	if err != nil {
		return fmt.Errorf("the admin interface's certificate (%s, %s): %w", a.files.Cert, a.files.Key, err)
	}
	c := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair},
		NextProtos: []string{"http/1.1"},
	}
	if a.files.ClientCA != "" {
		text, err := disk.Read(a.files.ClientCA, MostPEM)
		if err != nil {
			return fmt.Errorf("authorities of the admin interface's clients: %w", err)
		}
		if c.ClientCAs = x509.NewCertPool(); !c.ClientCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("authorities of the admin interface's clients: %s has no PEM certificate in it",
				a.files.ClientCA)
		}
		c.ClientAuth = tls.VerifyClientCertIfGiven // the public pages need no certificate
	}
	a.now.Store(c)
	return nil
}

// certificate returns the one in force.
func (a *adminTLS) certificate() *tls.Certificate { return &a.now.Load().Certificates[0] }

// MostPEM is the size, in octets, of the largest file that a certificate or a key is read from.
const MostPEM = 1 << 20

// ReadPair reads a certificate and its key from two PEM files.
func ReadPair(cert, key string) (tls.Certificate, error) {
	c, err := disk.Read(cert, MostPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	k, err := disk.Read(key, MostPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(c, k)
}

// config returns the configuration for a listener. It follows reloads.
func (a *adminTLS) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return a.now.Load(), nil },
	}
}
