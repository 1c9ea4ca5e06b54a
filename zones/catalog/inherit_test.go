package catalog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/document"
	"leeward/zones/sourcetest"
)

// writtenOut is inheritance in the plain way: what the JSON of the document lacks is taken from that of the Defaults.
// If the result is invalid, the document stays as it is.
func writtenOut(r, d zones.Resource) zones.Resource {
	fields, given := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for to, from := range map[*map[string]json.RawMessage]zones.Resource{&fields: r, &given: d} {
		text, err := zones.Encode(from)
		if err != nil || json.Unmarshal(text, to) != nil {
			panic(fmt.Sprint(string(text), err))
		}
	}
	for name, value := range given {
		if _, has := fields[name]; !has {
			fields[name] = value
		}
	}
	text, _ := json.Marshal(fields)
	whole, err := document.Decode(r.Key(), text)
	if err != nil {
		return r
	}
	return whole
}

// valuesOf returns what is in service except Defaults, with all values written out, wherever they come from.
func valuesOf(c *Catalog) (lines []string) {
	for _, kind := range zones.Kinds {
		if kind != zones.KindDefaults {
			c.Each(kind, func(r zones.Resource) bool {
				text, err := zones.Encode(zones.WrittenOut(r))
				lines = append(lines, fmt.Sprint(r.Key(), string(text), err))
				return true
			})
		}
	}
	slices.Sort(lines)
	return lines
}

// TestDefaultsAreWritingOut: a set with Defaults is equal to the set with their values written into each document,
// however the Defaults came about.
func TestDefaultsAreWritingOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, revision := New(clockAt0), int64(0)
		newest, order := map[zones.Key]zones.Change{}, []zones.Key{}
		for range rapid.IntRange(1, 40).Draw(t, "n") {
			revision++
			r := sourcetest.Resource(t)
			if rapid.IntRange(0, 4).Draw(t, "more defaults") == 0 {
				r = sourcetest.Defaults(t)
			}
			ch := zones.Change{Key: r.Key(), Resource: r, Revision: revision}
			if _, again := newest[r.Key()]; again {
				if r.Key().Kind() != zones.KindDefaults {
					continue // a resource that was good before stays in service, which is another story
				}
				if rapid.Bool().Draw(t, "gone") {
					ch.Resource = nil
				}
			} else {
				order = append(order, r.Key())
			}
			newest[r.Key()] = ch
			c.Apply(zones.Batch{Revision: revision, Changes: []zones.Change{ch}, Meant: true})
			if rapid.Bool().Draw(t, "copied") {
				c.Freeze() // what it has worked out from resources must not outlive a Defaults
			}
		}
		stale := false // values of an earlier Defaults stay in service if the present one cannot be used
		for key, v := range c.waiting {
			stale = stale || key.Kind() == zones.KindDefaults && c.Get(key) != nil || v.resource == nil
		}
		c.Each(zones.KindMonitor, func(r zones.Resource) bool {
			stale = stale || len(c.uninherited(r)) > 0 && len(zones.Inherited(r)) > 0
			return true
		})
		if stale {
			return
		}
		plain := New(clockAt0)
		for _, key := range order {
			ch := newest[key]
			if d := c.Get(zones.KeyOf(zones.KindDefaults, string(key.Kind()))); d != nil && ch.Resource != nil {
				ch.Resource = writtenOut(ch.Resource, d)
			}
			if key.Kind() != zones.KindDefaults {
				plain.Apply(zones.Batch{Revision: ch.Revision, Changes: []zones.Change{ch}})
			}
		}
		if d := cmp.Diff(valuesOf(plain), valuesOf(c)); d != "" {
			t.Fatalf("written out (-) and inherited (+): %s\n%v", d, c.Problems())
		}
		// The copy on disk restores the same, with the Defaults and the documents as they were written.
		again, changes := New(clockAt0), []zones.Change{}
		for r := range c.Freeze().All() {
			text, err := zones.Encode(r)
			if err != nil {
				t.Fatal(err)
			}
			back, err := document.Decode(r.Key(), text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			changes = append(changes, zones.Change{Key: r.Key(), Resource: back, Revision: c.VersionOf(r.Key())})
		}
		again.Apply(zones.Batch{Revision: revision, Full: true, Copy: true, Changes: changes})
		if d := cmp.Diff(valuesOf(c), valuesOf(again)); d != "" {
			t.Fatalf("in service (-) and from the copy (+): %s", d)
		}
	})
}

func batchOf(t *testing.T, revision int64, text string) zones.Batch {
	t.Helper()
	docs, problems := document.Read("a.yaml", strings.NewReader(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	b := zones.Batch{Revision: revision}
	for _, d := range docs {
		b.Changes = append(b.Changes, zones.Change{Key: d.Resource.Key(), Resource: d.Resource, Revision: revision})
	}
	return b
}

// TestDefaultsThatDoNotFit: if a Defaults makes a document invalid, the document's last good version stays in service.
// A problem at that document says so until it fits again.
func TestDefaultsThatDoNotFit(t *testing.T) {
	c := New(clockAt0)
	c.Apply(batchOf(t, 1, "{kind: Monitor, name: quick, tcp: {port: 80}, interval: 500ms}\n---\n"+
		"{kind: Monitor, name: slow, tcp: {port: 80}, interval: 10s}\n---\n"+
		"{kind: Defaults, name: Monitor, timeout: 400ms}"))
	timeout := func(name string) string {
		return c.Get(zones.KeyOf(zones.KindMonitor, name)).(*zones.Monitor).Timeout.String()
	}
	if got := timeout("quick") + " " + timeout("slow"); got != "400ms 400ms" || len(c.Problems()) > 0 {
		t.Fatal(got, c.Problems())
	}
	c.KeepReplaced(10)
	d := c.Apply(batchOf(t, 2, "{kind: Defaults, name: Monitor, timeout: 1s}"))
	if got := timeout("quick") + " " + timeout("slow"); got != "400ms 1s" {
		t.Error(got)
	}
	if was, lacks := c.TakeReplaced(); len(was) != 1 || lacks || len(d.Keys) != 2 {
		t.Errorf("replaced %v of %v: the change is that of the Defaults", was, d.Keys)
	}
	problems := c.Problems()
	if len(problems) != 1 || problems[0].Key != "monitors/quick" || problems[0].Field != "timeout" ||
		!strings.Contains(problems[0].Message, "Defaults Monitor") {
		t.Errorf("%v", problems)
	}
	again := New(clockAt0) // from the copy
	var changes []zones.Change
	for r := range c.Freeze().All() {
		changes = append(changes, zones.Change{Key: r.Key(), Resource: r})
	}
	again.Apply(zones.Batch{Revision: 2, Full: true, Copy: true, Changes: changes})
	if d := cmp.Diff(valuesOf(c), valuesOf(again)); d != "" {
		t.Error(d)
	}
	c.Apply(batchOf(t, 3, "{kind: Monitor, name: quick, tcp: {port: 80}, interval: 500ms, timeout: 300ms}"))
	if got := timeout("quick"); got != "300ms" || len(c.Problems()) > 0 {
		t.Error(got, c.Problems())
	}
}

// TestGuardKeepsDefaults: the guard holds a Defaults that many resources inherit from, and holds it together with any
// resource that it holds and that inherits from it.
func TestGuardKeepsDefaults(t *testing.T) {
	for _, pools := range []int{guardLeast - 1, guardLeast} {
		c, text := New(clockAt0), "{kind: Monitor, name: web, tcp: {port: 80}}\n---\n"+
			"{kind: Defaults, name: Pool, monitor: web}\n---\n{kind: Region, name: eu}\n"
		for i := range pools {
			text += fmt.Sprintf("---\n{kind: Pool, name: p%d, region: eu}\n", i)
		}
		c.Apply(batchOf(t, 1, text))
		gone := zones.Batch{Revision: 2, Changes: []zones.Change{{Key: "defaults/Pool", Revision: 2}}}
		c.Apply(gone)
		monitor := c.Get("pools/p0").(*zones.Pool).Monitor
		if held := c.HeldCount() == 1; held != (pools == guardLeast) || held != (monitor == "web") {
			t.Errorf("%d pools: held %v, monitor %q", pools, c.Held(), monitor)
		}
		if pools < guardLeast {
			continue
		}
		gone.Revision, gone.Meant = 3, true
		if c.Apply(gone); c.HeldCount() != 0 || c.Get("pools/p0").(*zones.Pool).Monitor != "" {
			t.Errorf("held though it was meant: %v", c.Held())
		}
		c.Apply(batchOf(t, 4, "{kind: Defaults, name: Pool, monitor: web}"))
		c.Apply(zones.Batch{Revision: 5, Full: true})
		if c.Get("defaults/Pool") == nil || c.Get("pools/p0").(*zones.Pool).Monitor != "web" {
			t.Errorf("pools are kept without their defaults: %v", c.Held())
		}
	}
}

// TestDefaultsMoveSerials: servers that see a change, and those that only list, come to the same serial.
func TestDefaultsMoveSerials(t *testing.T) {
	base := "{kind: Zone, name: a.test, nameservers: [ns.example.net]}\n---\n{kind: Region, name: eu}\n---\n" +
		"{kind: Pool, name: p, region: eu}\n---\n{kind: Endpoint, name: p/1, addresses: [192.0.2.1]}\n---\n" +
		"{kind: Policy, name: www.a.test, rules: [{failover: [p]}]}\n---\n" +
		"{kind: Zone, name: b.test, nameservers: [ns.example.net]}"
	saw := New(clockAt0)
	saw.Apply(batchOf(t, 1, base))
	d := saw.Apply(batchOf(t, 7, "{kind: Defaults, name: Policy, ttl: 5s}"))
	a, b := saw.ZoneSerial("a.test"), saw.ZoneSerial("b.test")
	if a != 7 || b != 1 || !slices.Equal(d.Serials, []string{"a.test"}) {
		t.Errorf("serials %d and %d, moved %v", a, b, d.Serials)
	}
	listed, full := New(clockAt0), batchOf(t, 1, base)
	full.Changes = append(full.Changes, batchOf(t, 7, "{kind: Defaults, name: Policy, ttl: 5s}").Changes...)
	full.Full, full.Revision = true, 9
	if listed.Apply(full); listed.ZoneSerial("a.test") != 7 {
		t.Error(listed.ZoneSerial("a.test"))
	}
	saw.Apply(zones.Batch{Revision: 11, Changes: []zones.Change{{Key: "defaults/Policy", Revision: 11}}})
	if owed, any := saw.Owed(); saw.ZoneSerial("a.test") != 11 || !any || owed.Last["a.test"] != 11 {
		t.Error(saw.ZoneSerial("a.test"), owed)
	}
}

// TestDefaultsGoWithTheirHeirs: resources that are removed in one batch with their Defaults are gone, and do not come
// back without the inherited values.
func TestDefaultsGoWithTheirHeirs(t *testing.T) {
	const rest = `
{kind: Zone, name: example.test, nameservers: [ns.example.net]}
---
{kind: Region, name: eu}
---
{kind: Pool, name: b, region: eu, monitor: ""}
---
{kind: Endpoint, name: b/1, addresses: [192.0.2.1]}
---
{kind: Policy, name: x.example.test, ttl: 9s, rules: [{nearest: [b]}]}
`
	const all = rest + `---
{kind: Monitor, name: m, tcp: {port: 80}}
---
{kind: Defaults, name: Policy, ttl: 2s}
---
{kind: Defaults, name: Pool, monitor: m}
---
{kind: Pool, name: a, region: eu}
---
{kind: Policy, name: www.example.test, rules: [{nearest: [b]}]}
`
	heirs := []zones.Key{zones.KeyOf(zones.KindPool, "a"), zones.KeyOf(zones.KindPolicy, "www.example.test")}
	for _, full := range []bool{true, false} {
		c := New(clockAt0)
		c.Apply(batchOf(t, 1, all))
		left := batchOf(t, 2, rest)
		if left.Full = full; !full {
			left.Changes = nil
			for _, key := range append([]zones.Key{
				zones.KeyOf(zones.KindDefaults, "Policy"), zones.KeyOf(zones.KindDefaults, "Pool"),
			}, heirs...) {
				left.Changes = append(left.Changes, zones.Change{Key: key, Revision: 2})
			}
		}
		c.Apply(left)
		for _, key := range heirs {
			if r := c.Get(key); r != nil || c.isHeld(key) {
				t.Errorf("everything named %v: %s is in service, %+v; held: %v", full, key, r, c.Held())
			}
		}
	}
}
