package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"leeward/cmd/leeward/process"
)

// observe returns an Observer that has read all of etcd. It fails if that takes longer than patience.
func (inv *invocation) observe(ctx context.Context, patience time.Duration) (*process.Observer, error) {
	log := inv.silent()
	o, err := inv.patient(log)
	if err != nil {
		return nil, err
	}
	return process.Observe(ctx, process.Settings{Etcd: &o, Log: log}, patience)
}

// settled returns an Observer that also knows which vantages live, so that it can judge what they report.
func (inv *invocation) settled(ctx context.Context) (*process.Observer, error) {
	observer, err := inv.observe(ctx, inv.etcd.patience())
	if err != nil {
		return nil, err
	}
	if err := inv.settle(ctx, observer); err != nil {
		observer.Close()
		return nil, err
	}
	return observer, nil
}

// settle waits until an Observer knows which vantages live, and says why it had to wait.
func (inv *invocation) settle(ctx context.Context, o *process.Observer) error {
	text, err := o.Settle(ctx)
	if text != "" {
		fmt.Fprintln(inv.told, text)
	}
	return err
}

// silent is the log of verbs that only look. They print what goes wrong, so they log only if --log-level is given.
func (inv *invocation) silent() *slog.Logger {
	if inv.logLevel != "info" {
		if log, err := inv.logger(); err == nil {
			return log
		}
	}
	return slog.New(slog.DiscardHandler)
}
