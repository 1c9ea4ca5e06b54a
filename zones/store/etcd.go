// Package store is where resources live: in etcd, or in a folder of files. Both are read whole once and then followed,
// and both say what changed in the same words, a zones.Batch.
//
// Following etcd is: a list in pages at one revision, then a watch from the next. Neither an error nor a heartbeat of
// the connection tells reliably that a watch still hears anything (through a cut link, or on a stopped member, it is
// silent for ever), so a watch is asked for its progress and has a deadline for every answer. When it ends, the next
// one uses a fresh connection to the next member and goes on where the last one was, if etcd can prove that its history
// is still the one that was followed; else everything is listed again. A history that is another one (a restored
// backup, a wiped cluster, an address that leads elsewhere) is not taken until an operator has accepted it.
//
// Writing is one transaction that compares what the writer has seen, so that two writers at once cannot lose each
// other's change nor leave a reference to nothing.
package store

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"leeward/zones"
)

// DefaultPrefix is where resources are kept in etcd unless told otherwise.
const DefaultPrefix = "/leeward/"

// Keys below the prefix that are no resources.
const (
	reports  = "reports/"
	vantages = "vantages/"
	meta     = "meta/"
	accepted = meta + "accepted"
	bases    = meta + "serial-base"
	serials  = meta + "serials/"
	owners   = meta + "owners/"        // and a resource's key: who it belongs to, see owners.go
	granted  = meta + "accepted-keys/" // and a resource's key: its removal was accepted by itself
	meant    = meta + "meant"          // its revision is that of removals which were made on purpose, and says nothing of others
)

// Options say which etcd, and how it is spoken to.
type Options struct {
	Endpoints []string // URLs; "host:port" is http://, or https:// where TLS names a file
	TLS       TLSFiles
	User      string
	Password  string
	// PasswordFile has the password, in place of Password: it is read again whenever etcd is asked to authenticate the
	// user.
	PasswordFile string
	Prefix       string // DefaultPrefix if empty; a missing final slash is added

	Timeout  time.Duration // of one call; 10 s if zero
	Progress time.Duration // how often a watch is asked for its progress; 2 s if zero
	Silence  time.Duration // how long a watch may say nothing before it is given up; 6 s if zero

	Log  *slog.Logger     // slog.Default if nil
	Now  func() time.Time // time.Now if nil
	Dice func() float64   // in [0,1), spreads retries; math/rand/v2's if nil
}

// Etcd is the resources below a prefix of an etcd cluster. Its methods may be called from several goroutines.
type Etcd struct {
	o         Options
	tls       *transport // nil: none
	password  *password
	endpoints []string // with their schemes
	log       *slog.Logger
	client    *clientv3.Client
	members   []*clientv3.Client // one each; made by Members

	mu    sync.Mutex
	known Point // what the receiver of Follow has
}

// Dial prepares to speak to etcd. It does not wait for it: an error is a mistake in the options, never an etcd that is
// away.
func Dial(o Options) (*Etcd, error) {
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if !strings.HasSuffix(o.Prefix, "/") {
		o.Prefix += "/"
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Progress <= 0 {
		o.Progress = 2 * time.Second
	}
	if o.Silence <= 0 {
		o.Silence = 6 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Dice == nil {
		o.Dice = rand.Float64
	}
	if (o.Password != "" || o.PasswordFile != "") && o.User == "" {
		return nil, errors.New("a password for etcd is given but no user")
	}
	e := &Etcd{o: o, log: o.Log, password: &password{given: o.Password, file: o.PasswordFile, log: o.Log}}
	if o.PasswordFile != "" {
		if _, err := readPassword(o.PasswordFile); err != nil {
			return nil, err
		}
	}
	if err := e.address(); err != nil {
		return nil, err
	}
	var err error
	if e.client, err = e.open(e.endpoints...); err != nil {
		return nil, err
	}
	return e, nil
}

// address gives every endpoint its scheme and reads the TLS files if one of them needs any.
func (e *Etcd) address() error {
	secure := 0
	for _, s := range e.o.Endpoints {
		s = strings.TrimSuffix(strings.TrimSpace(s), "/")
		if s == "" {
			continue
		}
		scheme, _, given := strings.Cut(s, "://")
		switch {
		case !given && e.o.TLS.zero():
			scheme, s = "http", "http://"+s
		case !given:
			scheme, s = "https", "https://"+s
		}
		switch scheme {
		case "http", "unix":
		case "https", "unixs":
			secure++
		default:
			return fmt.Errorf("etcd at %q: the scheme is http or https", s)
		}
		e.endpoints = append(e.endpoints, s)
	}
	switch {
	case len(e.endpoints) == 0:
		return errors.New("no etcd is named; give its members' URLs, such as http://127.0.0.1:2379")
	case secure == 0 && !e.o.TLS.zero():
		return fmt.Errorf("files for TLS are given but %s is not https; write https:// or leave them out", e.endpoints[0])
	case secure != 0 && secure != len(e.endpoints):
		return errors.New("some of etcd's URLs are http and some https; all must be alike")
	case secure == 0:
		return nil
	}
	var err error
	e.tls, err = newTransport(e.o.TLS, e.log)
	return err
}

// open makes a client of some of the members. Connections are made when they are needed.
func (e *Etcd) open(endpoints ...string) (*clientv3.Client, error) {
	dial := []grpc.DialOption{
		grpc.WithUserAgent("leeward"),
		// Left to itself grpc waits up to two minutes between attempts once a member has been away for long, and gives
		// each attempt 20 s: then reports would be stale that long after a link is back. Members are few; asking often
		// costs nothing.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 4 * time.Second,
		}),
	}
	if e.o.TLS.ServerName != "" {
		// Without this the client takes the name from the URL whatever the TLS settings say.
		dial = append(dial, grpc.WithAuthority(e.o.TLS.ServerName))
	}
	if e.o.User != "" {
		p := &pass{user: e.o.User, password: e.password}
		dial = append(dial, grpc.WithChainUnaryInterceptor(p.unary), grpc.WithChainStreamInterceptor(p.stream))
	}
	if e.tls != nil {
		dial = append(dial, grpc.WithTransportCredentials(e.tls.Clone())) // after the client's own, which it takes the place of
	}
	c, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialOptions: dial, Logger: zap.NewNop(),
		// Measured with etcd 3.7.3: with these a watch is heard again 1 s after a cut link is back, without them never.
		DialKeepAliveTime: 2 * time.Second, DialKeepAliveTimeout: time.Second,
		MaxCallSendMsgSize: 8 << 20, // etcd's own limit (1.5 MiB unless configured) then says what is wrong
		MaxUnaryRetries:    3,
	})
	if err != nil {
		return nil, fmt.Errorf("etcd at %s: %w", strings.Join(endpoints, ", "), err)
	}
	return c, nil
}

// Client returns the client of all members, for others that keep their keys below the same prefix. Close closes it.
func (e *Etcd) Client() *clientv3.Client { return e.client }

// Members returns a client of each member by itself, for those who must not be held up by one that takes calls and does
// not answer. Close closes them. It is not to be called from several goroutines.
func (e *Etcd) Members() ([]*clientv3.Client, error) {
	for len(e.members) < len(e.endpoints) {
		c, err := e.open(e.endpoints[len(e.members)])
		if err != nil {
			return nil, err
		}
		e.members = append(e.members, c)
	}
	return e.members, nil
}

// Prefix returns where the keys are, with its final slash.
func (e *Etcd) Prefix() string { return e.o.Prefix }

// Close ends all connections. Follow must have returned.
func (e *Etcd) Close() error {
	for _, c := range e.members {
		c.Close()
	}
	if err := e.client.Close(); err != nil && !errors.Is(err, e.client.Ctx().Err()) {
		return err
	}
	return nil
}

// path returns a resource's key in etcd.
func (e *Etcd) path(k zones.Key) string { return e.o.Prefix + string(k) }

// change reads one key of etcd. It returns false where the key is no resource's by design.
func (e *Etcd) change(key, value []byte, revision int64, deleted bool) (zones.Change, bool) {
	k := zones.Key(key[len(e.o.Prefix):])
	switch kind := k.Kind(); {
	case strings.HasPrefix(string(k), reports), strings.HasPrefix(string(k), vantages), strings.HasPrefix(string(k), meta):
		return zones.Change{}, false
	case deleted:
		return zones.Change{Key: k, Revision: revision}, true
	case kind == "":
		return zones.Change{Key: k, Revision: revision, Err: zones.Problems{{Key: k, Code: zones.CodeStray, Message: fmt.Sprintf(
			"no kind of resource is kept in %s; delete it, or put it where its kind belongs (zones, records, regions, …)", key)}}}, true
	}
	r, err := zones.Decode(k, value)
	if err != nil {
		return zones.Change{Key: k, Err: err, Revision: revision}, true
	}
	return zones.Change{Key: k, Resource: r, Revision: revision}, true
}
