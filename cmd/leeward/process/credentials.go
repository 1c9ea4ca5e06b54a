package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"leeward/zones/disk"
)

// credential is something read from files that must be read again when they change. Files for connections to etcd are
// read anew for each connection. Of these only the certificate is among them, so that its end is known.
type credential struct {
	files []string
	read  func() // logs an error and keeps the last good value if the files cannot be read
}

// credentials returns all that this server has.
func (r *run) credentials() []credential {
	var all []credential
	add := func(read func(), files ...string) {
		files = slices.DeleteFunc(files, func(f string) bool { return f == "" })
		if len(files) > 0 {
			all = append(all, credential{files, func() {
				r.reading.Lock() // SIGHUP may be reading them too, and the older reading must not win
				defer r.reading.Unlock()
				read()
			}})
		}
	}
	if r.dns != nil {
		add(r.readKeys, slices.Clone(r.TSIGKeys)...)
	}
	if r.keyring != nil {
		add(r.keyring.look, r.KeySecrets)
	}
	add(r.readShown, r.ProbeTLS.Cert, r.ProbeTLS.Key)
	if r.Etcd != nil && r.Etcd.TLS.Cert != "" {
		add(r.readEtcdCertificate, r.Etcd.TLS.Cert, r.Etcd.TLS.Key)
	}
	if r.pages != nil {
		add(r.readToken, r.TokenFile)
		if r.pages.tls != nil {
			add(r.readAdminTLS, r.AdminTLS.Cert, r.AdminTLS.Key, r.AdminTLS.ClientCA)
		}
	}
	return all
}

func (r *run) readAdminTLS() {
	err := r.pages.tls.reload()
	r.presented(useAdmin, "admin interface", r.AdminTLS.Cert, r.pages.tls.certificate(), err)
	if err != nil {
		r.Log.Error("admin interface: going on with the certificates from before", "err", err)
		return
	}
	r.Log.Info("admin interface: certificates read")
}

// ProbeTLS names the PEM files of the certificate that probes present to endpoints that ask for one. The zero value is
// no certificate.
type ProbeTLS struct{ Cert, Key string }

// Check returns an error if only one of the two files is given. It does not read them.
func (p ProbeTLS) Check() error {
	if (p.Cert == "") != (p.Key == "") {
		return errors.New("the certificate that probes show and its key go together; " +
			"give both --probe-cert and --probe-key, or neither")
	}
	return nil
}

func (r *run) readShown() {
	own, err := ReadPair(r.ProbeTLS.Cert, r.ProbeTLS.Key)
	r.presented(useProbe, "probes", r.ProbeTLS.Cert, &own, err)
	if err != nil {
		r.Log.Error("probes: going on with the certificate from before", "err", err)
		return
	}
	r.shown.Store(&own)
	r.Log.Info("probes: certificate read")
}

func (r *run) readToken() {
	t, err := ReadToken(r.TokenFile)
	r.renewals.read(useToken, nil, err)
	if err != nil {
		r.Log.Error("admin interface: going on with the token from before", "err", err)
		return
	}
	r.token.now.Store(&t)
	r.Log.Info("admin interface: token read")
}

// token is the token that the admin interface asks for now.
type token struct{ now atomic.Pointer[string] }

func (t *token) get() string {
	if s := t.now.Load(); s != nil {
		return *s
	}
	return ""
}

// mostToken is the size, in octets, of the largest file that a token is read from.
const mostToken = 4 << 10

// ReadToken reads the admin interface's token from a file.
func ReadToken(file string) (string, error) {
	b, err := disk.Read(file, mostToken)
	if err != nil {
		return "", err
	}
	t := strings.TrimSpace(string(b))
	if t == "" {
		return "", fmt.Errorf("%s is empty; put the token into it", file)
	}
	return t, nil
}

// credentialsEvery is how often the files are checked, with a stat each. A file is read only when two checks in a row
// find the same change: then nobody is still writing it.
const credentialsEvery = time.Second

// watchFiles reads credentials again when their files change, until the context ends. A stat also shows a file that was
// exchanged behind a symbolic link, which is how Kubernetes updates secrets.
func watchFiles(ctx context.Context, every time.Duration, all []credential) {
	if len(all) == 0 {
		return
	}
	type state struct{ read, seen []disk.Stamp }
	states := make([]state, len(all))
	for i, c := range all {
		now := stamps(c.files)
		states[i] = state{now, now}
	}
	for range ticks(ctx, every) {
		for i, c := range all {
			s, now := &states[i], stamps(c.files)
			if calm := slices.EqualFunc(now, s.seen, disk.Stamp.Same); calm &&
				!slices.EqualFunc(now, s.read, disk.Stamp.Same) {
				s.read = now
				c.read()
			}
			s.seen = now
		}
	}
}

func stamps(files []string) (all []disk.Stamp) {
	for _, f := range files {
		all = append(all, disk.Look(f))
	}
	return all
}
