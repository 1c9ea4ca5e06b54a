package control_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/server/answer"
	"leeward/server/history"
	"leeward/zones"
	"leeward/zones/document"
)

// BenchmarkExplainAt explains a moment of a day in which a policy of 10,000, and the state of a pool, changed every
// second. The files of changes and of sights are full.
func BenchmarkExplainAt(b *testing.B) {
	const policies, pools = 10_000, 200
	began := time.Now()
	var passed atomic.Int64 // since began, in seconds
	now := func() time.Time { return began.Add(time.Duration(passed.Load()) * time.Second) }
	var text strings.Builder
	text.WriteString("kind: Zone\nname: example.test\nnameservers: [ns1.example.test]\n" +
		"---\n{kind: Region, name: eu}\n---\n{kind: Monitor, name: web, tcp: {port: 80}}\n")
	for i := range pools {
		fmt.Fprintf(&text, "---\n{kind: Pool, name: p%d, region: eu, monitor: web}\n", i)
		for k := range 10 {
			fmt.Fprintf(&text, "---\n{kind: Endpoint, name: p%d/e%d, addresses: [10.0.%d.%d]}\n", i, k, i, k)
		}
	}
	for i := range policies {
		fmt.Fprintf(&text, "---\n{kind: Policy, name: n%d.example.test, rules: [{failover: [p%d, p%d, p%d]}]}\n", i,
			i%pools, (i+1)%pools, (i+2)%pools)
	}
	docs, problems := document.Read("a.yaml", strings.NewReader(text.String()))
	if err := problems.Err(); err != nil {
		b.Fatal(err)
	}
	batch := zones.Batch{Full: true, Revision: 1}
	for _, r := range zones.Resources(docs) {
		batch.Changes = append(batch.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: 1})
	}
	j := history.Open(history.Options{Folder: filepath.Join(b.TempDir(), "history"), Now: now})
	go j.Run()
	defer j.Close()
	l := control.NewLoop(control.LoopOptions{
		Log: slog.New(slog.DiscardHandler), Now: now, Publish: func(answer.State) {}, Own: "ns1", Happened: j.Add,
	})
	done := make(chan struct{})
	go func() { defer close(done); l.Run(b.Context()) }()
	l.Batch(batch)
	if err := l.Do(b.Context(), func(control.Inside) {}); err != nil {
		b.Fatal(err)
	}

	const day = 84_000
	version := func(i int) []byte { // files that are not full, so that nothing of the day is missing
		return fmt.Appendf(nil, `{"ttl":"%ds","rules":[{"when":{"prefixes":["192.0.2.0/24","198.51.100.0/25"]},`+
			`"failover":["p1","p2","p3"]},{"failover":["p%d","p%d","p%d"]}]}`, 10+i%50, i%pools, (i+1)%pools, (i+2)%pools)
	}
	for i := range day {
		passed.Store(int64(i))
		key := fmt.Sprintf("policies/n%d.example.test", i%policies)
		j.Add(history.Event{
			Kind: history.Changed, Of: []string{"policy/" + key}, Text: key + " changed", Revision: int64(i),
			Changes: []history.Change{{
				Resource: key, What: "changed", Revision: int64(i), Was: version(i), Is: version(i + 1),
			}},
		}, nil)
		s := fmt.Sprintf(`{"pools":[{"pool":"p%d","down":["e%d@10.0.%d.%d"]}],"built":%q,"revision":%d`, i%pools, i%10,
			i%pools, i%10, now().Format(time.RFC3339Nano), i+1)
		if i%600 == 0 {
			s += `,"part":1,"parts":1`
		}
		j.Add(history.Event{Kind: history.Sighted, Begins: i%600 == 0, Sight: []byte(s + "}")}, nil)
		if i%1000 == 0 && !j.Flush(time.Minute) {
			b.Fatal("the history is not written")
		}
	}
	for _, ago := range []time.Duration{time.Minute, time.Hour, 12 * time.Hour, 23 * time.Hour} {
		b.Run("ago="+ago.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e, err := l.ExplainAt(b.Context(), j, now().Add(-ago), "n77.example.test", "A", "198.51.100.7")
				if err != nil {
					b.Fatal(err)
				}
				if e.Outcome != "steered" {
					b.Fatal(e)
				}
			}
		})
	}
}
