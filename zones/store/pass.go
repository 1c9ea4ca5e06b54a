package store

import (
	"context"
	"errors"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// pass gets etcd's token for a user and puts it on every call. The client's own way of doing so asks for the token
// while the client is made, and fails if etcd is away just then; a server must start without etcd.
type pass struct {
	user, password string

	mu    sync.Mutex
	token string
}

// get returns the token, and asks for one if there is none or if it is the one that was refused. An etcd that has no
// authentication enabled wants no token.
func (p *pass) get(ctx context.Context, conn *grpc.ClientConn, refused string) (string, error) {
	p.mu.Lock()
	token := p.token
	p.mu.Unlock()
	if token != "" && token != refused {
		return token, nil
	}
	var answer pb.AuthenticateResponse
	err := conn.Invoke(ctx, authenticate, &pb.AuthenticateRequest{Name: p.user, Password: p.password}, &answer, grpc.WaitForReady(true))
	if err := rpctypes.Error(err); err != nil {
		if errors.Is(err, rpctypes.ErrAuthNotEnabled) {
			return "", nil
		}
		return "", err
	}
	p.mu.Lock()
	p.token = answer.Token
	p.mu.Unlock()
	return answer.Token, nil
}

const authenticate = "/etcdserverpb.Auth/Authenticate"

func (p *pass) unary(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
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

// stream takes a fresh token for every stream: streams are few and live long, and a refused token shows only when the
// first message is read, where it is too late to ask again.
func (p *pass) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
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

// outdated reports whether a call failed for its token and would not with a new one: it expired, the member that issued
// it restarted, or the users were changed since.
func outdated(err error) bool {
	err = rpctypes.Error(err)
	return errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthOldRevision) || errors.Is(err, rpctypes.ErrUserEmpty)
}
