package etcd

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// pass gets a user's token from etcd and adds it to every call. The etcd client would ask for the token while it is
// made, and fail if etcd is away just then; but a server must start without etcd.
type pass struct {
	user     string
	password *password

	mu    sync.Mutex
	token string
}

// password is the password that all connections authenticate with.
type password struct {
	given string
	file  string // that has it, in place of given; "": none
	log   *slog.Logger

	mu   sync.Mutex
	good string // the last of the file's passwords that etcd accepted
}

// ask authenticates the user. A file is read each time. As the password cannot be changed in etcd and in the file at
// the same time, ask tries the last good one if etcd refuses the file's.
func (p *pass) ask(ctx context.Context, conn *grpc.ClientConn) (string, error) {
	w := p.password
	if w.file == "" {
		return p.authenticate(ctx, conn, w.given)
	}
	w.mu.Lock()
	before := w.good
	w.mu.Unlock()
	now, err := readPassword(w.file)
	switch {
	case err != nil && before == "":
		return "", err
	case err != nil:
		w.log.Warn("etcd: going on with the password from before", "err", err)
		now = before
	}
	token, err := p.authenticate(ctx, conn, now)
	if errors.Is(err, rpctypes.ErrAuthFailed) && before != "" && before != now {
		now = before
		token, err = p.authenticate(ctx, conn, now)
	}
	if err == nil && token != "" {
		w.mu.Lock()
		w.good = now
		w.mu.Unlock()
	}
	return token, err
}

// authenticate gets a token. It returns none if etcd has no authentication enabled.
func (p *pass) authenticate(ctx context.Context, conn *grpc.ClientConn, password string) (string, error) {
	var answer pb.AuthenticateResponse
	request := &pb.AuthenticateRequest{Name: p.user, Password: password}
	err := conn.Invoke(ctx, authenticate, request, &answer, grpc.WaitForReady(true))
	if err := rpctypes.Error(err); err != nil && !errors.Is(err, rpctypes.ErrAuthNotEnabled) {
		return "", err
	}
	return answer.Token, nil
}

// get returns the token. It asks for a new one if there is none, or if the current one was refused.
func (p *pass) get(ctx context.Context, conn *grpc.ClientConn, refused string) (string, error) {
	p.mu.Lock()
	token := p.token
	p.mu.Unlock()
	if token != "" && token != refused {
		return token, nil
	}
	fresh, err := p.ask(ctx, conn)
	if err != nil || fresh == "" {
		return "", err
	}
	p.mu.Lock()
	p.token = fresh
	p.mu.Unlock()
	return fresh, nil
}

const authenticate = "/etcdserverpb.Auth/Authenticate"

// unary is a grpc.UnaryClientInterceptor.
func (p *pass) unary(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	call grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	if method == authenticate {
		return call(ctx, method, request, reply, conn, options...)
	}
	token, err := p.get(ctx, conn, "")
	if err != nil {
		return err
	}
	err = call(carry(ctx, token), method, request, reply, conn, options...)
	if !outdated(err) {
		return err
	}
	if token, err = p.get(ctx, conn, token); err != nil {
		return err
	}
	return call(carry(ctx, token), method, request, reply, conn, options...)
}

// stream is a grpc.StreamClientInterceptor. It gets a new token for every stream. Streams are few and live long, and a
// refused token shows only when the first message is read, which is too late to ask again.
func (p *pass) stream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	p.mu.Lock()
	old := p.token
	p.mu.Unlock()
	token, err := p.get(ctx, conn, old)
	if err != nil {
		return nil, err
	}
	return open(carry(ctx, token), desc, conn, method, options...)
}

func carry(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, rpctypes.TokenFieldNameGRPC, token)
}

// outdated reports whether a call failed because of its token and would succeed with a new one: the token expired, the
// member that issued it restarted, or the users have changed since.
func outdated(err error) bool {
	err = rpctypes.Error(err)
	return errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthOldRevision) ||
		errors.Is(err, rpctypes.ErrUserEmpty)
}
