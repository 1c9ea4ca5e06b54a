package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
)

// connect waits until a member has taken the connection. Without it, a call to a dead member would wait for its
// deadline and hide why.
func connect(ctx context.Context, c *clientv3.Client, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	conn := c.ActiveConnection()
	for {
		conn.Connect()
		switch s := conn.GetState(); s {
		case connectivity.Ready:
			return nil
		case connectivity.TransientFailure:
			return refusal(ctx, conn, strings.HasPrefix(c.Endpoints()[0], "https"))
		default:
			if !conn.WaitForStateChange(ctx, s) {
				return fmt.Errorf("no connection within %v", within)
			}
		}
	}
}

// refusal returns why a connection failed: only a call that does not wait for another one is told.
func refusal(ctx context.Context, conn *grpc.ClientConn, secure bool) error {
	err := conn.Invoke(ctx, authenticate, &pb.AuthenticateRequest{}, &pb.AuthenticateResponse{}, grpc.WaitForReady(false))
	text := "the connection failed"
	if s, ok := status.FromError(err); ok && s.Code() == codes.Unavailable {
		text = s.Message()
		for _, cut := range []string{`connection error: desc = "transport: `, "Error while dialing: ", "authentication handshake failed: "} {
			if _, rest, ok := strings.Cut(text, cut); ok {
				text = strings.TrimSuffix(rest, `"`)
			}
		}
	}
	switch {
	case strings.Contains(text, "connection refused"):
		text += " (is etcd running there?)"
	case secure: // whoever refuses a client's certificate may hang up before it has said so
		text += " (do the CA, the server's name and the client certificate fit?)"
	case strings.Contains(text, "error reading server preface"):
		text += " (does it speak TLS: https:// instead of http://?)"
	}
	return errors.New(text)
}

// reach connects for one of the calls that do not follow, and says which etcd does not answer.
func (e *Etcd) reach(ctx context.Context) error {
	if err := connect(ctx, e.client, e.o.Timeout); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("etcd at %s: %w", strings.Join(e.endpoints, ", "), err)
	}
	return nil
}

// why says what a failed call means and what to do. An etcd without a quorum answers no call that needs one, without an
// error: only a read that does without shows that it is there.
func (e *Etcd) why(ctx context.Context, err error) error {
	at := "etcd at " + strings.Join(e.endpoints, ", ")
	s, _ := status.FromError(err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, rpctypes.ErrPermissionDenied), errors.Is(err, rpctypes.ErrUserEmpty):
		return fmt.Errorf("%s: %w: the user needs a role that reads and writes the prefix %s", at, err, e.o.Prefix)
	case errors.Is(err, rpctypes.ErrAuthFailed):
		return fmt.Errorf("%s: %w: check the user's name and password", at, err)
	case !errors.Is(err, context.DeadlineExceeded) && s.Code() != codes.DeadlineExceeded:
		return fmt.Errorf("%s: %w", at, err)
	}
	brief, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, alone := e.client.Get(brief, e.o.Prefix+accepted, clientv3.WithSerializable()); alone == nil {
		if _, all := e.client.Get(brief, e.o.Prefix+accepted); all == nil {
			return fmt.Errorf("%s did not answer within %v, but does so now (a leader was lost, or there is much to do); try again", at, e.o.Timeout)
		}
		return fmt.Errorf("%s answers, but no quorum does: it has no leader. Servers go on with what they have; "+
			"bring back a majority of etcd's members (etcdctl endpoint status --cluster)", at)
	}
	return fmt.Errorf("%s did not answer within %v", at, e.o.Timeout)
}
