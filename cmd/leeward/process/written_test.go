package process

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"leeward/zones/dnssec"
)

// TestWrittenStands: what a signer reports about what it has written, while days pass and etcd accepts nothing.
func TestWrittenStands(t *testing.T) {
	key := signedZoneKey(t)
	signer := dnssec.NewSigner(dnssec.Alone(key), false, time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC))
	day := signer.Now().Epoch
	now := day.Start()
	g := newSignatory(nil, slog.New(slog.DiscardHandler), func() time.Time { return now })
	next := signer.Prepare(day.Next().Start())
	whole := func(of dnssec.Epoch) {
		g.zone("example.test").revisions[slot{"example.test", of.Number, dnssec.WholeChunk}] = 1
	}
	metrics := prometheus.NewPedanticRegistry()
	metrics.MustRegister(writtenMetrics{g})
	is := func(at time.Time, err error, state, trouble, values string) {
		t.Helper()
		now = at
		at1, n := signer.Generations()
		g.stands(map[string]time.Time{"example.test": g.lacks("example.test", at1, n)}, err)
		g.tell(err)
		w := g.says()
		if w.Zones != 1 || !strings.Contains(w.Trouble(), trouble) || (trouble == "") != (w.Trouble() == "") {
			t.Errorf("%+v says %q, want %q", w, w.Trouble(), trouble)
		}
		if got := g.stand.state("example.test", now); got != state {
			t.Errorf("the zone is %s, want %s", got, state)
		}
		want := ""
		for line := range strings.Lines(values) {
			name, _, _ := strings.Cut(line, " ")
			want += "# HELP " + name + " " + helpOf(t, metrics, name) + "\n# TYPE " + name + " gauge\n" + line
		}
		if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "leeward_sign_ahead_seconds",
			"leeward_sign_age_seconds", "leeward_sign_failing"); err != nil {
			t.Error(err)
		}
	}
	hours := func(n int) time.Time { return day.Start().Add(time.Duration(n) * time.Hour) }
	// Nothing is there, which is reported after ten seconds.
	is(hours(0), nil, writtenAhead, "",
		"leeward_sign_age_seconds 0\nleeward_sign_ahead_seconds 0\nleeward_sign_failing 0\n")
	is(hours(0).Add(10*time.Second), nil, writtenBehind, "today's signatures are not written for example.test",
		"leeward_sign_age_seconds 10\nleeward_sign_ahead_seconds -10\nleeward_sign_failing 0\n")
	// Today's are there, and the next day's are missed in time.
	whole(day)
	is(hours(1), nil, writtenAhead, "",
		"leeward_sign_age_seconds 0\nleeward_sign_ahead_seconds 82800\nleeward_sign_failing 0\n")
	is(hours(5), nil, writtenShort, "the next day's signatures are not written for example.test",
		"leeward_sign_age_seconds 0\nleeward_sign_ahead_seconds 68400\nleeward_sign_failing 0\n")
	whole(next.Epoch)
	is(hours(6), nil, writtenAhead, "",
		"leeward_sign_age_seconds 0\nleeward_sign_ahead_seconds 151200\nleeward_sign_failing 0\n")
	// One more is signed, and cannot be written.
	g.due[signer.Now()] = make([]dnssec.Signed, 1)
	is(hours(7), errors.New("no quorum"), writtenAhead, "it cannot write signatures: no quorum",
		"leeward_sign_age_seconds 3600\nleeward_sign_ahead_seconds -25200\nleeward_sign_failing 1\n")
	delete(g.due, signer.Now())
	is(hours(8), nil, writtenAhead, "",
		"leeward_sign_age_seconds 0\nleeward_sign_ahead_seconds 144000\nleeward_sign_failing 0\n")
	if problems, err := testutil.GatherAndLint(metrics); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

func helpOf(t *testing.T, g prometheus.Gatherer, name string) string {
	t.Helper()
	all, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			return f.GetHelp()
		}
	}
	t.Fatalf("there is no %s", name)
	return ""
}
