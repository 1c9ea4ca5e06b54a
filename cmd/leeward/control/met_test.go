package control

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/server/answer"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/document"
)

// everything returns all resources of a moment, as if the question met them all.
func (p *past) everything(t *rapid.T) *met {
	m := &met{zones: map[string]*zones.Zone{}}
	add := func(r zones.Resource) {
		if m.resources = append(m.resources, r); r.Key().Kind() == zones.KindZone {
			m.zones[r.Key().Name()] = r.(*zones.Zone)
		}
	}
	for r := range p.now.All() {
		if _, differs := p.changed[r.Key()]; !differs {
			add(r)
		}
	}
	for key, value := range p.changed {
		if value == nil {
			continue
		}
		r, err := p.read(key)
		if err != nil {
			t.Fatal(err)
		}
		add(r)
	}
	return m
}

// An explanation of the past is made from what the question meets. It is the same as one made from everything, whatever
// else there is.
func TestWhatIsMet(t *testing.T) {
	const ground = `
kind: Zone
name: example.test
nameservers: [ns1.example.test]
---
kind: Zone
name: other.test
nameservers: [ns1.example.test]
---
{kind: Region, name: eu-west}
---
{kind: Region, name: us-east}
---
{kind: Monitor, name: web, tcp: {port: 80}}
---
{kind: Monitor, name: all, tcp: {port: 81}}
---
{kind: Map, name: near, prefixes: {198.51.100.0/24: [us-east]}}
---
{kind: Pool, name: p0, region: eu-west, monitor: web}
---
{kind: Pool, name: p1, region: us-east, monitor: web}
---
{kind: Endpoint, name: p0/lb, addresses: [192.0.2.1]}
---
{kind: Endpoint, name: p1/lb, addresses: [192.0.2.2]}
`
	labels := []string{"a", "a", "b", "*", "*", `c\.d`, `e\047f`}
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.SampledFrom(labels)
		name := func() string {
			return strings.Join(rapid.SliceOfN(label, 0, 3).Draw(t, "labels"), ".")
		}
		full := func() string {
			return strings.TrimPrefix(name()+"."+rapid.SampledFrom([]string{
				"example.test", "other.test",
			}).Draw(t, "zone"), ".")
		}
		pool := func() string { return fmt.Sprint("p", rapid.IntRange(0, 2).Draw(t, "pool")) }
		draw := func() (text string) {
			switch rapid.IntRange(0, 12).Draw(t, "what") {
			case 0:
				return fmt.Sprintf("{kind: Zone, name: '%s', nameservers: [ns1.example.test]}", full())
			case 1:
				return fmt.Sprintf("{kind: Pool, name: %s, region: %s, monitor: web}", pool(),
					rapid.SampledFrom([]string{"eu-west", "us-east"}).Draw(t, "region"))
			case 2:
				return fmt.Sprintf("{kind: Endpoint, name: %s/lb, addresses: [192.0.2.%d]}", pool(),
					rapid.IntRange(1, 250).Draw(t, "address"))
			case 3:
				return fmt.Sprintf("{kind: Override, name: %s, state: drain}", rapid.SampledFrom([]string{
					"pool/p0", "pool/p1", "endpoint/p2/lb", "region/us-east",
				}).Draw(t, "target"))
			case 4:
				return "{kind: Defaults, name: " + rapid.SampledFrom([]string{
					"pool, monitor: all", "policy, ttl: 77s", "policy, map: near", "pool, ",
				}).Draw(t, "of") + "}"
			case 5, 6, 7:
				return fmt.Sprintf("{kind: Policy, name: '%s', rules: [{failover: [%s, %s]}]}", full(), pool(), pool())
			}
			zone := "example.test"
			if rapid.IntRange(0, 3).Draw(t, "zone") == 0 {
				zone = "other.test"
			}
			owner := name()
			if owner == "" {
				owner = "@"
			}
			what := rapid.SampledFrom([]string{"A", "TXT", "CNAME", "CNAME", "DNAME", "NS", "DS"}).Draw(t, "type")
			data := map[string]string{"A": "192.0.2.77", "TXT": `"text"`, "DS": "1 13 2 " + strings.Repeat("00", 32)}[what]
			if data == "" {
				data = full() + "."
			}
			return fmt.Sprintf("{kind: Record, name: '%s/%s/%s', data: ['%s']}", zone, owner, what, data)
		}
		read := func(text string) (cs []zones.Change) {
			docs, problems := document.Read("test.yaml", strings.NewReader(text))
			if problems.Err() == nil { // such as a name with * in the middle of it
				for _, r := range zones.Resources(docs) {
					cs = append(cs, zones.Change{Key: r.Key(), Resource: r})
				}
			}
			return cs
		}

		// The valid ones of the drawn resources existed then. More of them exist now.
		clock := func() time.Time { return time.Unix(1_800_000_000, 0) }
		c := catalog.New(clock)
		there := read(ground)
		for range rapid.IntRange(10, 40).Draw(t, "then") {
			there = append(there, read(draw())...)
		}
		c.Apply(zones.Batch{Full: true, Revision: 1, Changes: there})
		was := map[zones.Key]zones.Resource{}
		for r := range c.Freeze().All() {
			was[r.Key()] = r
		}
		for revision := range int64(rapid.IntRange(0, 15).Draw(t, "since")) {
			b := zones.Batch{Revision: revision + 2, Accepted: revision + 2}
			if rapid.Bool().Draw(t, "goes") {
				keys := make([]zones.Key, 0, len(was))
				for _, kind := range zones.Kinds {
					c.Each(kind, func(r zones.Resource) bool {
						keys = append(keys, r.Key())
						return true
					})
				}
				b.Changes = []zones.Change{{Key: rapid.SampledFrom(keys).Draw(t, "key"), Revision: b.Revision}}
			} else if b.Changes = read(draw()); len(b.Changes) > 0 {
				b.Changes[0].Revision = b.Revision
			}
			c.Apply(b)
		}
		p := &past{at: clock(), now: c.Freeze(), keys: map[string]keys{}, changed: map[zones.Key]json.RawMessage{}}
		p.seen = sight{Built: clock(), Revision: 7}
		now := map[zones.Key]zones.Resource{}
		for r := range p.now.All() {
			if now[r.Key()] = r; was[r.Key()] == nil {
				p.changed[r.Key()] = nil
			}
		}
		for key, r := range was {
			if now[key] != nil && zones.Same(now[key], r) {
				continue
			}
			text, err := zones.Encode(r)
			if err != nil {
				t.Fatal(err)
			}
			p.changed[key] = text
		}

		all := p.everything(t)
		var places []string
		for _, r := range all.resources {
			switch r := r.(type) {
			case *zones.Record:
				places = append(places, zones.FullName(r.Owner, r.Origin))
			case *zones.Policy:
				places = append(places, r.Name)
			}
		}
		for range 4 {
			q := full()
			if len(places) > 0 && rapid.IntRange(0, 3).Draw(t, "there") > 0 {
				q = rapid.SampledFrom(places).Draw(t, "place")
			}
			switch rapid.IntRange(0, 9).Draw(t, "then") {
			case 0, 1, 2:
				q = label.Draw(t, "label") + "." + q
			case 3:
				q = zones.ParentName(q) // as far as out of all zones
			}
			typ := rapid.SampledFrom([]string{"A", "A", "TXT", "DS", "NS", "CNAME"}).Draw(t, "qtype")
			want, err := answer.ExplainAt(p.state(all), p.at, q, typ, "198.51.100.7")
			if err != nil {
				t.Fatal(q, err)
			}
			got, err := p.explain(context.Background(), q, typ, "198.51.100.7")
			if err != nil {
				t.Fatal(q, err)
			}
			if explained(t, got) != explained(t, want) {
				for _, r := range all.resources {
					text, _ := zones.Encode(r)
					t.Logf("%s %s", r.Key(), text)
				}
				t.Fatalf("%s %s: of what is met\n%s\nof everything\n%s", q, typ, explained(t, got), explained(t, want))
			}
		}
	})
}

func explained(t *rapid.T, e *answer.Explanation) string {
	text, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
