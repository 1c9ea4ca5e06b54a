package process

import (
	"cmp"
	"context"
	"reflect"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/server/admin"
)

// describeEvery is how often a server checks whether its description of itself has changed. It does not check at each
// revision, so that a flood of changes does not become a flood of writes.
const describeEvery = 500 * time.Millisecond

// describe writes the description of this server for the others.
func (r *run) describe(ctx context.Context) {
	var told admin.Server
	var asker asker
	if r.dns != nil {
		asker.ask = r.answers.Asked
	}
	for range turns(ctx, describeEvery) {
		var s admin.Server
		if (r.dns != nil || r.Sign) && r.loop.Do(ctx, func(i control.Inside) { s = r.self(i) }) == nil {
			if r.dns != nil {
				s.Asked = asker.tell(time.Now())
			}
			s.SnapshotAgeSeconds = 0 // it changes all the time, and a server that cannot write could not update it
			if !reflect.DeepEqual(s, told) {
				if err := r.link.SetServer(s); err != nil {
					r.Log.Error("the status for others", "err", err)
				}
				told = s
			}
		}
	}
}

// mostHeldTold is how many of the held removals a server names to others, for leeward accept.
const mostHeldTold = 100

// mostProblemsTold is how many of its problems a server tells others. As a rule they have the same; but only a server
// knows, say, that it lacks a key.
const mostProblemsTold = 3

// resource returns the name of this server for problems of its own.
func (r *run) resource() string {
	if r.NoProbe {
		return "servers/" + r.ID
	}
	return "vantages/" + r.ID
}

// self describes this server.
func (r *run) self(i control.Inside) admin.Server {
	s := i.Server(time.Now())
	s.ID, s.Region, s.Version, s.Admin, s.Started = r.ID, r.Region, r.Version, r.running.Admin, r.started
	switch {
	case r.AdminURL != "":
		s.Admin = r.AdminURL
	case s.Admin != "" && r.AdminTLS.Cert != "":
		s.Admin = "https://" + s.Admin
	}
	s.Listen = make([]string, 0, len(r.running.DNS))
	for _, a := range r.running.DNS {
		s.Listen = append(s.Listen, a.String())
	}
	if r.keeper != nil {
		if err := cmp.Or(r.keeper.trouble(), r.memory.trouble()); err != nil {
			s.CopyError = err.Error()
		}
	}
	if r.roller != nil {
		s.Rolls = r.roller.says()
	}
	if r.signatory != nil {
		s.Written = r.signatory.says()
	}
	if r.edge != nil {
		s.Rolls, s.NoKeys = r.edge.says(), true
	}
	s.HeldFirst, s.NoProbe, s.Signs = i.Held(mostHeldTold), r.NoProbe, r.Sign
	s.ProblemsFirst = append(r.renewals.problems(r.resource(), time.Now()), i.Problems(mostProblemsTold)...)
	s.ProblemsFirst = s.ProblemsFirst[:min(len(s.ProblemsFirst), mostProblemsTold)]
	s.Source.Kind = "etcd"
	if r.files != nil {
		s.Source.Kind = "files"
	}
	return s
}
