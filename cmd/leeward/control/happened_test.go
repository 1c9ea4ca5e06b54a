package control_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/health"
	"leeward/server/answer"
	"leeward/server/history"
	"leeward/zones"
)

// remembered is a loop with a history.
type remembered struct {
	*control.Loop
	journal *history.Journal
	t       testing.TB
}

func remember(t testing.TB, o history.Options, past ...health.Past) *remembered {
	t.Helper()
	o.Now = time.Now
	j := history.Open(o)
	l := control.NewLoop(control.LoopOptions{
		Past: past, Log: slog.New(slog.DiscardHandler), Now: time.Now, Own: "fra", Region: "eu-west",
		Publish: func(answer.State) {}, Happened: j.Add,
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); j.Run() }()
	go func() { l.Run(ctx); j.Close() }()
	t.Cleanup(func() { stop(); <-done })
	return &remembered{l, j, t}
}

func (r *remembered) say(vantage, endpoint, address string, s health.State, sequence uint64, why string) {
	r.Health(func(now time.Time, board *health.Board) {
		board.Heartbeat(now, vantage, sequence, health.DefaultStale)
		board.Report(now, health.Report{
			Vantage: vantage, Target: health.Target{Endpoint: endpoint, Address: netip.MustParseAddr(address)},
			State: s, Sequence: sequence, Time: now, Reason: why,
		})
	})
	synctest.Wait()
}

// page returns a target's part of the history, one line for each event, the oldest first.
func (r *remembered) page(of string) string {
	r.t.Helper()
	synctest.Wait()
	if !r.journal.Flush(time.Minute) {
		r.t.Fatal("what happened is not kept within a minute")
	}
	p, err := r.journal.Page(context.Background(), history.Query{Of: of})
	if err != nil {
		r.t.Fatal(err)
	}
	var lines []string
	for i := range p.Events {
		e := &p.Events[len(p.Events)-1-i]
		line := string(e.Kind) + ": " + e.Text
		for _, c := range e.Changes {
			line += "\n  " + c.What + " " + c.Resource + fmt.Sprint(" from ", c.From)
			for _, f := range c.Fields {
				line += "\n    " + f.Path + ": " + f.Was + " → " + f.Is
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Resources that are added to nothing are changes like others: after a first list that was empty, and after everything
// was deleted.
func TestHappenedToNothing(t *testing.T) {
	const region = "kind: Region\nname: eu-west"
	for name, batches := range map[string][]zones.Batch{
		"an empty list": {{Revision: 1, Full: true}},
		"an empty copy": {{Revision: 1, Full: true, Copy: true}, {Revision: 1, Full: true}},
		"all deleted": {
			{Revision: 1, Full: true, Changes: changes(t, region, 1)},
			{Revision: 2, Changes: []zones.Change{{Key: "regions/eu-west", Revision: 2}}},
		},
	} {
		for _, full := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				r := remember(t, history.Options{})
				for _, b := range batches {
					r.Batch(b)
					synctest.Wait()
				}
				r.Batch(zones.Batch{Revision: 3, Full: full, Changes: changes(t, region, 3)})
				synctest.Wait()
				if got := r.page("region/eu-west"); !strings.Contains(got, "added regions/eu-west") {
					t.Errorf("%s, then a batch that is full (%v): the history has\n%s", name, full, r.page(""))
				}
			})
		}
	}
}

// Events have these texts, and can be found by their subjects.
func TestHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := remember(t, history.Options{})
		r.Condition(zones.Condition{State: zones.Following, Endpoint: "http://etcd-1:2379"})
		r.Batch(zones.Batch{Revision: 1, Full: true, Changes: changes(t, resources, 1)})
		synctest.Wait()
		r.say("fra", "www-eu/lb-1", "192.0.2.1", health.Up, 1, "")
		r.say("fra", "www-eu/lb-1", "192.0.2.1", health.Down, 2, "connection\nrefused")
		r.Batch(zones.Batch{Revision: 3, Changes: changes(t, `
kind: Override
name: pool/www-us
state: drain
until: 2036-01-01T00:00:00Z
reason: new routers
---
kind: Monitor
name: web
http: {path: "/health?key=s3cret", headers: {Authorization: s3cret}}
`, 3)})
		synctest.Wait()
		r.Batch(zones.Batch{Revision: 4, Changes: changes(t, `
kind: Monitor
name: web
http: {path: "/health?key=s4cret", headers: {Authorization: s4cret}}
interval: 7s
`, 4)})
		synctest.Wait()
		r.Batch(zones.Batch{Revision: 5, Changes: []zones.Change{{Key: "overrides/pool/www-us", Revision: 5}}})
		synctest.Wait()
		r.Condition(zones.Condition{State: zones.CutOff, Err: fmt.Errorf("no leader")})
		for of, want := range map[string]string{
			"www-eu/lb-1": `vote: fra says that 192.0.2.1 of www-eu/lb-1 is down: connection
refused
verdict: 192.0.2.1 of www-eu/lb-1 is down: 0 up, 1 down, quorum majority`,
			"failover": `failover: pool www-eu is out of the answers: agreeing took 0.0 s, publishing 0.0 ms
failover: pool www-us is out of the answers, by a change of resources or an override
failover: pool www-us is back in the answers, by a change of resources or an override`,
			"override/pool/www-us": `change: 2 resources: 1 added, 1 changed (`,
			"source": `source: the source is followed (http://etcd-1:2379)
source: the source is lost: no leader`,
		} {
			if got := r.page(of); got != want && !(of == "override/pool/www-us" && strings.HasPrefix(got, want)) {
				t.Errorf("%s: got\n%s\nwant\n%s", of, got, want)
			}
		}
		got := r.page("")
		for _, want := range []string{
			"override: the override of pool/www-us is taken away",
			"changed monitors/web from 3",
			"http.headers.Authorization: (hidden) → (hidden-other)",
			"http.path: /health?(hidden) → /health?(hidden-other)",
			"interval:  → 7s",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%q is missing in\n%s", want, got)
			}
		}
		if err := r.journal.Each(context.Background(), func(e *history.Event) {
			for _, c := range e.Changes {
				if text := string(c.Was) + string(c.Is) + fmt.Sprint(c.Fields); strings.Contains(text, "cret") {
					t.Errorf("a secret is kept: %s", text)
				}
			}
		}); err != nil {
			t.Error(err)
		}
	})
}

// beat lets time pass while these vantages send heartbeats.
func (r *remembered) beat(span time.Duration, vantages ...string) {
	for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(time.Second) {
		sequence := uint64(time.Now().UnixNano())
		r.Health(func(now time.Time, board *health.Board) {
			for _, v := range vantages {
				board.Heartbeat(now, v, sequence, 0)
			}
		})
	}
	synctest.Wait()
}

// An event says that a vantage turns blind, falls silent or leaves, and another one says that this ends. A
// contradiction that lasts for a moment, as whenever several addresses fail, is no event. A vantage that turns blind
// again and again gets only a few events.
func TestHappenedToVantages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := remember(t, history.Options{})
		r.Batch(zones.Batch{Revision: 1, Full: true, Changes: changes(t, resources, 1)})
		synctest.Wait()
		says := func(vantage string, s health.State) {
			sequence := uint64(time.Now().UnixNano())
			r.say(vantage, "www-eu/lb-1", "192.0.2.1", s, sequence, "")
			r.say(vantage, "www-us/lb-1", "192.0.2.2", s, sequence, "")
		}
		for _, v := range []string{"fra", "ams", "lon"} {
			says(v, health.Up)
		}
		r.beat(10*time.Second, "ams", "lon")
		says("ams", health.Down)
		r.beat(3*time.Second, "ams", "lon")
		says("ams", health.Up) // for a moment
		r.beat(10*time.Second, "ams", "lon")
		says("ams", health.Down)
		r.beat(10*time.Second, "ams", "lon")
		says("ams", health.Up)
		r.beat(2*time.Second, "ams", "lon")
		says("ams", health.Down) // for a moment
		r.beat(2*time.Second, "ams", "lon")
		says("ams", health.Up)
		r.beat(10*time.Second, "ams", "lon")
		r.beat(20*time.Second, "ams") // lon is silent
		r.beat(10*time.Second, "ams", "lon")
		r.Health(func(_ time.Time, board *health.Board) { board.Withdraw("lon") })
		synctest.Wait()
		const blind = "vantage: ams is blind: it alone sees most of unrelated endpoints down, so it abstains"
		const sees = "vantage: ams sees again: its votes count"
		want := strings.Join([]string{
			blind, sees, "vantage: lon has fallen silent: its votes are not fresh",
			"vantage: lon is heard again: its votes count", "vantage: lon has left, and has taken back its votes",
		}, "\n")
		if got := r.page("vantage"); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		for range 12 {
			says("ams", health.Down)
			r.beat(8*time.Second, "ams", "lon")
			says("ams", health.Up)
			r.beat(8*time.Second, "ams", "lon")
		}
		time.Sleep(time.Hour)
		told := r.only("vantage/ams", "vantage: ")
		if n := len(told); n != 7 || !strings.HasPrefix(told[n-1], "vantage: ams has fallen silent: its votes are not "+
			"fresh (at 00:04:") || !strings.Contains(told[n-1], ", the last of 21 such events since 00:00:") {
			t.Errorf("a vantage that turns blind all the time has\n%s", strings.Join(told, "\n"))
		}
	})
}

// Addresses that nobody reports are told, and that somebody does again.
func TestHappenedInTheDark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := remember(t, history.Options{})
		r.Batch(zones.Batch{Revision: 1, Full: true, Changes: changes(t, resources, 1)})
		time.Sleep(time.Hour)
		r.say("fra", "www-eu/lb-1", "192.0.2.1", health.Up, 1, "")
		r.say("fra", "www-us/lb-1", "192.0.2.2", health.Up, 2, "")
		const want = "vantage: no vantage reports 2 addresses, although there was time to find out; their last " +
			"verdicts stand, and all vantages probe them\nvantage: vantages report all addresses again"
		if got := r.page("vantage"); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// only returns the lines of a page that begin in this way.
func (r *remembered) only(of, begin string) []string {
	return slices.DeleteFunc(strings.Split(r.page(of), "\n"), func(line string) bool {
		return !strings.HasPrefix(line, begin)
	})
}

// An event says that a version is refused or a removal held back, and another one says that this ends. Many at once are
// one event. A version that is refused again and again gets only a few events.
func TestHappenedToDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := remember(t, history.Options{})
		r.Batch(zones.Batch{Revision: 1, Full: true, Changes: changes(t, resources, 1)})
		revision := int64(1)
		batch := func(cs ...zones.Change) {
			revision++
			for i := range cs {
				cs[i].Revision = revision
			}
			r.Batch(zones.Batch{Revision: revision, Changes: cs})
			synctest.Wait()
		}
		const key = "policies/www.example.test"
		policy := func(more string) zones.Change {
			return changes(t, "kind: Policy\nname: www.example.test\nrules: [{failover: [www-eu]}]\n"+more, 1)[0]
		}
		broken := zones.Change{Key: key, Err: errors.New("ttl: write a time, such as 30s")}
		batch(broken)
		batch(broken) // the same again, and so no news
		batch(policy(""))
		file := errors.New("a.yaml:2: cannot be read: no end")
		record := errors.New("b.yaml:3: Record example.test/a/A: data[0]: not an address")
		batch(zones.Change{Key: "files/a.yaml", Err: file}, zones.Change{Key: "records/example.test/a/A", Err: record})
		batch(zones.Change{Key: "files/a.yaml"}, zones.Change{Key: "records/example.test/a/A"})
		batch(changes(t, "kind: Policy\nname: new.example.test\nrules: [{failover: [www-er]}]\n", 1)...)
		batch(zones.Change{Key: "policies/new.example.test"})
		const refused = "problem: Policy www.example.test: ttl: write a time, such as 30s; " +
			"the last good version stays in service"
		const fine = "problem: Policy www.example.test has no problem any more"
		want := refused + "\n" + fine + `
problem: a.yaml:2: cannot be read: no end; what was in service of it stays
problem: b.yaml:3: Record example.test/a/A: data[0]: not an address; nothing of it is in service
problem: a.yaml has no problem any more
problem: Record example.test/a/A has no problem any more: it is gone
problem: Policy new.example.test: rules[0].failover[0]: no pool "www-er"; known: www-eu, www-us; ` +
			`this version is in service nevertheless, as far as it can be served (2 problems in all)
problem: Policy new.example.test has no problem any more: it is gone`
		if got := r.page("problem"); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		for range 12 {
			batch(broken)
			time.Sleep(10 * time.Second)
			batch(policy(""))
			time.Sleep(10 * time.Second)
		}
		time.Sleep(time.Hour)
		told := r.only("policy/www.example.test", "problem: ")
		if n := len(told); n != 7 || !strings.HasPrefix(told[n-1], fine+" (at 00:03:50 UTC, the last of 20 ") {
			t.Errorf("a policy that is refused all the time has\n%s", strings.Join(told, "\n"))
		}
		var many []zones.Change
		for i := range 50 {
			many = append(many, zones.Change{
				Key: zones.KeyOf(zones.KindPool, fmt.Sprint("p", i)), Err: errors.New("no such field"),
			})
		}
		batch(many...)
		for _, of := range []string{"p7", "pool/p49"} {
			if got := r.page(of); !strings.HasPrefix(got, "problem: 50 resources have problems; the first: Pool p0: ") {
				t.Errorf("of many that are refused, %s has\n%s", of, got)
			}
		}
	})
}
