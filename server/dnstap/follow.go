package dnstap

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/answer"
)

// Options configure a Follower.
type Options struct {
	Target            Target
	Identity, Version string // of this server, in each message
	Tap               *answer.Tap
	Log               *slog.Logger // never nil
	Registerer        prometheus.Registerer
}

// Follower sends the queries and responses of a Tap to a target.
type Follower struct {
	o        Options
	messages atomic.Uint64
	lost     atomic.Uint64 // queries that were taken from the rings, but not written completely
	connects atomic.Uint64
	open     atomic.Bool
	reopen   chan struct{}
}

// New returns a Follower. It fails if its metrics are registered already.
func New(o Options) (*Follower, error) {
	f := &Follower{o: o, reopen: make(chan struct{}, 1)}
	counter := func(name, help string, n func() uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(n()) })
	}
	for _, c := range []prometheus.Collector{
		counter("leeward_dnstap_messages_total", "dnstap messages written.", f.messages.Load),
		counter("leeward_dnstap_dropped_total",
			"Messages that dnstap dropped, because nobody read fast enough.", f.Dropped),
		counter("leeward_dnstap_opened_total", "How often the target of dnstap was opened.", f.connects.Load),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "leeward_dnstap_open", Help: "1 while the target of dnstap is open.",
		}, func() float64 {
			if f.open.Load() {
				return 1
			}
			return 0
		}),
	} {
		if err := o.Registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Reopen opens a file again that was moved away, as log rotation expects.
func (f *Follower) Reopen() {
	select {
	case f.reopen <- struct{}{}:
	default:
	}
}

// Dropped returns how many queries were not sent.
func (f *Follower) Dropped() uint64 { return f.o.Tap.Dropped() + f.lost.Load() }

const (
	pause     = 10 * time.Millisecond // between looks at empty rings
	retryMin  = 100 * time.Millisecond
	retryMost = 10 * time.Second
	flushAt   = 64 << 10 // octets that are written together
)

// Run sends messages until the context ends, and then what is left, for as long as the target takes it.
func (f *Follower) Run(ctx context.Context) {
	wait, told := retryMin, ""
	for ctx.Err() == nil {
		s, err := f.o.Target.open(ctx, time.Now())
		if err == nil {
			f.connects.Add(1)
			f.open.Store(true)
			if told != "" || f.connects.Load() == 1 {
				f.o.Log.Info("dnstap: open", "target", f.o.Target)
			}
			told, wait = "", retryMin
			err = f.pass(ctx, s)
			f.open.Store(false)
		}
		if err == nil {
			continue // reopened, or the end
		}
		if ctx.Err() == nil && err.Error() != told { // once for each reason
			told = err.Error()
			f.o.Log.Warn("dnstap: nothing is passed on until the target can be opened; queries go on", "target",
				f.o.Target, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
			wait = min(2*wait, retryMost)
		}
	}
}

// pass writes to an open target until it fails. It returns nil if the target must be reopened, or if the context ends.
func (f *Follower) pass(ctx context.Context, s *sink) error {
	defer context.AfterFunc(ctx, s.hurry)()
	w := &writer{identity: []byte(f.o.Identity), version: []byte(f.o.Version)}
	buffer := make([]byte, 0, 2*flushAt)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		count, queries := uint64(0), uint64(0)
		f.o.Tap.Read(func(x *answer.Tapped) bool {
			buffer = append(buffer, w.query(x)...)
			count++
			queries++
			if len(x.Response) > 0 {
				buffer = append(buffer, w.response(x)...)
				count++
			}
			return len(buffer) < flushAt
		})
		full := len(buffer) >= flushAt
		if len(buffer) > 0 {
			if err := s.write(buffer); err != nil {
				f.lost.Add(queries) // at least some of them
				s.close(false)
				return err
			}
			f.messages.Add(count)
			buffer = buffer[:0]
		}
		select {
		case <-f.reopen:
			if s.moved(f.o.Target) {
				s.close(true)
				return nil
			}
		default:
		}
		if full {
			continue
		}
		select {
		case <-ctx.Done():
			s.close(true)
			return nil
		case <-tick.C:
		}
	}
}
