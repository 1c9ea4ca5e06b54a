package probe

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"leeward/health"
)

// grpc checks for SERVING from the gRPC health service (grpc.health.v1). It makes the connection itself and hands it to
// grpc once: grpc would retry, and reports errors only as text.
func (c *checker) grpc(ctx context.Context, g *health.GRPC) outcome {
	conn, err := c.dial(ctx, "tcp", g.Port)
	if err != nil {
		return c.failed(ctx, err)
	}
	defer conn.Close()
	var cause firstError
	creds, name := insecure.NewCredentials(), cmp.Or(g.ServerName, withoutPort(c.host("")))
	if g.TLS {
		creds = credentials.NewTLS(c.settings(name, g.Insecure))
	}
	var given atomic.Bool
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(watched{creds, &cause}),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if given.Swap(true) {
				return nil, net.ErrClosed
			}
			return conn, nil
		}),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithDisableHealthCheck(),
		grpc.WithUserAgent(userAgent),
	}
	if name != "" {
		options = append(options, grpc.WithAuthority(name))
	}
	client, err := grpc.NewClient("passthrough:///"+netip.AddrPortFrom(c.address, g.Port).String(), options...)
	if err != nil {
		return outcome{reason: err.Error()}
	}
	defer client.Close()
	answer, err := grpc_health_v1.NewHealthClient(client).Check(ctx,
		&grpc_health_v1.HealthCheckRequest{Service: g.Service})
	if err == nil {
		if s := answer.GetStatus(); s != grpc_health_v1.HealthCheckResponse_SERVING {
			return down("%s", s)
		}
		return up()
	}
	if first := cause.get(); first != nil {
		return c.failed(ctx, first)
	}
	switch status.Code(err) {
	case codes.NotFound:
		return down("service %q is not known there", g.Service)
	case codes.Unimplemented:
		return down("no health service there")
	case codes.DeadlineExceeded, codes.Canceled:
		return down("timeout after %s", c.timeout)
	}
	return c.failed(ctx, errors.New(status.Convert(err).Message()))
}

// watched are credentials that keep the error of a handshake, which grpc would only pass on as text.
type watched struct {
	credentials.TransportCredentials
	cause *firstError
}

func (w watched) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo,
	error,
) {
	secured, auth, err := w.TransportCredentials.ClientHandshake(ctx, authority, conn)
	w.cause.set(err)
	return secured, auth, err
}

func (w watched) Clone() credentials.TransportCredentials {
	return watched{w.TransportCredentials.Clone(), w.cause}
}

// firstError keeps the first error that it is given.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *firstError) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
