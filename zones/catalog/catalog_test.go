package catalog

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/document"
)

// world is a catalog with a clock that stands still until it is moved, fed by lines in the language of the field:
//
//	put Pool www-eu {"region":"eu"}     one change, at the next revision
//	del Pool www-eu
//	bad Pool www-eu                      a value that cannot be read
type world struct {
	t        *testing.T
	c        *Catalog
	now      time.Time
	revision int64
	last     Delta
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	w.c = New(func() time.Time { return w.now })
	return w
}

// change reads a line.
func (w *world) change(line string) zones.Change {
	w.t.Helper()
	w.revision++
	word := strings.SplitN(strings.TrimSpace(line), " ", 4)
	key := zones.KeyOf(zones.Kind(word[1]), word[2])
	ch := zones.Change{Key: key, Revision: w.revision}
	switch word[0] {
	case "put":
		value := "{}"
		if len(word) == 4 {
			value = word[3]
		}
		r, err := document.Decode(key, []byte(value))
		if err != nil {
			w.t.Fatalf("%s: %v", line, err)
		}
		ch.Resource = r
	case "bad":
		_, ch.Err = document.Decode(key, []byte(`{`))
	case "del":
	default:
		w.t.Fatalf("no such word: %s", line)
	}
	return ch
}

// one applies all lines as one batch, and each applies each line as its own.
func (w *world) one(lines ...string) {
	w.t.Helper()
	var b zones.Batch
	for _, line := range lines {
		b.Changes = append(b.Changes, w.change(line))
	}
	b.Revision = w.revision
	w.last = w.c.Apply(b)
}

func (w *world) each(lines ...string) {
	w.t.Helper()
	for _, line := range lines {
		w.one(line)
	}
}

// full applies a complete list.
func (w *world) full(accepted int64, lines ...string) {
	w.t.Helper()
	b := zones.Batch{Full: true, Accepted: accepted}
	for _, line := range lines {
		b.Changes = append(b.Changes, w.change(line))
	}
	w.revision++
	b.Revision = w.revision
	w.last = w.c.Apply(b)
}

func (w *world) accept(revision int64) {
	w.revision++
	w.last = w.c.Apply(zones.Batch{Revision: w.revision, Accepted: revision})
}

// effective lists what is in service.
func (w *world) effective() []string { return effectiveOf(w.c) }

func effectiveOf(c *Catalog) []string {
	var all []string
	for _, kind := range zones.Kinds {
		c.Each(kind, func(r zones.Resource) bool {
			value, err := zones.Encode(r)
			if err != nil {
				panic(err)
			}
			all = append(all, r.Key().String()+" "+string(value))
			return true
		})
	}
	slices.Sort(all)
	return all
}

func (w *world) want(what string, got, want []string) {
	w.t.Helper()
	if !slices.Equal(got, want) {
		w.t.Errorf("%s:\n  %s\nwant:\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func (w *world) wantProblems(want ...string) {
	w.t.Helper()
	var got []string
	for _, p := range w.c.Problems() {
		got = append(got, p.String())
	}
	w.want("problems", got, want)
}

func (w *world) wantHeld(want ...string) {
	w.t.Helper()
	var got []string
	for _, h := range w.c.Held() {
		got = append(got, h.Key.String()+": "+h.Why)
	}
	w.want("held", got, want)
}

func (w *world) wantThere(kind zones.Kind, names ...string) {
	w.t.Helper()
	var got []string
	w.c.Each(kind, func(r zones.Resource) bool {
		got = append(got, r.Key().Name())
		return true
	})
	slices.Sort(got)
	w.want(string(kind)+" in service", got, names)
}

// site is a small but whole world.
func site() []string {
	return []string{
		`put Zone example.test {"nameservers":["ns1.example.net"]}`,
		`put Region eu {"latitude":53.3,"longitude":-6.3}`,
		`put Region us {"latitude":37.4,"longitude":-78.7}`,
		`put Monitor web {"http":{}}`,
		`put Pool www-eu {"region":"eu","monitor":"web"}`,
		`put Pool www-us {"region":"us","monitor":"web"}`,
		`put Endpoint www-eu/lb-1 {"addresses":["192.0.2.1"]}`,
		`put Endpoint www-eu/lb-2 {"addresses":["192.0.2.2"]}`,
		`put Endpoint www-us/lb-1 {"addresses":["198.51.100.1"]}`,
		`put Record example.test/mail/A {"data":["192.0.2.25"]}`,
		`put Record example.test/@/MX {"data":["10 mail"]}`,
		`put Policy www.example.test {"rules":[{"nearest":["www-eu","www-us"]}]}`,
	}
}

func TestWholeSiteIsInServiceWithoutProblems(t *testing.T) {
	w := newWorld(t)
	w.full(0, site()...)
	w.wantProblems()
	w.wantHeld()
	if !w.last.Full {
		t.Error("the first list is not Full")
	}
	if n := len(w.effective()); n != len(site()) {
		t.Errorf("%d resources in service, want %d", n, len(site()))
	}
	if got := w.c.ZoneOf("a.b.example.test"); got != "example.test" {
		t.Errorf("ZoneOf = %q", got)
	}
	if got := w.c.ZoneOf("example.tes"); got != "" {
		t.Errorf("ZoneOf of a foreign name = %q", got)
	}
	if got := w.c.ZoneSerial("example.test"); got != 12 {
		t.Errorf("serial %d, want 12, the policy's revision", got)
	}
	var names []string
	for _, e := range w.c.EndpointsOf("www-eu") {
		names = append(names, e.Endpoint)
	}
	w.want("endpoints", names, []string{"lb-1", "lb-2"})
}

func TestBadNewestVersionCostsOnlyItself(t *testing.T) {
	w := newWorld(t)
	w.each(site()...)
	before := w.effective()
	w.one("bad Pool www-eu", `put Policy www.example.test {"rules":[{"failover":["www-eu","www-uss"]}]}`)
	w.want("in service", w.effective(), before)
	w.wantProblems(
		`Policy www.example.test: rules[0].failover[1]: no pool "www-uss"; known: www-us, www-eu`,
		`Pool www-eu: not JSON: line 1: the text ends before the closing '}'`,
	)
	if len(w.last.Keys) != 0 {
		t.Errorf("changed: %v", w.last.Keys)
	}
	// It heals by itself when the missing resource appears.
	w.each(`put Pool www-uss {"region":"us"}`, `put Endpoint www-uss/lb-1 {"addresses":["198.51.100.9"]}`, `put Pool www-eu {"region":"eu"}`)
	w.wantProblems()
	if p := w.c.Get("policies/www.example.test").(*zones.Policy); len(p.Rules[0].Failover) != 2 {
		t.Errorf("the newest policy is not in service: %+v", p)
	}
}

func TestReferrerOfSomethingMissingIsServedWithoutIt(t *testing.T) {
	w := newWorld(t)
	w.full(0, append(site(), `put Policy api.example.test {"map":"offices","rules":[{"failover":["www-eu","api-eu"]}]}`)...)
	w.wantThere(zones.KindPolicy, "api.example.test", "www.example.test")
	w.wantProblems(
		`Policy api.example.test: map: no map "offices"; there are none yet`,
		`Policy api.example.test: rules[0].failover[1]: no pool "api-eu"; known: www-eu, www-us`,
	)
	// A good resource stays in service when something that it refers to goes, and a problem says so.
	w.one("del Region us")
	if got := w.c.Problems().Only(func(p zones.Problem) bool { return p.Key == "pools/www-us" }); len(got) != 1 ||
		got[0].Field != "region" {
		t.Errorf("problems of the pool: %v", got)
	}
	w.wantThere(zones.KindPool, "www-eu", "www-us")
}

func TestOfTwoThatExcludeEachOtherTheOlderIsServed(t *testing.T) {
	for _, order := range []string{"older first", "younger first"} {
		w := newWorld(t)
		w.each(site()...)
		older := w.change(`put Record example.test/shop/CNAME {"data":["www"]}`)
		younger := w.change(`put Record example.test/shop/TXT {"data":["hello"]}`)
		changes := []zones.Change{older, younger}
		if order == "younger first" {
			slices.Reverse(changes)
		}
		for _, ch := range changes {
			w.c.Apply(zones.Batch{Revision: w.revision, Changes: []zones.Change{ch}})
		}
		w.wantThere(zones.KindRecord, "example.test/@/MX", "example.test/mail/A", "example.test/shop/CNAME")
		w.wantProblems(`Record example.test/shop/TXT: Record example.test/shop/CNAME is there, and a CNAME stands alone at its name (RFC 2181 10.1); delete one of the two`)
		w.one("del Record example.test/shop/CNAME")
		w.wantThere(zones.KindRecord, "example.test/@/MX", "example.test/mail/A", "example.test/shop/TXT")
		w.wantProblems()
	}
}

func TestReplacingIsOneStep(t *testing.T) {
	w := newWorld(t)
	w.each(site()...)
	w.one("del Record example.test/mail/A", "del Record example.test/@/MX", `put Record example.test/mail/CNAME {"data":["www"]}`)
	w.wantHeld()
	w.wantThere(zones.KindRecord, "example.test/mail/CNAME")
	w.one("del Endpoint www-us/lb-1", `put Endpoint www-us/lb-9 {"addresses":["198.51.100.1"]}`)
	w.wantHeld()
	w.wantProblems()
	w.wantThere(zones.KindEndpoint, "www-eu/lb-1", "www-eu/lb-2", "www-us/lb-9")
	w.one("del Policy www.example.test", `put Record example.test/www/A {"data":["192.0.2.80"]}`)
	w.wantThere(zones.KindRecord, "example.test/mail/CNAME", "example.test/www/A")
}

func TestStaticAddressesAndPoliciesExcludeEachOther(t *testing.T) {
	w := newWorld(t)
	w.each(site()...)
	w.each(`put Record example.test/www/AAAA {"data":["2001:db8::1"]}`, `put Record example.test/www/TXT {"data":["fine"]}`)
	w.wantThere(zones.KindRecord, "example.test/@/MX", "example.test/mail/A", "example.test/www/TXT")
	w.wantProblems(`Record example.test/www/AAAA: Policy www.example.test answers at this name; delete one of the two`)
}

func TestZoneThatComesLaterDecides(t *testing.T) {
	w := newWorld(t)
	lines := site()
	w.each(lines[1:]...)
	w.wantProblems(
		`Policy www.example.test: its name is in no zone; apply a Zone that holds it; there are none yet`,
		`Record example.test/@/MX: there is no Zone example.test that it could be in; there are none yet`,
		`Record example.test/mail/A: there is no Zone example.test that it could be in; there are none yet`,
	)
	w.each(`put Record example.test/www/A {"data":["192.0.2.80"]}`, lines[0])
	w.wantProblems(`Record example.test/www/A: Policy www.example.test answers at this name; delete one of the two`)
	w.one(`put Zone www.example.test {"nameservers":["ns.example.net"]}`)
	w.wantProblems(`Record example.test/www/A: warning: www.example.test is in zone www.example.test, which answers for it; name the record www.example.test/@/A`)
	var in []string
	for _, p := range w.c.PoliciesIn("www.example.test") {
		in = append(in, p.Name)
	}
	w.want("policies of the new zone", in, []string{"www.example.test"})
}

func TestGuardKeepsAPolicysLastEndpoints(t *testing.T) {
	w := newWorld(t)
	w.each(site()...)
	w.one("del Endpoint www-us/lb-1")
	w.wantHeld()
	w.one("del Endpoint www-eu/lb-1")
	w.wantHeld()
	w.one("del Endpoint www-eu/lb-2")
	w.wantHeld("Endpoint www-eu/lb-2: it would leave policy www.example.test without any endpoint")
	w.wantThere(zones.KindEndpoint, "www-eu/lb-2")
	w.one(`put Region ap {"latitude":1,"longitude":2}`)
	w.wantThere(zones.KindRegion, "ap", "eu", "us") // all else stays
	w.accept(w.c.Held()[0].Revision - 1)
	w.wantThere(zones.KindEndpoint, "www-eu/lb-2")
	w.accept(w.c.Held()[0].Revision)
	w.wantHeld()
	w.wantThere(zones.KindEndpoint)
	w.want("changed", []string{fmt.Sprint(w.last.Keys)}, []string{"[Endpoint www-eu/lb-2]"})
}

func TestGuardLetsGoWhenOthersTakeOver(t *testing.T) {
	w := newWorld(t)
	w.each(site()...)
	w.one("del Endpoint www-us/lb-1", "del Endpoint www-eu/lb-1", "del Endpoint www-eu/lb-2", "del Pool www-us")
	w.wantThere(zones.KindEndpoint, "www-eu/lb-1", "www-eu/lb-2", "www-us/lb-1")
	if n := len(w.c.Held()); n != 4 {
		t.Errorf("%d held, want 4: %v", n, w.c.Held())
	}
	w.one(`put Endpoint www-eu/lb-3 {"addresses":["192.0.2.1"]}`) // the address of an endpoint that is held
	w.wantHeld()
	w.wantThere(zones.KindEndpoint, "www-eu/lb-3")
	w.wantThere(zones.KindPool, "www-eu")
}

func TestGuardReputReleases(t *testing.T) {
	w := newWorld(t)
	w.each(site()...)
	w.one("del Zone example.test")
	w.wantHeld("Zone example.test: zone example.test has 2 records and 1 policies")
	w.one(`put Zone example.test {"nameservers":["ns2.example.net"]}`)
	w.wantHeld()
	if z := w.c.Get("zones/example.test").(*zones.Zone); z.Nameservers[0] != "ns2.example.net" {
		t.Errorf("the zone put again is not in service: %+v", z)
	}
}

func TestGuardKeepsAZoneThatLivesElsewhere(t *testing.T) {
	w := newWorld(t)
	w.each(site()...)
	w.one(`put Zone other.test {"transfer":{"primaries":["192.0.2.53"]}}`)
	w.one("del Zone other.test") // nothing is laid over it, and yet all names in it would be REFUSED
	w.wantHeld("Zone other.test: zone other.test has 0 records and 0 policies, and what its primary has")
	w.accept(w.c.Held()[0].Revision)
	w.wantHeld()
	w.wantThere(zones.KindZone, "example.test")
}

func TestGuardKeepsAZonesRecords(t *testing.T) {
	w := newWorld(t)
	w.each(site()...)
	w.one("del Record example.test/mail/A")
	w.wantHeld()
	w.now = w.now.Add(30 * time.Second)
	w.one("del Record example.test/@/MX")
	w.wantHeld("Record example.test/@/MX: it would leave zone example.test without any of its 2 records")
	w.one(`put Record example.test/@/MX {"data":["10 mail"]}`)
	w.wantHeld()
	w.now = w.now.Add(2 * time.Minute)
	w.one("del Record example.test/@/MX") // the only one for a long time
	w.wantHeld()
	w.wantThere(zones.KindRecord)
}

func TestGuardHoldsAWipe(t *testing.T) {
	w := newWorld(t)
	w.full(0, site()...)
	before := w.effective()
	w.full(0)
	w.want("in service", w.effective(), before)
	if n := len(w.c.Held()); n != len(before) {
		t.Errorf("%d held, want all %d", n, len(before))
	}
	if len(w.last.Keys) != 0 {
		t.Errorf("changed: %v", w.last.Keys)
	}
	held := w.c.Held()[0].Revision
	w.accept(held)
	w.want("in service", w.effective(), nil)
	w.wantHeld()
}

func TestGuardKeepsWhatTheHeldNames(t *testing.T) {
	w := newWorld(t)
	w.full(0, `put Zone example.test {"nameservers":["ns1.example.net"]}`, `put Region eu`, `put Pool www-eu {"region":"eu"}`,
		`put Endpoint www-eu/lb-1 {"addresses":["192.0.2.1"]}`, `put Policy www.example.test {"rules":[{"failover":["www-eu"]}]}`,
		`put Region us`, `put Region ap`)
	w.one("del Region eu", "del Endpoint www-eu/lb-1", "del Pool www-eu", "del Region us")
	w.wantHeld(
		"Endpoint www-eu/lb-1: it would leave policy www.example.test without any endpoint",
		"Pool www-eu: it would leave policy www.example.test without any endpoint",
		"Region eu: it would leave policy www.example.test without any endpoint",
	)
	w.wantThere(zones.KindRegion, "ap", "eu")
}

func TestGuardHoldsBulk(t *testing.T) {
	w := newWorld(t)
	w.each(site()...)
	var puts, dels []string
	for i := range 20 {
		puts = append(puts, fmt.Sprintf(`put Map m%02d {"prefixes":{"AS%d":["eu"]}}`, i, i+1))
		dels = append(dels, fmt.Sprintf(`del Map m%02d`, i))
	}
	w.one(puts...)
	w.each(dels[:10]...) // half of them may go
	w.wantHeld()
	w.one(dels[10])
	w.wantHeld("Map m10: it would leave 9 of 20 resources of kind Map")
	w.now = w.now.Add(2 * time.Minute)
	w.one(dels[11]) // 1 of 10: slowly, everything can go
	if w.c.Get(zones.KeyOf(zones.KindMap, "m11")) != nil {
		t.Error("m11 is still there")
	}
	w.one(puts...)
	w.wantHeld()
	b := zones.Batch{Revision: w.revision + 20, Accepted: w.revision + 20}
	for _, line := range dels {
		b.Changes = append(b.Changes, w.change(line))
	}
	w.c.Apply(b)
	w.wantHeld()
	w.wantThere(zones.KindMap)
}

// Removals by a signed update are on purpose. What others removed before stays held.
func TestGuardLetsThroughWhatWasMeant(t *testing.T) {
	w := newWorld(t)
	w.each(site()...)
	w.one(`put Zone other.test {"nameservers":["ns1.example.net"]}`,
		`put Record other.test/www/A {"data":["192.0.2.1"]}`, `put Record other.test/@/MX {"data":["10 www"]}`)
	w.one(`del Record other.test/www/A`, `del Record other.test/@/MX`)
	w.wantHeld("Record other.test/@/MX: it would leave zone other.test without any of its 2 records",
		"Record other.test/www/A: it would leave zone other.test without any of its 2 records")
	b := zones.Batch{Meant: true}
	w.c.EachRecord("example.test", func(r *zones.Record) bool {
		b.Changes = append(b.Changes, w.change("del Record "+r.Key().Name()))
		return true
	})
	if b.Revision = w.revision; len(b.Changes) < 2 {
		t.Fatalf("the zone has %d records", len(b.Changes))
	}
	w.c.Apply(b)
	if left := w.c.Held(); len(left) != 2 || left[0].Key != "records/other.test/@/MX" {
		t.Errorf("held: %v", left)
	}
	w.c.EachRecord("example.test", func(r *zones.Record) bool {
		t.Errorf("still there: %s", r.Key())
		return true
	})
}

func TestGuardIgnoresOverrides(t *testing.T) {
	w := newWorld(t)
	w.each(site()...)
	var puts, dels []string
	for i := range 12 {
		puts = append(puts, fmt.Sprintf(`put Endpoint www-us/x%d {"addresses":["203.0.113.%d"]}`, i, i),
			fmt.Sprintf(`put Override endpoint/www-us/x%d {"state":"drain"}`, i))
		dels = append(dels, fmt.Sprintf(`del Override endpoint/www-us/x%d`, i))
	}
	w.one(puts...)
	w.one(dels...)
	w.wantHeld()
	w.wantThere(zones.KindOverride)
}

// A removal that was accepted by name is carried out, and no other. A later version of the resource has to be accepted
// anew. A list after a while without the source, or after a start from the copy, leads to the same result.
func TestAcceptedByName(t *testing.T) {
	for _, how := range []string{"as it comes", "in a list"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t)
			w.full(0, site()...)
			all := len(w.effective())
			gone := []string{
				"del Record example.test/mail/A", "del Record example.test/@/MX", "del Zone example.test",
				"del Policy www.example.test",
			}
			rest := slices.DeleteFunc(site(), func(line string) bool {
				return strings.Contains(line, "example.test") && !strings.Contains(line, "Endpoint")
			})
			w.one(gone...)
			if len(w.effective()) != all || len(w.c.Held()) != len(gone) {
				t.Fatalf("held: %v", w.c.Held())
			}
			names := map[zones.Key]int64{"records/example.test/mail/A": w.revision + 1}
			if how == "as it comes" {
				w.revision++
				w.last = w.c.Apply(zones.Batch{Revision: w.revision, AcceptedKeys: names})
			} else {
				b := zones.Batch{Full: true, AcceptedKeys: names}
				for _, line := range rest {
					b.Changes = append(b.Changes, w.change(line))
				}
				w.revision += 2
				b.Revision = w.revision
				w.last = w.c.Apply(b)
			}
			if w.c.Get("records/example.test/mail/A") != nil || len(w.effective()) != all-1 ||
				len(w.c.Held()) != len(gone)-1 {
				t.Errorf("in service: %v; held: %v", w.effective(), w.c.Held())
			}
			w.each(`put Record example.test/mail/A {"data":["192.0.2.26"]}`, `put Record example.test/@/MX {"data":["10 mail"]}`)
			w.one("del Record example.test/@/MX", "del Record example.test/mail/A")
			if w.c.Get("records/example.test/mail/A") == nil {
				t.Error("a later version went without a word")
			}
		})
	}
}

func TestHistoryThatWentBackIsNotAccepted(t *testing.T) {
	w := newWorld(t)
	w.revision = 1000
	w.full(900, site()...)
	w.accept(1010) // a deletion long ago
	before := w.effective()
	w.revision = 50 // restored from a backup
	w.full(0)
	w.want("in service", w.effective(), before)
	w.accept(w.revision + 1)
	w.want("in service", w.effective(), nil)
}

func TestVersionWithoutAnAnswerWaits(t *testing.T) {
	w := newWorld(t)
	w.each(site()...)
	w.each(`put Pool empty {"region":"eu"}`, `put Policy www.example.test {"rules":[{"failover":["empty"]}]}`)
	if p := w.c.Get("policies/www.example.test").(*zones.Policy); len(p.Rules[0].Nearest) != 2 {
		t.Errorf("in service: %+v", p)
	}
	if got := w.c.Problems().Coded(zones.CodeNoAnswer); len(got) != 1 || got[0].Key != "policies/www.example.test" {
		t.Errorf("problems: %v", got)
	}
	w.accept(w.revision) // apply --force
	if p := w.c.Get("policies/www.example.test").(*zones.Policy); len(p.Rules[0].Failover) != 1 {
		t.Errorf("the accepted version is not in service: %+v", p)
	}
}

func TestSerialFollowsTheZonesOwnChanges(t *testing.T) {
	w := newWorld(t)
	w.each(site()...)
	w.one(`put Zone other.test {"nameservers":["ns1.example.net"]}`)
	if got := w.c.ZoneSerial("example.test"); got != 12 {
		t.Errorf("serial %d after another zone's change, want 12", got)
	}
	w.one(`del Record example.test/mail/A`)
	if got := w.c.ZoneSerial("example.test"); int64(got) != w.revision {
		t.Errorf("serial %d after a removal at %d", got, w.revision)
	}
	w.one(`put Record example.test/@/MX {"data":["10 mail"]}`) // the same again: a listing sees only that revision
	if got := w.c.ZoneSerial("example.test"); int64(got) != w.revision {
		t.Errorf("serial %d after a version at %d", got, w.revision)
	}
}

// A TTL shorter than the time to detect a failure is accepted at once, even if there is an earlier version. There is
// only a warning.
func TestTTLShorterThanDetectionIsTaken(t *testing.T) {
	w := newWorld(t)
	w.one(`put Zone example.test {"nameservers":["ns.example.net"]}`, `put Region eu`, `put Monitor web {"tcp":{"port":80},"interval":"30s"}`,
		`put Pool www {"region":"eu","monitor":"web"}`, `put Endpoint www/a {"addresses":["192.0.2.1"]}`,
		`put Policy www.example.test {"ttl":"300s","rules":[{"failover":["www"]}]}`)
	w.one(`put Policy www.example.test {"ttl":"60s","rules":[{"failover":["www"]}]}`)
	if p := w.c.Get("policies/www.example.test").(*zones.Policy); p.TTL.Std() != time.Minute {
		t.Errorf("%v is in service", p.TTL.Std())
	}
	if said := w.c.Problems().Coded(zones.CodeDetection); len(said) != 1 || !said[0].Warning {
		t.Errorf("said %v", said)
	}
}
