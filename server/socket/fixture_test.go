package socket

import (
	"os"
	"strings"
	"testing"
	"time"

	"leeward/health"
	"leeward/server/answer"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/document"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// fixture is the zones of package answer's tests, and the verdicts on their endpoints.
type fixture struct {
	snapshot *snapshot.Snapshot
	down     map[string]bool // by endpoint
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	text, err := os.ReadFile("../answer/testdata/zones.yaml")
	if err != nil {
		t.Fatal(err)
	}
	documents, problems := document.Read("zones.yaml", strings.NewReader(string(text)))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	batch := zones.Batch{Revision: 1}
	for _, d := range documents {
		batch.Changes = append(batch.Changes, zones.Change{Key: d.Resource.Key(), Resource: d.Resource, Revision: 1})
	}
	c := catalog.New(time.Now)
	shot, problems := snapshot.NewBuilder(time.Now).Update(c, c.Apply(batch), nil)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return &fixture{snapshot: shot, down: map[string]bool{}}
}

// state is what should be published now.
func (f *fixture) state() answer.State {
	view := steer.NewView(f.snapshot.Program(), steer.Sight{State: func(target health.Target) health.State {
		if f.down[target.Endpoint] {
			return health.Down
		}
		return health.Up
	}}, nil)
	return answer.State{Snapshot: f.snapshot, View: view}
}

// setup is what a test changes of a server.
type setup struct {
	Options
	answers answer.Options
}

// later lets a handler answer every kind of message that is not a query.
func (s *setup) later(h answer.Handler) {
	s.answers.Handlers = answer.Handlers{Transfer: h, Notify: h, Update: h}
}

// newServer returns a server that answers from the fixture and does not listen.
func newServer(t testing.TB, change ...func(*setup)) *Server {
	t.Helper()
	o := setup{
		Options: Options{Listen: []string{"127.0.0.1:0"}, Workers: 2},
		answers: answer.Options{Seed: func() uint64 { return 1 }},
	}
	for _, c := range change {
		c(&o)
	}
	o.answers.Registerer = o.Registerer
	answers, err := answer.New(o.answers)
	if err != nil {
		t.Fatal(err)
	}
	answers.Publish(newFixture(t).state())
	s, err := New(o.Options, answers)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
