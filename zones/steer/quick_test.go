package steer

import (
	"testing"

	"pgregory.net/rapid"
)

// The usual case has a path of its own. For any policy, client and health it decides as the walk that explains does.
func TestQuickSaysWhatTheWalkSays(t *testing.T) {
	table := places(t)
	rapid.Check(t, func(t *rapid.T) {
		w := threeRegions()
		p, err := NewCompiler(table).Policy(randomPolicy(t, w), w.refer())
		if err != nil {
			t.Fatal(err)
		}
		var failing []string
		for _, e := range []string{"www-eu/lb-1", "www-eu/lb-2", "www-us/lb-1", "www-ap/lb-1"} {
			if rapid.Bool().Draw(t, e+" fails") {
				failing = append(failing, e)
			}
		}
		v := NewView(w.program(), Sight{State: down(failing...)}, nil)
		req := Request{
			Client: randomClient(t), Family: Family(rapid.IntRange(0, 1).Draw(t, "family")),
			Random: rapid.Uint64().Draw(t, "dice"),
		}
		var d, walked Decision
		p.Decide(v, &req, &d)
		p.decide(v, &req, &walked, &trace{policy: p})
		if d.Rule != walked.Rule || d.Pool != walked.Pool || d.Count != walked.Count || d.Bound != walked.Bound ||
			d.Scope != walked.Scope ||
			d.FailOpen != walked.FailOpen || string(d.Data) != string(walked.Data) {
			t.Fatalf("decided %+v, explained %+v", d, walked)
		}
	})
}
