//go:build linux

package integration

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// noSpace raises etcd's alarm that its database is full, as etcd itself does when the database has reached its
// quota: from then on nothing can be written, and everything can be read. Or takes it back.
func (m *member) noSpace(is bool) error {
	c, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(m.client, "http://"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(_ context.Context, address string) (net.Conn, error) {
			return m.host.dial(net.Dialer{Timeout: time.Second}, "tcp", address)
		}))
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	action := etcdserverpb.AlarmRequest_DEACTIVATE
	if is {
		action = etcdserverpb.AlarmRequest_ACTIVATE
	}
	_, err = etcdserverpb.NewMaintenanceClient(c).Alarm(ctx, &etcdserverpb.AlarmRequest{
		Action: action, MemberID: 1, Alarm: etcdserverpb.AlarmType_NOSPACE,
	})
	if err != nil {
		return fmt.Errorf("etcd's alarm NOSPACE: %w", err)
	}
	return nil
}

// spaceWords are about the space that etcd has.
func spaceWords() []word {
	alarm := func(is bool) func(*scenario, []string) error {
		return func(x *scenario, _ []string) error { return x.w.leader(x.t).noSpace(is) }
	}
	return []word{
		{
			pattern: "etcd is out of space",
			means: "its database has reached its quota (the alarm NOSPACE): nothing can be written, " +
				"and everything can be read",
			do: alarm(true),
		},
		{pattern: "etcd has space", means: "again (the alarm is taken back)", do: alarm(false)},
	}
}
