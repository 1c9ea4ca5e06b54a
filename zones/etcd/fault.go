package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
)

// ErrBusy is returned if etcd, or something that accepts connections in its place, does not answer in time.
var ErrBusy = errors.New("no answer in time: etcd is busy")

// ErrDenied is returned if the user may not read or write these keys.
var ErrDenied = rpctypes.ErrPermissionDenied

// connect waits until a member has accepted the connection. Without it, a call to a dead member would wait for its
// deadline and hide the reason.
func (c *Conn) connect(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	conn := c.Client.ActiveConnection()
	for {
		conn.Connect()
		switch s := conn.GetState(); s {
		case connectivity.Ready:
			return nil
		case connectivity.TransientFailure:
			return refusal(ctx, conn, strings.HasPrefix(c.Client.Endpoints()[0], "https"))
		default:
			if !conn.WaitForStateChange(ctx, s) {
				return fmt.Errorf("no connection within %v (%w)", within, ErrBusy)
			}
		}
	}
}

// refusal returns why a connection failed. grpc tells that only to a call that does not wait for another connection.
func refusal(ctx context.Context, conn *grpc.ClientConn, secure bool) error {
	var answer pb.AuthenticateResponse
	err := conn.Invoke(ctx, authenticate, &pb.AuthenticateRequest{}, &answer, grpc.WaitForReady(false))
	text := "the connection failed"
	if s, ok := status.FromError(err); ok && s.Code() == codes.Unavailable {
		text = s.Message()
		for _, cut := range []string{
			`connection error: desc = "transport: `, "Error while dialing: ", "authentication handshake failed: ",
		} {
			if _, rest, ok := strings.Cut(text, cut); ok {
				text = strings.TrimSuffix(rest, `"`)
			}
		}
	}
	switch {
	case strings.Contains(text, "connection refused"):
		text += " (is etcd running there?)"
	case secure: // a member that refuses a client's certificate may hang up before it says so
		text += " (do the CA, the server's name and the client certificate fit?)"
	case strings.Contains(text, "error reading server preface"):
		text += " (does it speak TLS: https:// instead of http://?)"
	}
	return errors.New(text)
}

func (c *Cluster) where() string { return "etcd at " + strings.Join(c.Endpoints, ", ") }

// Reach connects before a call that a person waits for. The error says which etcd does not answer, and why.
func (c *Cluster) Reach(ctx context.Context) error {
	defer c.Late(c.Options.Timeout)()
	if err := c.connect(ctx, c.Options.Timeout); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s: %w", c.where(), err)
	}
	return nil
}

// Explain turns the error of a call into one that says what it means and what to do. An etcd without a quorum does not
// answer calls that need one, and reports no error; Explain finds out by a read that needs none. It returns ErrConflict
// as it is.
func (c *Cluster) Explain(ctx context.Context, err error) error {
	s, _ := status.FromError(err)
	switch {
	case errors.Is(err, ErrConflict):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case Refused(err):
		return fmt.Errorf("%s: %w", c.where(), c.Due(err, "reads and writes", ""))
	case !errors.Is(err, context.DeadlineExceeded) && s.Code() != codes.DeadlineExceeded:
		return fmt.Errorf("%s: %w", c.where(), err)
	}
	brief := c.Within(time.Second)
	if _, _, alone := brief.Get(ctx, Accepted, Alone()); alone == nil {
		if _, _, all := brief.Get(ctx, Accepted); all == nil {
			return fmt.Errorf("%s did not answer within %v, but does now (it lost a leader, or is busy); try again",
				c.where(), c.Options.Timeout)
		}
		if c.busy(ctx) {
			return fmt.Errorf("%s did not answer within %v: it is busy. The request may be carried out nevertheless; "+
				"look before you try again", c.where(), c.Options.Timeout)
		}
		return fmt.Errorf("%s answers, but no quorum does: it has no leader. Servers go on with what they have; "+
			"bring back a majority of etcd's members (etcdctl endpoint status --cluster)", c.where())
	}
	return fmt.Errorf("%s did not answer within %v", c.where(), c.Options.Timeout)
}

// Refused reports whether an error is etcd's word that the user may not do this. To try again does not help.
func Refused(err error) bool {
	return errors.Is(err, ErrDenied) || errors.Is(err, rpctypes.ErrUserEmpty) || errors.Is(err, rpctypes.ErrAuthFailed)
}

// Due adds to an error what to do about it if the user is Refused: rights ("reads") are those that it needs below a
// folder. It returns every other error as it is.
func (c *Conn) Due(err error, rights, folder string) error {
	switch {
	case errors.Is(err, rpctypes.ErrAuthFailed):
		return fmt.Errorf("%w: check the user's name and password", err)
	case Refused(err):
		return fmt.Errorf("%w: the user needs a role that %s the prefix %s", err, rights, c.cluster.Key(folder))
	}
	return err
}

// Busy reports whether an error means that etcd did not answer in time.
func Busy(err error) bool {
	s, _ := status.FromError(err)
	return errors.Is(err, ErrBusy) || errors.Is(err, ErrSilent) || errors.Is(err, context.DeadlineExceeded) ||
		s.Code() == codes.DeadlineExceeded || Fleeting(err)
}

// Fleeting reports whether an error is temporary: a member or a leader was lost. It is not known then whether a
// transaction was made; the next read shows.
func Fleeting(err error) bool {
	var known rpctypes.EtcdError
	if errors.As(err, &known) {
		return known.Code() == codes.Unavailable
	}
	s, ok := status.FromError(err)
	// A member that is being stopped passes on the errors of its raft without a code.
	return ok && (s.Code() == codes.Unavailable ||
		s.Code() == codes.Unknown && strings.Contains(s.Message(), "raft: stopped"))
}
