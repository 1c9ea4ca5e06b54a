package control_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/health"
	"leeward/health/resolve"
	"leeward/server/answer"
	"leeward/server/history"
	"leeward/zones"
	"leeward/zones/catalog"
)

// lived is a server's life: its resources in etcd, its loop, which is restarted now and then, and what it said at each
// moment.
type lived struct {
	t        *testing.T
	random   *rand.Rand
	folder   string
	revision int64
	there    map[zones.Key]zones.Change // in etcd
	copied   []zones.Resource           // on disk
	past     []health.Past              // on disk
	sequence uint64

	loop    *control.Loop
	journal *history.Journal
	stop    func()

	said []saying
	outs []time.Time // when no server ran
}

type saying struct {
	at                time.Time
	name, qtype, from string
	text, answers     string
	step              int
}

func (l *lived) begin() {
	l.t.Log(time.Now(), "begin")
	l.journal = history.Open(history.Options{Folder: l.folder, Now: time.Now})
	l.loop = control.NewLoop(control.LoopOptions{
		Past: l.past, Recall: func(past []health.Past) { l.past = past },
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Own: "fra", Region: "eu-west",
		Publish: func(answer.State) {}, Happened: l.journal.Add,
		Keep: func(_ int64, f *catalog.Frozen) { l.copied = slices.Collect(f.All()) },
	})
	ctx, stop := context.WithCancel(l.t.Context())
	ran, written := make(chan struct{}), make(chan struct{})
	go func() { defer close(written); l.journal.Run() }()
	go func() { defer close(ran); l.loop.Run(ctx) }()
	l.stop = func() { stop(); <-ran; l.journal.Close(); <-written }
	if l.copied != nil {
		copied := zones.Batch{Revision: l.revision, Full: true, Copy: true}
		for _, r := range l.copied {
			copied.Changes = append(copied.Changes, zones.Change{Key: r.Key(), Resource: r})
		}
		l.loop.Batch(copied)
		synctest.Wait()
		l.listen()
		time.Sleep(time.Duration(1+l.random.IntN(3000)) * time.Millisecond) // etcd is not there yet
	}
	all := zones.Batch{Revision: l.revision, Full: true}
	for _, c := range l.there {
		all.Changes = append(all.Changes, c)
	}
	l.loop.Batch(all)
	synctest.Wait()
}

func (l *lived) put(text string) {
	l.revision++
	l.t.Log(time.Now(), text)
	b := zones.Batch{Revision: l.revision, Changes: changes(l.t, text, l.revision)}
	for _, c := range b.Changes {
		l.there[c.Key] = c
	}
	l.loop.Batch(b)
}

func (l *lived) remove(key zones.Key) {
	if _, there := l.there[key]; !there {
		return
	}
	l.revision++
	l.t.Log(time.Now(), "delete", key)
	delete(l.there, key)
	l.loop.Batch(zones.Batch{
		Revision: l.revision, Accepted: l.revision, Changes: []zones.Change{{Key: key, Revision: l.revision}},
	})
}

// listen notes what the server says at this moment.
func (l *lived) listen() {
	for _, q := range [][3]string{
		{"www.example.test", "A", "198.51.100.7"},
		{"www.example.test", "AAAA", "203.0.113.9"},
		{"api.example.test", "A", "198.51.100.7"},
		{"alias.example.test", "A", "192.0.2.200"},
		{"far.example.test", "A", "192.0.2.200"},
		{"txt.example.test", "TXT", "192.0.2.200"},
	} {
		e, err := answer.Explain(l.loop.State(), q[0], q[1], q[2])
		if err != nil {
			l.t.Fatal(err)
		}
		text, answers := unchanging(e)
		l.said = append(l.said, saying{time.Now(), q[0], q[1], q[2], text, answers, len(l.said)})
	}
}

// unchanging is the part of an explanation that does not depend on chance. If chance chose among pools, it leaves out
// the pool that answers.
func unchanging(e *answer.Explanation) (text, answers string) {
	if x := e.Explanation; x != nil {
		might := 0
		for _, s := range x.Steps {
			if s.Result == "available" {
				might++
			}
		}
		at := 0
		if might > 1 || x.FailOpen {
			at = slices.IndexFunc(e.Text, func(line string) bool { // chance also chose who keeps a client
				return strings.Contains(line, " keeps ") || strings.Contains(line, " answers: ")
			})
			return strings.Join(e.Text[:at], "\n") + fmt.Sprint(e.Revision, len(x.Steps)), ""
		}
	}
	var lines []string
	for _, line := range e.Text {
		if !strings.HasPrefix(line, "answer: ") {
			lines = append(lines, line)
		}
	}
	lines = append(lines, fmt.Sprint(e.Outcome, " ", e.Rcode, " ", e.Policy, " /", e.Scope, " revision ", e.Revision,
		" TTL ", e.TTL))
	if e.Explanation != nil {
		lines = append(lines, fmt.Sprint(e.Steps, e.Candidates))
	}
	if e.Outcome == "positive" {
		answers = strings.Join(e.Answer, "\n")
	}
	return strings.Join(lines, "\n"), answers
}

const lifeOf = `
kind: Zone
name: example.test
nameservers: [ns1.example.test]
hostmaster: hostmaster@example.test
---
kind: Zone
name: other.test
nameservers: [ns1.example.test]
hostmaster: hostmaster@example.test
---
{kind: Record, name: example.test/txt/TXT, data: ['"0"']}
---
{kind: Record, name: example.test/alias/CNAME, data: [www.example.test.]}
---
{kind: Record, name: example.test/far/CNAME, data: [www.other.test.]}
---
{kind: Region, name: eu-west}
---
{kind: Region, name: us-east}
---
{kind: Monitor, name: web, tcp: {port: 80}, interval: 1s}
---
{kind: Pool, name: www-eu, region: eu-west, monitor: web}
---
{kind: Pool, name: www-us, region: us-east, monitor: web}
---
{kind: Pool, name: named, region: us-east, monitor: web}
---
{kind: Endpoint, name: www-eu/lb-1, addresses: [192.0.2.1, "2001:db8::1"], capacity: {target: 100, max: 120}}
---
{kind: Endpoint, name: www-eu/lb-2, addresses: [192.0.2.2], capacity: {target: 100, max: 120}}
---
{kind: Endpoint, name: www-us/lb-1, addresses: [192.0.2.3]}
---
{kind: Endpoint, name: named/lb-1, hostname: lb.example.net}
---
{kind: Policy, name: www.example.test, ttl: 30s, rules: [{failover: [www-eu, www-us]}]}
---
{kind: Policy, name: api.example.test, ttl: 30s, rules: [{failover: [named, www-eu]}]}
---
{kind: Policy, name: www.other.test, ttl: 30s, spill: true, rules: [{failover: [{www-eu: 1, www-us: 1}]}]}
`

// step lets one thing happen.
func (l *lived) step() {
	n := l.random.IntN
	switch n(16) {
	case 0:
		l.put(fmt.Sprintf("{kind: Endpoint, name: www-eu/lb-%d, addresses: [192.0.2.%d], weight: %d}",
			1+n(4), 1+n(4), 1+n(9)))
	case 1:
		l.remove(zones.Key(fmt.Sprintf("endpoints/www-eu/lb-%d", 2+n(3))))
	case 2:
		l.put(fmt.Sprintf("{kind: Policy, name: www.example.test, ttl: %ds, "+
			"rules: [{failover: [{www-eu: %d, www-us: 1}]}]}",
			20+n(20), 1+n(5)))
	case 3:
		l.put("{kind: Policy, name: www.example.test, ttl: 30s, rules: [{failover: [www-us, www-eu]}]}")
	case 4, 5:
		from := time.Now().Add(time.Duration(n(90)) * time.Second).UTC()
		target, ramp := []string{"pool/www-eu", "region/us-east", "endpoint/www-eu/lb-1"}[n(3)], ""
		if n(2) == 0 && !strings.HasPrefix(target, "endpoint") {
			ramp = fmt.Sprintf(", ramp: %ds", 10+n(20))
		}
		l.put(fmt.Sprintf("{kind: Override, name: %s, state: drain, from: %q, until: %q%s}",
			target, from.Format(time.RFC3339),
			from.Add(time.Duration(60+n(90))*time.Second).Format(time.RFC3339), ramp))
	case 6:
		l.remove(zones.Key("overrides/" + []string{"pool/www-eu", "region/us-east"}[n(2)]))
	case 7, 8, 9, 10:
		l.sequence++
		sequence, i, state := l.sequence, n(4), health.State(1+n(2))
		l.loop.Health(func(now time.Time, board *health.Board) {
			board.Report(now, health.Report{
				Vantage: "fra", State: state, Sequence: sequence, Time: now, Reason: "as it was drawn",
				Target: health.Target{
					Endpoint: []string{"www-eu/lb-1", "www-eu/lb-2", "www-us/lb-1", "named/lb-1"}[i],
					Address: netip.MustParseAddr([]string{
						"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.9",
					}[i]),
				},
			})
		})
	case 11:
		l.loop.Resolved(resolve.Answer{
			Hostname: "lb.example.net", Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(9 + n(2))})},
			Known: [2]bool{true, true}, Expires: time.Now().Add(time.Duration(n(200)) * time.Second),
		})
	case 12:
		value := float64(n(400))
		l.loop.Health(func(now time.Time, board *health.Board) {
			board.Measure(health.Measure{
				Vantage: "fra", Pool: "www-eu", Load: health.LoadOf(value), Offered: health.LoadOf(value),
				Endpoints: map[string]health.Standing{"lb-1": {Load: health.LoadOf(value / 3), Warmth: 0.5, Factor: 1}},
			})
		})
	case 13:
		l.put(fmt.Sprintf("{kind: Record, name: example.test/txt/TXT, data: ['\"%d\"']}", n(100)))
	case 14:
		if n(3) == 0 {
			l.stop()
			time.Sleep(time.Duration(100+n(20_000)) * time.Millisecond)
			l.outs = append(l.outs, time.Now())
			time.Sleep(time.Duration(100+n(20_000)) * time.Millisecond)
			if n(2) == 0 { // something changes meanwhile
				l.revision++
				for _, c := range changes(l.t, "{kind: Record, name: example.test/txt/TXT, data: ['\"meanwhile\"']}",
					l.revision) {
					l.there[c.Key] = c
				}
			}
			l.begin()
		}
	case 15:
		time.Sleep(time.Duration(n(15*60)) * time.Second)
	}
	synctest.Wait()
	l.listen()
	time.Sleep(time.Duration(1+n(20_000)) * time.Millisecond)
	synctest.Wait()
	l.listen()
	time.Sleep(time.Millisecond)
}

// lives is how many servers' lives are played. More were played by hand.
const lives = 6

// Whatever happens, an explanation of a past moment says what the explanation at that moment said. For a time in which
// the server did not run, it says that.
func TestExplainAt(t *testing.T) {
	for seed := range uint64(lives) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				l := &lived{
					t: t, random: rand.New(rand.NewPCG(seed, 12)), folder: folder, revision: 1,
					there: map[zones.Key]zones.Change{},
				}
				for _, c := range changes(t, lifeOf, 1) {
					l.there[c.Key] = c
				}
				l.begin()
				defer func() { l.stop() }()
				for range 40 {
					l.step()
				}
				for _, s := range l.said {
					if l.random.IntN(8) == 0 {
						l.check(s)
					}
				}
				for _, at := range l.outs {
					_, err := l.loop.ExplainAt(t.Context(), l.journal, at, "www.example.test", "A", "192.0.2.200")
					if lacks := (*history.NotKept)(nil); !errors.As(err, &lacks) ||
						!strings.Contains(err.Error(), "did not run") {
						t.Errorf("at %s no server ran, but: %v", at, err)
					}
				}
			})
		})
	}
}

func (l *lived) check(s saying) {
	l.t.Helper()
	e, err := l.loop.ExplainAt(l.t.Context(), l.journal, s.at, s.name, s.qtype, s.from)
	if err != nil {
		l.t.Fatalf("%d: %s: %v", s.step, s.name, err)
	}
	if text, answers := unchanging(e); text != s.text || answers != s.answers {
		l.t.Fatalf("%d: %s %s at %s: now it says\n%s\n%s\nthen it said\n%s\n%s", s.step, s.name, s.qtype, s.at,
			text, answers, s.text, s.answers)
	}
}
