package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"leeward/server/admin"
)

// serving is which servers answer from a revision.
type serving struct {
	Serving []string `json:"serving"` // they do
	Not     []string `json:"notYet"`  // they are alive and do not yet
	Unheard []string `json:"unheard"` // they are not heard of: dead, or cut off

	states   []string // of Not, for people
	revision int64
	took     time.Duration
}

// statusEvery is how often statuses looks. A server reports its state within half a second, and with each heartbeat.
const statusEvery = 100 * time.Millisecond

// statuses looks at the status again and again until look reports that it is done. took is the time since the resources
// and reports were read, which may take as long as limit.
func (inv *invocation) statuses(ctx context.Context, limit time.Duration,
	look func(s *admin.Status, took time.Duration) (done bool),
) error {
	observer, err := inv.observe(ctx, limit)
	if err != nil {
		return err
	}
	defer observer.Close()
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for began := time.Now(); ; {
		status, err := observer.Status(ctx)
		if err != nil || look(status, time.Since(began)) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// served waits until every server that is heard of serves a revision, at most for limit.
func (inv *invocation) served(ctx context.Context, revision int64, limit time.Duration) (s *serving, err error) {
	begin := time.Now()
	err = inv.statuses(ctx, max(limit, inv.etcd.patience()), func(status *admin.Status, _ time.Duration) (done bool) {
		s = &serving{
			Serving: []string{}, Not: []string{}, Unheard: []string{}, revision: revision,
			took: time.Since(begin),
		}
		for _, server := range status.Servers {
			switch {
			case server.ID == "":
			case !server.Fresh:
				s.Unheard = append(s.Unheard, server.ID)
			case server.Revision >= revision:
				s.Serving = append(s.Serving, server.ID)
			default:
				s.Not = append(s.Not, server.ID)
				s.states = append(s.states, fmt.Sprintf("%s (%s, revision %d)", server.ID, server.Source.State,
					server.Revision))
			}
		}
		return len(s.Not) == 0 || s.took >= limit
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *serving) print(inv *invocation) {
	if s == nil {
		return
	}
	if len(s.Serving) > 0 {
		inv.printf("Revision %d is served by %s, after %.1f s.\n", s.revision, strings.Join(s.Serving, ", "),
			s.took.Seconds())
	}
	if len(s.Unheard) > 0 {
		inv.printf("Not heard of: %s\n", strings.Join(s.Unheard, ", "))
	}
	if len(s.Serving)+len(s.Unheard)+len(s.Not) == 0 {
		inv.printf("There are no servers.\n")
	}
}

func (s *serving) err() error {
	if s == nil || len(s.Not) == 0 {
		return nil
	}
	return fmt.Errorf("it is written, but after %v not yet served by %s; see leeward status",
		s.took.Round(time.Second/10),
		strings.Join(s.states, ", "))
}
