package sourcetest

import (
	"net/netip"
	"slices"
	"time"

	"pgregory.net/rapid"

	"leeward/health"
	"leeward/zones"
)

func Puts(rs []zones.Resource) []zones.Change {
	changes := make([]zones.Change, len(rs))
	for i, r := range rs {
		changes[i] = zones.Change{Key: r.Key(), Resource: r, Revision: int64(i) + 1}
	}
	return changes
}

// Resource draws any valid resource of a small world, so that resources meet.
func Resource(t *rapid.T) zones.Resource {
	regions, pools := []string{"eu", "us"}, []string{"a", "b", "c"}
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	some := func(label string, from []string) []string {
		return slices.Clone(rapid.Permutation(from).Draw(t, label)[:rapid.IntRange(1, len(from)).Draw(t, label+"#")])
	}
	spell := func(label string) zones.Duration {
		return zones.Duration(time.Duration(rapid.IntRange(0, 100).Draw(t, label)) * time.Second)
	}
	ttl := func(label string) zones.TTL {
		return rapid.SampledFrom([]zones.TTL{{}, zones.Seconds(0), zones.Seconds(1), zones.Seconds(300)}).Draw(t, label)
	}
	switch rapid.SampledFrom(zones.Kinds[:]).Draw(t, "kind") {
	case zones.KindZone:
		z := &zones.Zone{
			Origin:      pick("origin", "example.test", "sub.example.test", "a.sub.example.test", "cat.test"),
			Nameservers: some("ns", []string{"ns1.example.test", "ns.example.net"}), TTL: ttl("ttl"),
			SOATTL: ttl("soa"), Expire: ttl("expire"),
		}
		if z.Origin == "cat.test" || rapid.IntRange(0, 9).Draw(t, "lists") == 0 {
			members := pick("members", "*", "example.test", "* group a")
			if members == z.Origin {
				members = "*"
			}
			z.Transfer = &zones.Transfer{Members: []string{members}}
		} else if rapid.IntRange(0, 2).Draw(t, "signed") == 0 {
			z.DNSSEC = &zones.DNSSEC{Enabled: true}
		}
		return z
	case zones.KindRecord:
		kind := pick("type", "A", "CNAME", "TXT", "NS")
		data := map[string][]string{
			"A": {"192.0.2.1"}, "CNAME": {"x"}, "TXT": {`"a; b"`, `"<c>"`}, "NS": {"ns.example.net."},
		}[kind]
		return &zones.Record{
			Origin: pick("origin", "example.test", "sub.example.test"),
			Owner:  pick("owner", "www", "api", "sub", "a.sub"), Type: kind, TTL: ttl("ttl"), Data: data,
		}
	case zones.KindRegion:
		r := &zones.Region{Region: pick("region", regions...)}
		if rapid.Bool().Draw(t, "placed") {
			lat, lon := rapid.Float64Range(-90, 90).Draw(t, "lat"), rapid.Float64Range(-180, 180).Draw(t, "lon")
			r.Latitude, r.Longitude = &lat, &lon
		}
		return r
	case zones.KindPool:
		p := &zones.Pool{
			Pool: pick("pool", pools...), Region: pick("region", regions...), Monitor: pick("monitor", "", "web"),
			MinHealthy: rapid.SampledFrom([]zones.Share{{}, {Percent: 50}, {Count: 2}}).Draw(t, "min"),
		}
		if rapid.Bool().Draw(t, "without") {
			zones.NoteGiven(p, "monitor")
		}
		return p
	case zones.KindEndpoint:
		weight := rapid.IntRange(0, 3).Draw(t, "weight")
		return &zones.Endpoint{
			Pool: pick("pool", pools...), Endpoint: pick("endpoint", "1", "2"), Weight: &weight,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(rapid.IntRange(1, 3).Draw(t, "address"))})},
		}
	case zones.KindMonitor:
		return &zones.Monitor{Name: "web", Monitor: health.Monitor{
			TCP: &health.TCP{Port: 80}, Fall: rapid.IntRange(0, 50).Draw(t, "fall"),
			Quorum:   health.Quorum(rapid.IntRange(-2, 3).Draw(t, "quorum")),
			Interval: rapid.SampledFrom([]zones.Duration{0, zones.Duration(time.Second)}).Draw(t, "interval"),
		}}
	case zones.KindDefaults:
		return Defaults(t)
	case zones.KindPolicy:
		p := &zones.Policy{
			Name: pick("name", "www.example.test", "sub.example.test", "a.sub.example.test"),
			TTL:  spell("ttl"), Map: pick("map", "", "m"),
		}
		if rapid.Bool().Draw(t, "conditional") {
			p.Rules = append(p.Rules, zones.Rule{When: &zones.When{Countries: []string{"DE"}}, Failover: []zones.Step{
				{Pools: []zones.WeightedPool{{Pool: "a", Weight: 5}, {Pool: "b", Weight: 0}}},
				{Pools: []zones.WeightedPool{{Pool: "c", Weight: 1}}},
			}})
		}
		p.Rules = append(p.Rules, zones.Rule{Nearest: some("nearest", pools), Bias: nil})
		if rapid.Bool().Draw(t, "planned") {
			from := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
			p.Schedule = []zones.Schedule{{
				From: from, Until: from.Add(time.Hour),
				Weights: map[string]zones.Percent{p.PoolNames()[0]: 50},
			}}
		}
		return p
	case zones.KindMap:
		return &zones.Map{Map: "m", Prefixes: map[string][]string{
			"AS64500":      some("regions", regions),
			"192.0.2.0/24": {"eu"},
		}}
	default:
		o := &zones.Override{
			Target: pick("target", "region/eu", "pool/a", "endpoint/a/1"), State: zones.Drain,
			Reason: pick("reason", "", "<b>&"),
		}
		if rapid.Bool().Draw(t, "expires") {
			until := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
			o.Until = &until
			if rapid.Bool().Draw(t, "drill") {
				from := until.Add(-time.Hour)
				o.From, o.Drill = &from, true
				if o.Target != "endpoint/a/1" {
					o.Ramp = zones.Duration(time.Minute)
				}
			}
		}
		return o
	}
}

// Defaults draws a Defaults; some Monitors cannot have the timeout of theirs.
func Defaults(t *rapid.T) *zones.Defaults {
	spell := zones.Duration(time.Duration(rapid.IntRange(1, 2).Draw(t, "time")) * time.Second)
	kind := rapid.SampledFrom(zones.KindsWithDefaults()).Draw(t, "for")
	d := &zones.Defaults{For: kind}
	switch kind {
	case zones.KindPool:
		d.Values = &zones.Pool{Monitor: "web", Ramp: spell}
	case zones.KindMonitor:
		d.Values = &zones.Monitor{Monitor: health.Monitor{Timeout: spell, Rise: 3}}
	case zones.KindPolicy:
		d.Values = &zones.Policy{
			TTL: spell, Map: rapid.SampledFrom([]string{"", "m"}).Draw(t, "map"), Pick: zones.PickSticky,
		}
	}
	return d
}
