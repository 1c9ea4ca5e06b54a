// Package etcd is the ground for everything that lives in etcd: resources, reports, keys of zones, signatures, cookie
// secrets, results of drills. It knows where etcd is, who asks, and the names of all keys, but not what values mean.
//
//	Cluster ── Conn of all members        calls that may go anywhere
//	   │ ├──── Member(i): Conn of one     kept; its user goes on to the next when it fails (Turns)
//	   │ └──── Connect(i): Conn of one    new, so that nothing old is trusted; its caller closes it
//	   │
//	   └ each Conn:  Get, Read (pages at one revision), Begin (compare, then put and delete), Watch
//
// Neither errors nor keepalives of the connection show reliably that a watch still hears anything: behind a cut link,
// or on a stopped member, it is silent for ever. So a Watch asks for its own progress and has a deadline for each
// answer; see watch.go.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Options say which etcd to use, and how.
type Options struct {
	Endpoints []string // URLs; "host:port" is http://, or https:// where TLS names a file
	TLS       TLSFiles
	User      string
	Password  string
	// PasswordFile has the password; use it instead of Password. It is read again whenever etcd asks for the password.
	PasswordFile string
	Prefix       string // DefaultPrefix if empty; a missing final slash is added

	Timeout time.Duration // for one call; 10 s if zero
	Silence time.Duration // how long a watch may be silent before it is given up; 6 s if zero

	// Waiting is for callers with a person who waits. It is called after they have waited for a while, with the limit
	// up to which they go on, and it makes Persist try again. Servers leave it nil, as they would rather ask another
	// member.
	Waiting func(where string, limit time.Duration)

	Log  *slog.Logger     // nil: slog.Default
	Now  func() time.Time // nil: time.Now
	Dice func() float64   // in [0,1), spreads retries; nil: math/rand/v2's
}

// Cluster is an etcd cluster and a prefix of its keys. Methods may be called from several goroutines.
type Cluster struct {
	*Conn     // to all members
	Options   Options
	Endpoints []string // with their schemes

	tls      *transport // nil: no TLS
	password *password
	members  []*Conn // to each by itself
}

// Dial prepares the connections. It does not wait for etcd: an error is a mistake in the options, never an etcd that is
// away.
func Dial(o Options) (*Cluster, error) {
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if !strings.HasSuffix(o.Prefix, "/") {
		o.Prefix += "/"
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
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
	c := &Cluster{Options: o, password: &password{given: o.Password, file: o.PasswordFile, log: o.Log}}
	if o.PasswordFile != "" {
		if _, err := readPassword(o.PasswordFile); err != nil {
			return nil, err
		}
	}
	if err := c.address(); err != nil {
		return nil, err
	}
	var err error
	if c.Conn, err = c.open(c.Endpoints...); err != nil {
		return nil, err
	}
	for _, endpoint := range c.Endpoints {
		one, err := c.open(endpoint)
		if err != nil {
			c.Close()
			return nil, err
		}
		c.members = append(c.members, one)
	}
	return c, nil
}

// address gives every endpoint its scheme. It reads the TLS files if an endpoint needs them.
func (c *Cluster) address() error {
	files := c.Options.TLS
	secure := 0
	for _, s := range c.Options.Endpoints {
		s = strings.TrimSuffix(strings.TrimSpace(s), "/")
		if s == "" {
			continue
		}
		scheme, _, given := strings.Cut(s, "://")
		switch {
		case !given && files.zero():
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
		c.Endpoints = append(c.Endpoints, s)
	}
	switch {
	case len(c.Endpoints) == 0:
		return errors.New("no etcd is named; give its members' URLs, such as http://127.0.0.1:2379")
	case secure == 0 && !files.zero():
		return fmt.Errorf("files for TLS are given, but %s is not https; write https:// or leave them out",
			c.Endpoints[0])
	case secure != 0 && secure != len(c.Endpoints):
		return errors.New("some of etcd's URLs are http and some https; all must be alike")
	case secure == 0:
		return nil
	}
	var err error
	c.tls, err = newTransport(files, c.Options.Log)
	return err
}

// open makes a client of some members. It connects when it is first used.
func (c *Cluster) open(endpoints ...string) (*Conn, error) {
	o := &c.Options
	dial := []grpc.DialOption{
		grpc.WithUserAgent("leeward"),
		// By default, grpc waits up to two minutes between attempts once a member has been away for long, and gives
		// each attempt 20 s. Reports would be stale for that long after a link is back. There are few members, and
		// asking often costs nothing.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second,
			},
			MinConnectTimeout: 4 * time.Second,
		}),
	}
	if o.TLS.ServerName != "" {
		// Without this the client takes the name from the URL, whatever the TLS settings say.
		dial = append(dial, grpc.WithAuthority(o.TLS.ServerName))
	}
	if o.User != "" {
		p := &pass{user: o.User, password: c.password}
		dial = append(dial, grpc.WithChainUnaryInterceptor(p.unary), grpc.WithChainStreamInterceptor(p.stream))
	}
	if c.tls != nil {
		dial = append(dial, grpc.WithTransportCredentials(c.tls)) // instead of the client's own
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialOptions: dial, Logger: zap.NewNop(),
		// Measured with etcd 3.7.3: with these, a watch is heard again 1 s after a cut link is back, and without them
		// never. grpc raises the first to 10 s. The second also bounds how long sent data may stay unacknowledged
		// (TCP_USER_TIMEOUT). As a vantage sends heartbeats, it leaves a member that is cut off within about 3 s.
		DialKeepAliveTime: 2 * time.Second, DialKeepAliveTimeout: time.Second,
		MaxCallSendMsgSize: 8 << 20, // above etcd's own limit (1.5 MiB by default), so that etcd says what is wrong
		MaxUnaryRetries:    3,
	})
	if err != nil {
		return nil, fmt.Errorf("etcd at %s: %w", strings.Join(endpoints, ", "), err)
	}
	return &Conn{Client: client, cluster: c, patience: o.Timeout}, nil
}

// Member returns the client of one member. Close closes it. A client of several members gives them its calls in turn,
// so one member that accepts calls but does not answer (it is stopped, or cannot reach the leader) would fail every
// attempt that needs as many calls as there are members.
func (c *Cluster) Member(i int) *Conn { return c.members[i%len(c.members)] }

// Connect returns a new client of one member, once the member has accepted the connection. The caller closes it. The
// error says why the member did not accept within the given time.
func (c *Cluster) Connect(ctx context.Context, i int, within time.Duration) (*Conn, error) {
	one, err := c.open(c.Endpoints[i%len(c.Endpoints)])
	if err != nil {
		return nil, err
	}
	if err := one.connect(ctx, within); err != nil {
		one.Close()
		return nil, err
	}
	return one, nil
}

// late is how long a person waits before being told what for.
const late = 3 * time.Second

// Late calls Options.Waiting after a while, unless done is called before. limit is the longest that the caller waits.
func (c *Cluster) Late(limit time.Duration) (done func()) {
	if c.Options.Waiting == nil || limit <= late {
		return func() {}
	}
	timer := time.AfterFunc(late, func() { c.Options.Waiting(c.where(), limit) })
	return func() { timer.Stop() }
}

// Prefix returns the prefix of all keys, with its final slash.
func (c *Cluster) Prefix() string { return c.Options.Prefix }

// Log returns the logger for problems.
func (c *Cluster) Log() *slog.Logger { return c.Options.Log }

// Close ends all connections. Watches and writers must have returned before.
func (c *Cluster) Close() error {
	for _, m := range c.members {
		m.Close()
	}
	return c.Conn.Close()
}
