package catalog

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/document"
	"leeward/zones/sourcetest"
)

// inVain has documents for each field that can be given in vain, and a part of what is said about it. There is a
// problem at that field. For an endpoint's part of a check, the problem may be elsewhere and names the field.
var inVain = map[string]struct{ docs, says string }{
	"Zone.nameservers": {
		"transfer: {primaries: [192.0.2.1]}\nnameservers: [a.test]",
		"take nameservers out",
	},
	"Zone.hostmaster":  {"transfer: {primaries: [192.0.2.1]}\nhostmaster: a@b.test", "take hostmaster out"},
	"Zone.soaTTL":      {"transfer: {primaries: [192.0.2.1]}\nsoaTTL: 1h", "take soaTTL out"},
	"Zone.negativeTTL": {"transfer: {primaries: [192.0.2.1]}\nnegativeTTL: 1h", "take negativeTTL out"},
	"Zone.primary":     {"transfer: {primaries: [192.0.2.1]}\nprimary: a.test", "take primary out"},
	"Zone.refresh":     {"transfer: {primaries: [192.0.2.1]}\nrefresh: 1h", "take refresh out"},
	"Zone.retry":       {"transfer: {primaries: [192.0.2.1]}\nretry: 1h", "take retry out"},
	"Zone.expire":      {"transfer: {primaries: [192.0.2.1]}\nexpire: 1h", "take expire out"},
	"Zone.update.key": {"transfer: {primaries: [192.0.2.1]}\nupdate: [{key: k, names: ['**'], types: " +
		"[TXT]}]", "take update out"},
	"Zone.update.names": {"transfer: {primaries: [192.0.2.1]}\nupdate: [{key: k, names: ['**'], types: " +
		"[TXT]}]", "take update out"},
	"Zone.update.types": {"transfer: {primaries: [192.0.2.1]}\nupdate: [{key: k, names: ['**'], types: " +
		"[TXT]}]", "take update out"},
	"Zone.dnssec.enabled": {
		"transfer: {primaries: [192.0.2.1], catalog: true}\ndnssec: {enabled: true}",
		"not signed; take dnssec out",
	},
	"Zone.dnssec.nsec3":     {"nameservers: [ns.example.net]\ndnssec: {nsec3: true}", "does nothing"},
	"Zone.dnssec.algorithm": {"nameservers: [ns.example.net]\ndnssec: {algorithm: 15}", "does nothing"},
	"Zone.dnssec.keep":      {"nameservers: [ns.example.net]\ndnssec: {keep: true}", "does nothing"},
	"Zone.dnssec.foreign":   {"nameservers: [ns.test]\ndnssec: {foreign: [256 3 15 AQID]}", "does nothing"},
	"Zone.dnssec.withdraw":  {"nameservers: [ns.example.net]\ndnssec: {withdraw: true}", "does nothing"},
	"Zone.dnssec.roll.zsk":  {"nameservers: [ns.example.net]\ndnssec: {roll: {zsk: 30d}}", "does nothing"},
	"Zone.dnssec.roll.ksk":  {"nameservers: [ns.example.net]\ndnssec: {roll: {ksk: 365d}}", "does nothing"},
	"Zone.dnssec.parent":    {"nameservers: [ns.example.net]\ndnssec: {parent: [192.0.2.1]}", "does nothing"},
	"Zone.dnssec.noNotify":  {"nameservers: [ns.example.net]\ndnssec: {noNotify: true}", "does nothing"},
	"Zone.debug": {
		"transfer: {primaries: [192.0.2.1], catalog: true}\ndebug: [192.0.2.1]",
		"nobody could ask",
	},
	"Zone.transfer.notifySource":   {"transfer: {notifySource: [192.0.2.1]}", "without transfer.notify"},
	"Zone.transfer.transferSource": {"transfer: {transferSource: [192.0.2.1]}", "no transfer.primaries"},
	"Zone.transfer.allowNotify":    {"transfer: {allowNotify: [192.0.2.1]}", "no transfer.primaries"},
	"Zone.transfer.retransfer":     {"transfer: {retransfer: now}", "no transfer.primaries"},
	"Zone.transfer.catalog":        {"transfer: {catalog: true}", "no transfer.primaries"},
	"Zone.transfer.members": {
		"nameservers: [ns.example.net]\ntransfer: {members: ['*']}",
		"nobody may transfer the catalog",
	},
	"Zone.transfer.member": {"transfer: {member: c x}", "no transfer.primaries"},
	"Pool.minHealthy": {"region: eu\nminHealthy: 9\n---\n{kind: Endpoint, name: a/1, addresses: " +
		"[192.0.2.3]}", "can never be met"},
	"Endpoint.flatten":   {"addresses: [192.0.2.9]\nflatten: true", "there is none"},
	"Endpoint.hostname":  {"addresses: [192.0.2.9]\nhostname: a.test", "one of the two"},
	"Endpoint.addresses": {"addresses: [192.0.2.9]\nhostname: a.test", "one of the two"},
	"Endpoint.host":      {"addresses: [192.0.2.9]\nhost: a.test", "host of its endpoints (e) has no effect"},
	"Endpoint.headers": {
		"addresses: [192.0.2.9]\nheaders: {A: b}",
		"headers of its endpoints (e) has no effect",
	},
	"Monitor.interval":        {"external: {}\ninterval: 2s", "nobody probes"},
	"Monitor.timeout":         {"external: {}\ntimeout: 1s", "nobody probes"},
	"Monitor.fall":            {"external: {}\nfall: 2", "nobody probes"},
	"Monitor.rise":            {"external: {}\nrise: 2", "nobody probes"},
	"Monitor.hold":            {"external: {}\nhold: 2s", "nobody probes"},
	"Monitor.vantages":        {"external: {}\nvantages: 2", "nobody probes"},
	"Monitor.http.serverName": {"http: {serverName: a.test}", "only an https check"},
	"Monitor.http.insecure":   {"http: {insecure: true}", "only an https check"},
	"Monitor.http.body":       {"http: {method: HEAD, body: x}", "has no body"},
	"Monitor.https.body":      {"https: {method: HEAD, body: x}", "has no body"},
	"Monitor.grpc.insecure":   {"grpc: {port: 80, insecure: true}", "tls: true"},
	"Policy.answers":          {"pick: all\nanswers: 2\nrules: [{failover: [p]}]", "answers has no effect"},
	"Policy.flatten":          {"flatten: true\nrules: [{failover: [p]}]", "it has no effect"},
	"Policy.map":              {"map: far\nrules: [{failover: [p]}]", "none of the regions"},
	"Policy.spill":            {"spill: true\nrules: [{failover: [p]}]", "has no capacity"},
	"Policy.pick":             {"pick: least-load\nrules: [{failover: [p]}]", "has no capacity"},
	"Monitor.load":            {"tcp: {port: 80}\nload: cpu_utilization", "tells no load"},
	"Policy.schedule.weights": {"schedule: [{from: 2026-01-01T00:00:00Z, weights: {q: 5%}}]\nrules: [{failover: " +
		"[p]}]", "not among"},
	"Policy.rules.when.continents": {"rules: [{when: {continents: [EU]}, failover: [p]}, {when: {continents: [EU]}, " +
		"failover: [q]}, {failover: [p]}]", "never reached"},
	"Policy.rules.when.countries": {"rules: [{when: {countries: [DE, FR]}, failover: [p]}, {when: {countries: " +
		"[FR]}, failover: [q]}, {failover: [p]}]", "never reached"},
	"Policy.rules.when.subdivisions": {
		"rules: [{when: {countries: [US]}, failover: [p]}, {when: {subdivisions: [US-CA]}, failover: [q]}, " +
			"{failover: [p]}]", "never reached",
	},
	"Policy.rules.when.asns": {"rules: [{when: {asns: [1]}, failover: [p]}, {when: {asns: [1]}, failover: [q]}, " +
		"{failover: [p]}]", "never reached"},
	"Policy.rules.when.prefixes": {
		"rules: [{when: {prefixes: [192.0.2.0/24]}, failover: [p]}, {when: {prefixes: [192.0.2.128/25]}, failover: " +
			"[q]}, {failover: [p]}]", "never reached",
	},
	"Policy.rules.failover": {"rules: [{failover: [p], nearest: [q]}]", "one of the two"},
	"Policy.rules.nearest":  {"rules: [{failover: [p], nearest: [q]}]", "one of the two"},
	"Policy.rules.bias":     {"rules: [{failover: [p], bias: {p: 5%}}]", "failover has none"},
	"Policy.rules.answer":   {"rules: [{failover: [p], answer: nodata}]", "would never answer"},
	"Policy.schedule.until": {
		"rules: [{failover: [p]}]\nschedule: [{from: 2020-01-01T00:00:00Z, until: 2020-02-01T00:00:00Z, weights: {p: " +
			"50%}}]", "has no effect",
	},
	"Override.until": {"state: drain\nuntil: 2020-01-01T00:00:00Z", "no effect"},
}

// always are the fields that have a meaning wherever they can be given.
var always = strings.Fields(`
Zone.ttl Zone.order Zone.serialOffset Zone.transfer.allow Zone.transfer.notify Zone.transfer.primaries
Record.ttl Record.data
Region.latitude Region.longitude
Pool.region Pool.monitor Pool.ramp Pool.capacity.target Pool.capacity.max
Endpoint.weight Endpoint.capacity.target Endpoint.capacity.max
Monitor.quorum
Monitor.http.port Monitor.http.path Monitor.http.host Monitor.http.headers Monitor.http.method Monitor.http.status Monitor.http.redirects Monitor.http.protocol
Monitor.https.port Monitor.https.path Monitor.https.host Monitor.https.headers Monitor.https.method Monitor.https.status Monitor.https.redirects Monitor.https.protocol
Monitor.https.serverName Monitor.https.insecure
Monitor.tcp.port Monitor.tls.port Monitor.tls.serverName Monitor.tls.minValidity Monitor.tls.insecure
Monitor.grpc.port Monitor.grpc.service Monitor.grpc.tls Monitor.grpc.serverName
Monitor.dns.port Monitor.dns.name Monitor.dns.type Monitor.external
Policy.ttl Policy.whenAllDown Policy.schedule.from Policy.schedule.ramp
Map.prefixes
Override.state Override.reason Override.from Override.ramp Override.drill
`)

// around is the context of inVain's documents.
const around = `{kind: Region, name: eu}
---
{kind: Region, name: us}
---
{kind: Map, name: far, prefixes: {192.0.2.0/24: [us]}}
---
{kind: Monitor, name: t, tcp: {port: 80}}
---
{kind: Pool, name: p, region: eu, monitor: t}
---
{kind: Pool, name: q, region: eu, monitor: t}
---
{kind: Endpoint, name: p/1, addresses: [192.0.2.1]}
---
{kind: Endpoint, name: q/1, addresses: [192.0.2.2]}
---
{kind: Zone, name: example.test, nameservers: [ns.example.net]}
---
`

// Each field of each resource has a meaning wherever it can be given, or a problem says that it has none. Whoever adds
// a field decides here which of both holds.
func TestNothingIsGivenInVain(t *testing.T) {
	kinds := map[zones.Kind]any{
		zones.KindZone: zones.Zone{}, zones.KindRecord: zones.Record{}, zones.KindRegion: zones.Region{},
		zones.KindPool: zones.Pool{}, zones.KindEndpoint: zones.Endpoint{}, zones.KindMonitor: zones.Monitor{},
		zones.KindPolicy: zones.Policy{}, zones.KindMap: zones.Map{}, zones.KindOverride: zones.Override{},
	}
	names := map[zones.Kind]string{
		zones.KindZone: "a.test", zones.KindPool: "a", zones.KindEndpoint: "p/e", zones.KindMonitor: "a",
		zones.KindPolicy: "www.example.test", zones.KindOverride: "pool/p",
	}
	fields := map[string]bool{}
	for _, kind := range zones.Kinds {
		if kind != zones.KindDefaults { // its fields are those of the others
			leaves(string(kind), reflect.TypeOf(kinds[kind]), fields)
		}
	}
	for field := range fields {
		example, idle := inVain[field]
		if !idle && !slices.Contains(always, field) {
			t.Errorf("%s: is there a way to give it in vain? Add it to inVain or to always", field)
		}
		if !idle {
			continue
		}
		kind, path, _ := strings.Cut(field, ".")
		text := around + "kind: " + kind + "\nname: " + names[zones.Kind(kind)] + "\n" + example.docs + "\n"
		docs, problems := document.Read("a.yaml", strings.NewReader(text))
		problems = append(problems, CheckAt(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), docs, problems...)...)
		first, _, _ := strings.Cut(path, ".")
		if !slices.ContainsFunc(problems, func(p zones.Problem) bool {
			near := strings.HasPrefix(p.Field, first) || strings.Contains(p.Message, first)
			return near && strings.Contains(p.Message, example.says)
		}) {
			t.Errorf("%s has no effect in\n%s\nand nothing says so:\n%v", field, example.docs, problems)
		}
	}
	for field := range inVain {
		if !fields[field] {
			t.Errorf("%s: no resource has it", field)
		}
	}
	for _, field := range always {
		if _, both := inVain[field]; both || !fields[field] {
			t.Errorf("%s: no resource has it, or it is in both", field)
		}
	}
}

// leaves adds the paths of all fields of documents.
func leaves(at string, t reflect.Type, to map[string]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	whole := t.Kind() != reflect.Struct || t.NumField() == 0 ||
		slices.Contains([]string{"Step", "TTL", "Share", "Time", "Addr", "Prefix"}, t.Name())
	if whole {
		to[at] = true
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			leaves(at, f.Type, to)
		case name != "-" && name != "" && f.IsExported():
			leaves(at+"."+name, f.Type, to)
		}
	}
}

// A rule gets a warning only if the rules before it leave it no client.
func TestRulesThatAreReached(t *testing.T) {
	for _, rules := range []string{
		"{when: {countries: [DE]}, failover: [p]}, {when: {countries: [DE, FR]}, failover: [q]}",
		"{when: {prefixes: [192.0.2.128/25]}, failover: [p]}, {when: {prefixes: [192.0.2.0/24]}, failover: [q]}",
		"{when: {countries: [DE]}, failover: [p]}, {when: {countries: [DE], asns: [1]}, failover: [q]}",
		"{when: {countries: [DE]}, failover: [p]}, {when: {continents: [EU]}, failover: [q]}",
	} {
		docs, problems := document.Read("a.yaml",
			strings.NewReader(around+"kind: Policy\nname: www.example.test\nrules: ["+rules+", {failover: [p]}]\n"))
		if problems = append(problems, Check(docs, problems...)...); len(problems) > 0 {
			t.Errorf("%s: %v", rules, problems)
		}
	}
}

// A time that hardly anybody means gets a warning, the longest plausible one does not, and one that DNS cannot express
// is an error.
func TestSpansAreDoubted(t *testing.T) {
	for _, c := range []struct{ doc, field, fine, doubted, refused string }{
		{"kind: Zone\nname: a.test\nnameservers: [ns.example.net]", "ttl", "168h", "100000h", "600000h"},
		{"kind: Zone\nname: a.test\nnameservers: [ns.example.net]", "soaTTL", "168h", "169h", "600000h"},
		{"kind: Zone\nname: a.test\nnameservers: [ns.example.net]", "negativeTTL", "24h", "25h", "600000h"},
		{"kind: Zone\nname: a.test\nnameservers: [ns.example.net]", "refresh", "24h", "25h", "600000h"},
		{"kind: Zone\nname: a.test\nnameservers: [ns.example.net]", "retry", "24h", "25h", "600000h"},
		{"kind: Zone\nname: a.test\nnameservers: [ns.example.net]", "expire", "2160h", "2161h", "600000h"},
		{"kind: Zone\nname: a.test\nnameservers: [ns.example.net]", "expire", "75m", "74m", "600000h"},
		{"kind: Record\nname: example.test/www/A\ndata: [192.0.2.1]", "ttl", "168h", "100000h", "600000h"},
		{"kind: Policy\nname: www.example.test\nrules: [{failover: [p]}]", "ttl", "1h", "100000h", "600000h"},
		{"kind: Monitor\nname: a\ntcp: {port: 80}", "interval", "1h", "", "100000h"},
		{"kind: Monitor\nname: a\ntcp: {port: 80}\ninterval: 1h", "timeout", "1h", "", "100000h"},
		{"kind: Monitor\nname: a\ntcp: {port: 80}", "hold", "24h", "", "100000h"},
		{"kind: Monitor\nname: a\ntls: {port: 443, minValidity: SPAN}", "tls.minValidity", "720h", "100000h", ""},
	} {
		for i, text := range []string{c.fine, c.doubted, c.refused} {
			if text == "" {
				continue
			}
			doc := strings.Replace(c.doc, "SPAN", text, 1)
			if doc == c.doc {
				doc += "\n" + c.field + ": " + text
			}
			docs, problems := document.Read("a.yaml", strings.NewReader(around+doc+"\n"))
			problems = append(problems, Check(docs, problems...)...)
			at := slices.IndexFunc(problems, func(p zones.Problem) bool { return p.Field == c.field })
			if i == 0 && at >= 0 || i > 0 && (at < 0 || problems[at].Warning != (i == 1)) {
				t.Errorf("%s:\n%v", doc, problems)
			}
		}
	}
}

// An override that has ended becomes a problem by itself, on each server at the same time.
func TestOverrideThatHasEnded(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := New(func() time.Time { return now })
	docs, _ := document.Read("a.yaml", strings.NewReader(around+
		"{kind: Override, name: pool/p, state: drain, until: 2026-01-01T01:00:00Z}\n---\n{kind: Override, name: "+
		"pool/q, state: drain, until: 2026-01-01T02:00:00Z}\n"))
	c.Apply(zones.Batch{Revision: 1, Full: true, Changes: sourcetest.Puts(zones.Resources(docs))})
	for _, want := range []int{0, 1, 2} {
		if got := c.Problems(); len(got) != want {
			t.Errorf("at %s: %v", now, got)
		}
		now = now.Add(time.Hour)
	}
}
