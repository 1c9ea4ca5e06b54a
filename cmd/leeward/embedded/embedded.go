//go:build !noembed

// Package embedded runs an etcd inside this process, on free ports of loopback, for the demo and for tests: a real
// one-member cluster with nothing to install. A server that only follows an etcd elsewhere does without it: the build
// tag noembed leaves it, and all that it brings in, out of the binary.
package embedded

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// Etcd is a running member.
type Etcd struct {
	etcd *embed.Etcd
	url  string
	temp string // removed by Close
}

// Start runs a member with its data below dir, or in a temporary folder that Close removes where dir is "". It returns
// when the member answers; ctx bounds only the start.
func Start(ctx context.Context, dir string) (*Etcd, error) {
	e := &Etcd{}
	if dir == "" {
		temp, err := os.MkdirTemp("", "leeward-etcd-")
		if err != nil {
			return nil, fmt.Errorf("no folder for the embedded etcd: %w", err)
		}
		e.temp, dir = temp, temp
	}
	c := embed.NewConfig()
	c.Dir = filepath.Join(dir, "etcd")
	c.Name = "demo"
	c.UnsafeNoFsync = e.temp != "" // what is thrown away need not survive a loss of power
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	c.TickMs, c.ElectionMs = 50, 500
	c.MaxTxnOps = 128
	c.AutoCompactionMode, c.AutoCompactionRetention = "revision", "10000"
	free := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	c.ListenClientUrls, c.ListenPeerUrls = []url.URL{free}, []url.URL{free}
	// Nobody dials a lone member as a peer, so that what it advertises need not be where it listens.
	c.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:2380"}}
	c.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:2379"}}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("the embedded etcd does not start in %s: %w", c.Dir, err)
	}
	e.etcd = etcd
	select {
	case <-etcd.Server.ReadyNotify():
	case err = <-etcd.Err():
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("the embedded etcd does not become ready: %w", err)
	}
	address := etcd.Clients[0].Addr().(*net.TCPAddr)
	e.url = (&url.URL{Scheme: "http", Host: address.String()}).String()
	return e, nil
}

// URL returns where clients reach it.
func (e *Etcd) URL() string { return e.url }

// Close stops the member and removes its data if they were in a temporary folder.
func (e *Etcd) Close() {
	if e.etcd != nil {
		e.etcd.Close()
		e.etcd = nil
	}
	if e.temp != "" {
		os.RemoveAll(e.temp)
	}
}
