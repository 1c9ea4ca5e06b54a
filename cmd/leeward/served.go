package main

import (
	"context"
	"fmt"
	"strings"
	"time"
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

// servedEvery is how often served looks. A server reports what it serves within half a second, and with each heartbeat.
const servedEvery = 100 * time.Millisecond

// served waits until every server that is heard of serves a revision, at most for limit.
func (inv *invocation) served(ctx context.Context, revision int64, limit time.Duration) (*serving, error) {
	begin := time.Now()
	observer, err := inv.observe(ctx, max(limit, inv.etcd.patience()))
	if err != nil {
		return nil, err
	}
	defer observer.Close()
	tick := time.NewTicker(servedEvery)
	defer tick.Stop()
	for {
		status, err := observer.Status(ctx)
		if err != nil {
			return nil, err
		}
		s := &serving{
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
		if len(s.Not) == 0 || s.took >= limit {
			return s, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
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
