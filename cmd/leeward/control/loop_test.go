package control_test

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"leeward/cmd/leeward/control"
	"leeward/health"
	"leeward/server/admin"
	"leeward/server/answer"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/document"
	"leeward/zones/steer"
)

// resources are two regions with a pool of one endpoint each, and a policy for them.
//
//go:embed testdata/two-regions.yaml
var resources string

// changes reads documents as a source would deliver them.
func changes(t *testing.T, text string, revision int64) []zones.Change {
	t.Helper()
	docs, problems := document.Read("test.yaml", strings.NewReader(text))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	var cs []zones.Change
	for _, r := range zones.Resources(docs) {
		cs = append(cs, zones.Change{Key: r.Key(), Resource: r, Revision: revision})
	}
	return cs
}

// bench is a running loop and what it has put out.
type bench struct {
	*control.Loop
	t    *testing.T
	stop func() // ends Run

	mu        sync.Mutex
	published []answer.State
	assigned  []health.Assignment
	kept      []int64
	past      [][]health.Past
	log       bytes.Buffer // read only while the loop rests
}

// start runs a loop in the bubble of synctest.
func start(t *testing.T, past ...health.Past) *bench {
	b := &bench{t: t}
	b.Loop = control.NewLoop(control.LoopOptions{
		Past: past, Recall: func(past []health.Past) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.past = append(b.past, past)
		},
		Log: slog.New(slog.NewTextHandler(&b.log, nil)), Now: time.Now, Own: "fra",
		Publish: func(s answer.State) { b.mu.Lock(); defer b.mu.Unlock(); b.published = append(b.published, s) },
		Assign:  func(p *steer.Program) { b.mu.Lock(); defer b.mu.Unlock(); b.assigned = p.Assignments() },
		Keep: func(revision int64, _ *catalog.Frozen) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.kept = append(b.kept, revision)
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	b.stop = stop
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return b
}

// saved returns the revisions that have been kept so far.
func (b *bench) saved() []int64 {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.kept)
}

// probed returns the targets to probe now.
func (b *bench) probed() []health.Assignment {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.assigned
}

// answer returns the answer to a client, "" if there is none.
func (b *bench) answer(name string) string {
	b.t.Helper()
	synctest.Wait()
	e, err := answer.Explain(b.State(), name, "A", "198.51.100.7")
	if err != nil {
		b.t.Fatal(err)
	}
	if len(e.Answer) == 0 {
		return ""
	}
	return e.Answer[0][strings.LastIndex(e.Answer[0], " ")+1:]
}

func (b *bench) say(vantage, endpoint, address string, s health.State, sequence uint64) {
	b.Health(func(now time.Time, board *health.Board) {
		board.Report(now, health.Report{
			Vantage: vantage, Target: health.Target{Endpoint: endpoint, Address: netip.MustParseAddr(address)},
			State: s, Sequence: sequence, Time: now,
		})
	})
}

// The first answer after a start leaves out what was down before. Verdicts are saved soon after one turns, and not
// while none does.
func TestPastIsInTheFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := health.Target{Endpoint: "www-eu/lb-1", Address: netip.MustParseAddr("192.0.2.1")}
		b := start(t, health.Past{Target: dead, Verdict: health.Down})
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		if got := b.answer("www.example.test"); got != "192.0.2.2" {
			t.Errorf("the first answer is %q, want the pool that was not down", got)
		}
		for _, s := range b.published {
			for _, p := range s.View.Pools() {
				if p.Pool == "www-eu" && p.IPv4.Available {
					t.Error("a pool that was down has been published as available")
				}
			}
		}
		kept := func() (n int, down bool) {
			time.Sleep(time.Second)
			synctest.Wait()
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, p := range b.past[len(b.past)-1] {
				down = down || p.Target == dead && p.Verdict == health.Down
			}
			return len(b.past), down
		}
		if _, down := kept(); !down {
			t.Error("what was down before, and nobody has found otherwise, is forgotten")
		}
		b.say("fra", "www-eu/lb-1", "192.0.2.1", health.Up, 1)
		if got := b.answer("www.example.test"); got != "192.0.2.1" {
			t.Errorf("this vantage has found it up and the answer is %q", got)
		}
		n, down := kept()
		if down {
			t.Error("what is up is remembered as down")
		}
		time.Sleep(time.Hour)
		if again, _ := kept(); again != n {
			t.Errorf("verdicts are kept %d times while none turns", again-n)
		}
	})
}

func TestChangesReachAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		if b.Ready() == nil {
			t.Error("ready before anything was read")
		}
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		if got := b.answer("www.example.test"); got != "192.0.2.1" {
			t.Errorf("answer %q, want the first pool's", got)
		}
		if err := b.Ready(); err != nil {
			t.Error(err)
		}
		if n := len(b.probed()); n != 2 {
			t.Errorf("%d targets are probed, want 2", n)
		}
		b.Batch(zones.Batch{Revision: 6, Changes: changes(t, "kind: Endpoint\nname: www-eu/lb-1\naddresses: "+
			"[192.0.2.9]\n", 6)})
		if got := b.answer("www.example.test"); got != "192.0.2.9" {
			t.Errorf("answer %q, want the new address", got)
		}
		if r := b.State().Snapshot.Revision(); r != 6 {
			t.Errorf("revision %d, want 6", r)
		}
	})
}

// A problem with a newest version is logged when it comes, and the status says which version is in service.
func TestProblemsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		b.Batch(zones.Batch{Revision: 6, Changes: changes(t, `
kind: Pool
name: www-us
region: nowhere
---
kind: Policy
name: half.example.test
rules: [{failover: [www-eu, www-ap]}]
---
kind: Record
name: example.test/www/TXT
data: [ok]
`, 6)})
		b.Batch(zones.Batch{
			Revision: 7,
			Changes:  []zones.Change{{Key: "zones/other.test", Err: errors.New("not JSON"), Revision: 7}},
		})
		synctest.Wait()
		got := map[string]string{}
		if err := b.Do(t.Context(), func(i control.Inside) {
			for _, p := range i.Summary(time.Now()).Status().Problems {
				got[p.Resource] = p.InService
			}
		}); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"pools/www-us": admin.InServiceOlder, "policies/half.example.test": admin.InServiceNewest,
			"zones/other.test": admin.InServiceNone,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		for key, service := range want {
			line := regexp.MustCompile("level=WARN .*resource=" + regexp.QuoteMeta(key) + ` .*"in service"="?` +
				service)
			if n := len(line.FindAllString(b.log.String(), -1)); n != 1 {
				t.Errorf("%s is logged %d times, want once:\n%s", key, n, &b.log)
			}
		}

		// The guard keeps the policies. Once they are put right, no problem is left.
		b.Batch(zones.Batch{Revision: 8, Changes: append(changes(t, resources, 8),
			zones.Change{Key: "zones/other.test", Revision: 8},
			zones.Change{Key: "policies/half.example.test", Revision: 8})})
		synctest.Wait()
		if !strings.Contains(b.log.String(), "no resource has a problem any more") {
			t.Errorf("%s", &b.log)
		}
		b.Batch(zones.Batch{Revision: 9, Changes: []zones.Change{{Key: "policies/www.example.test", Revision: 9}}})
		synctest.Wait()
		if !strings.Contains(b.log.String(), "held=1 first=policies/www.example.test") {
			t.Errorf("%s", &b.log)
		}
		b.Batch(zones.Batch{Revision: 10, Accepted: 10})
		synctest.Wait()
		if !strings.Contains(b.log.String(), "nothing is held back any more") {
			t.Errorf("%s", &b.log)
		}
	})
}

// A verdict that turns republishes the same Snapshot with a new View.
func TestVerdictRepublishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		b.answer("www.example.test")
		before := b.State()
		b.say("fra", "www-eu/lb-1", "192.0.2.1", health.Down, 1)
		if got := b.answer("www.example.test"); got != "192.0.2.2" {
			t.Errorf("answer %q, want the second pool's", got)
		}
		after := b.State()
		if after.Snapshot != before.Snapshot || after.View == before.View {
			t.Errorf("snapshot again: %v, view again: %v; want the same snapshot and another view",
				after.Snapshot == before.Snapshot, after.View == before.View)
		}
		b.say("fra", "www-eu/lb-1", "192.0.2.1", health.Up, 2)
		if got := b.answer("www.example.test"); got != "192.0.2.1" {
			t.Errorf("answer %q, want the first pool's again", got)
		}
	})
}

// Reports that came before the resources count in the very first answers.
func TestReportsBeforeResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.say("fra", "www-eu/lb-1", "192.0.2.1", health.Down, 1)
		synctest.Wait()
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		if got := b.answer("www.example.test"); got != "192.0.2.2" {
			t.Errorf("answer %q, want the second pool's", got)
		}
	})
}

func TestOverrideEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		until := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources+
			"---\nkind: Override\nname: region/eu-west\nstate: drain\nuntil: "+until+"\n", 5)})
		if got := b.answer("www.example.test"); got != "192.0.2.2" {
			t.Errorf("answer %q while the region is drained", got)
		}
		time.Sleep(61 * time.Second)
		if got := b.answer("www.example.test"); got != "192.0.2.1" {
			t.Errorf("answer %q after the override has ended by itself", got)
		}
	})
}

// A vantage that falls silent stops counting without anybody saying so.
func TestVantageGoesStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		b.say("fra", "www-eu/lb-1", "192.0.2.1", health.Up, 1)
		for _, vantage := range []string{"nyc", "sin"} {
			b.say(vantage, "www-eu/lb-1", "192.0.2.1", health.Down, 1)
		}
		if got := b.answer("www.example.test"); got != "192.0.2.2" {
			t.Errorf("answer %q while two of three say down", got)
		}
		time.Sleep(health.DefaultStale + time.Second)
		if got := b.answer("www.example.test"); got != "192.0.2.1" {
			t.Errorf("answer %q when only the one that says up is fresh", got)
		}
	})
}

// A flood of changes is saved when it is over, and now and then if it does not end.
func TestKeepsAfterQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		one := func(revision int64) {
			b.Batch(zones.Batch{
				Revision: revision,
				Changes: changes(t, "kind: Region\nname: r"+string(rune('a'+revision%26))+"\nlatitude: "+
					[]string{"1", "2"}[revision/26%2]+"\nlongitude: 1\n", revision),
			})
		}
		time.Sleep(50 * time.Millisecond) // so that no change comes at the instant of a save
		for revision := int64(6); revision < 30; revision++ {
			time.Sleep(100 * time.Millisecond)
			one(revision)
		}
		if kept := b.saved(); !slices.Equal(kept, []int64{14}) {
			// the first copy is there a second after the first list, flood or not
			t.Errorf("kept %v before it was quiet, want revision 14", kept)
		}
		time.Sleep(2 * time.Second)
		if kept := b.saved(); !slices.Equal(kept, []int64{14, 29}) {
			t.Errorf("kept %v, want revision 14, and 29 once", kept)
		}
		for revision := int64(30); revision < 30+300; revision++ {
			time.Sleep(100 * time.Millisecond)
			one(revision)
		}
		if kept := b.saved(); len(kept) < 3 || len(kept) > 5 {
			t.Errorf("kept %v in a flood of 30 s, want about every 10 s", kept)
		}
	})
}

func TestConditions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		look := func() (age float64, state string) {
			if err := b.Do(t.Context(), func(i control.Inside) {
				s := i.Server(time.Now())
				age, state = s.SnapshotAgeSeconds, s.Source.State
			}); err != nil {
				t.Fatal(err)
			}
			return age, state
		}
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		b.Condition(zones.Condition{State: zones.Following, Since: time.Now(), Heard: time.Now()})
		time.Sleep(time.Minute)
		if age, state := look(); age != 0 || state != "following" {
			t.Errorf("while following: %v s old, %s", age, state)
		}
		b.Condition(zones.Condition{State: "cut off", Since: time.Now(), Heard: time.Now()})
		time.Sleep(30 * time.Second)
		if age, state := look(); age != 30 || state != "cut off" {
			t.Errorf("cut off for 30 s: %v s old, %s", age, state)
		}
		if got := b.answer("www.example.test"); got != "192.0.2.1" {
			t.Errorf("cut off, the answer is %q", got)
		}
	})
}

func TestExplain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		synctest.Wait()
		for _, c := range []struct{ name, qtype, outcome, holds string }{
			{"www.example.test", "A", "steered", "www.example.test. 30 IN A 192.0.2.1"},
			{"WWW.Example.TEST.", "", "steered", "www.example.test. 30 IN A 192.0.2.1"},
			{"www.example.test", "AAAA", "nodata", "SOA"},
			{"txt.example.test", "TXT", "positive", `txt.example.test. 300 IN TXT "hello"`},
			{"txt.example.test", "A", "nodata", "SOA"},
			{"nothing.example.test", "A", "nxdomain", "example.test. 30 IN SOA"},
			{"example.org", "A", "refused", ""},
		} {
			e, err := answer.Explain(b.State(), c.name, c.qtype, "198.51.100.0/24")
			if err != nil {
				t.Errorf("%s %s: %v", c.name, c.qtype, err)
				continue
			}
			records := strings.Join(append(e.Answer, e.Authority...), "\n")
			if e.Outcome != c.outcome || !strings.Contains(records, c.holds) || len(e.Text) == 0 || e.Revision != 5 {
				t.Errorf("%s %s: %s %q, want %s with %q", c.name, c.qtype, e.Outcome, records, c.outcome, c.holds)
			}
		}
		// An explanation has the problems and held changes of its own name and of no other.
		b.Batch(zones.Batch{Revision: 6, Changes: []zones.Change{
			{
				Key: zones.KeyOf(zones.KindPolicy, "broken.example.test"), Err: errors.New("it cannot be read"),
				Revision: 6,
			},
			{
				Key: zones.KeyOf(zones.KindRecord, "example.test/*.wild/A"), Err: errors.New("it cannot be read"),
				Revision: 6,
			},
		}})
		synctest.Wait()
		for name, want := range map[string]int{
			"broken.example.test": 1, "x.wild.example.test": 1,
			"www.example.test": 0, "example.test": 0,
		} {
			e, err := b.Explain(t.Context(), name, "A", "198.51.100.7")
			if err != nil || len(e.Problems) != want {
				t.Errorf("%s: %v, %+v, want %d problems", name, err, e, want)
			}
		}
		for _, c := range [][3]string{
			{"", "A", "192.0.2.1"},
			{"a..b", "A", "192.0.2.1"},
			{"a.test", "NOTYPE", "192.0.2.1"},
			{"a.test", "A", ""},
			{"a.test", "A", "here"},
		} {
			if _, err := answer.Explain(b.State(), c[0], c[1], c[2]); err == nil {
				t.Errorf("%q is explained", c)
			}
		}
	})
}

// A loop that read only the copy on disk does not save it again: nobody has confirmed it, and its time must tell its
// age. After the first list it is saved, whether the list has anything new or not.
func TestCopyStaysAsOldAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.Batch(zones.Batch{
			Revision: 5, Full: true, Copy: true, Serials: &zones.Serials{},
			Changes: changes(t, resources, 5),
		})
		time.Sleep(time.Minute)
		if kept := b.saved(); kept != nil {
			t.Errorf("kept %v, which is what had been kept", kept)
		}
		b.Batch(zones.Batch{Revision: 7, Full: true, Changes: changes(t, resources, 5)})
		time.Sleep(time.Minute)
		if kept := b.saved(); !slices.Equal(kept, []int64{7}) {
			t.Errorf("kept %v, want the list, once", kept)
		}
	})
}

// Servers that follow the same source say the same revision, whether they began with a copy on disk or not.
func TestRevisionAfterACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, without := start(t), start(t)
		serials := &zones.Serials{}
		// Heartbeats had moved the source on to 5 when the copy was made, and to 9 when the list was.
		b.Batch(zones.Batch{Revision: 5, Full: true, Copy: true, Serials: serials, Changes: changes(t, resources, 5)})
		for _, l := range []*bench{b, without} {
			synctest.Wait()
			l.Batch(zones.Batch{Revision: 9, Full: true, Changes: changes(t, resources, 2)})
			synctest.Wait()
			if got := l.State().Snapshot.Revision(); got != 2 {
				t.Errorf("the newest resource is of revision 2, and it answers from %d", got)
			}
			// A later list, of the same history, takes it back no more.
			l.Batch(zones.Batch{Revision: 12, Changes: changes(t, resources, 12)[:1]})
			synctest.Wait()
			l.Batch(zones.Batch{Revision: 20, Full: true, Changes: changes(t, resources, 2)})
			synctest.Wait()
			if got := l.State().Snapshot.Revision(); got != 12 {
				t.Errorf("it answered from 12, and then answers from %d", got)
			}
		}
	})
}

// An empty program is assigned once too: a server that starts waits for its prober to know.
func TestAssignsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		times := 0
		l := control.NewLoop(control.LoopOptions{
			Log: slog.New(slog.DiscardHandler), Now: time.Now, Publish: func(answer.State) {},
			Assign: func(p *steer.Program) {
				if times++; len(p.Assignments()) != 0 {
					t.Errorf("%v is to be probed", p.Assignments())
				}
			},
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); l.Run(ctx) }()
		for revision := range 3 {
			l.Batch(zones.Batch{Revision: int64(revision + 1), Full: true})
			time.Sleep(time.Second)
			synctest.Wait()
		}
		stop()
		<-done
		if times != 1 {
			t.Errorf("told %d times", times)
		}
	})
}
