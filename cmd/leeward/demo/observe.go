package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"leeward/server/admin"
)

// observer looks at the servers from outside, as resolvers and operators do: by DNS over UDP and by status over HTTP.
type observer struct {
	sites   []*site
	clients []client
	servers []node
	http    *http.Client
}

// node is one running server.
type node struct {
	id, dns, admin string
}

// sight is what one look has seen.
type sight struct {
	at       time.Time
	answers  [][]answer // [server][client]
	statuses []*admin.Status
}

// answer is what a server answers a client.
type answer struct {
	reply  reply
	region string // to which the addresses belong; "" for none, "several" for more than one
	err    error
}

// look asks every server on behalf of every client, and for its status.
func (o *observer) look(ctx context.Context) sight {
	s := sight{answers: make([][]answer, len(o.servers)), statuses: make([]*admin.Status, len(o.servers))}
	var all sync.WaitGroup
	for i, n := range o.servers {
		s.answers[i] = make([]answer, len(o.clients))
		for k, c := range o.clients {
			all.Go(func() { s.answers[i][k] = o.ask(ctx, n, c) })
		}
		all.Go(func() { s.statuses[i], _ = o.status(ctx, n) })
	}
	all.Wait()
	s.at = time.Now()
	return s
}

func (o *observer) ask(ctx context.Context, n node, c client) answer {
	r, err := ask(ctx, n.dns, steered, c.subnet)
	a := answer{reply: r, err: err}
	for _, address := range r.addresses {
		for _, site := range o.sites {
			switch {
			case !site.holds(address):
			case a.region == "" || a.region == site.region:
				a.region = site.region
			default:
				a.region = "several"
			}
		}
	}
	return a
}

func (o *observer) status(ctx context.Context, n node) (*admin.Status, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.admin+"/api/v1/status", nil)
	if err != nil {
		return nil, err
	}
	answer, err := o.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status of %s: %s", n.id, answer.Status)
	}
	var s admin.Status
	return &s, json.NewDecoder(answer.Body).Decode(&s)
}

// addresses calls f with each address of a region in a server's status.
func (s *sight) addresses(server int, region string, f func(admin.Address)) {
	if s.statuses[server] == nil {
		return
	}
	for _, e := range s.statuses[server].Endpoints {
		if e.Region == region {
			for _, a := range e.Addresses {
				f(a)
			}
		}
	}
}

// says returns the state that a vantage reports for a region, as a server knows it; "" if addresses differ.
func (s *sight) says(server int, vantage, region string) string {
	state, first := "", true
	s.addresses(server, region, func(a admin.Address) {
		i := slices.IndexFunc(a.Votes, func(v admin.Vote) bool { return v.Vantage == vantage })
		of := "unknown"
		if i >= 0 {
			of = a.Votes[i].State
		}
		if first {
			state, first = of, false
		} else if of != state {
			state = ""
		}
	})
	return state
}

// verdict returns a server's verdict on a region; "" if addresses differ.
func (s *sight) verdict(server int, region string) string {
	state, first := "", true
	s.addresses(server, region, func(a admin.Address) {
		if first {
			state, first = a.Verdict, false
		} else if a.Verdict != state {
			state = ""
		}
	})
	return state
}

// names reports whether a server names a region to any client, and whether it answered all clients.
func (s *sight) names(server int, region string) (named, answered bool) {
	answered = true
	for _, a := range s.answers[server] {
		named = named || a.region == region || a.region == "several"
		answered = answered && a.err == nil
	}
	return named, answered
}

// settled reports whether every server answers every client with the nearest region, and every vantage sees all
// endpoints up.
func (o *observer) settled(s *sight, vantages []string) bool {
	for i := range o.servers {
		for k, c := range o.clients {
			if s.answers[i][k].region != c.near {
				return false
			}
		}
		for _, site := range o.sites {
			if s.verdict(i, site.region) != "up" {
				return false
			}
			for _, v := range vantages {
				if s.says(i, v, site.region) != "up" {
					return false
				}
			}
		}
	}
	return true
}

// watch looks again and again until f returns true or the context ends.
func (o *observer) watch(ctx context.Context, every time.Duration, f func(sight) (done bool)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		s := o.look(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if f(s) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
