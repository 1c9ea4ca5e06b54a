package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// signedKey is one key for all tests of this package.
func signedKey(t testing.TB) *dnssec.Key {
	t.Helper()
	k, err := dnssec.Generate("\x07example\x04test\x00", dnssec.FlagsCSK, dnssec.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// chainOf lists the keys of a chain.
func chainOf(c *dnssec.Chain) (keys []string) {
	c.Each(func(k []byte) { keys = append(keys, string(k)) })
	return keys
}

// unsignedSets returns the sets of a zone that should be signed and are not. It does not use the code that signs.
func unsignedSets(s *Snapshot, z *zone) (missing []string) {
	g := z.signing
	now := g.signer.Now()
	look := func(owner rr.Name, typ rr.Type, ttl uint32, data [][]byte) {
		if g.seals([]byte(owner), typ) != nil {
			return // the primary's
		}
		id := g.signer.Begin([]byte(owner), typ, ttl)
		for _, d := range data {
			g.signer.Add(&id, d)
		}
		if !now.Has(id, typ) {
			missing = append(missing, fmt.Sprintf("%s %s", owner, typ))
		}
	}
	z.tree.each(func(n node) {
		name := rr.Name(n.name())
		for above := name; above != z.origin; above = above.Parent() {
			at := z.tree.find([]byte(above))
			if above != name && at != nil && (at.cut() || at.turn()) {
				return
			}
		}
		if apex := z.tree.find([]byte(z.origin)); name != z.origin && apex.turn() {
			return
		}
		n.each(func(typ rr.Type, count int, wire []byte) {
			if count == 0 || n.cut() && typ != rr.TypeDS && !name.IsWildcard() {
				return // but a wildcard answers with everything that it has
			}
			var data [][]byte
			ttl := binary.BigEndian.Uint32(wire[6:])
			for rest := wire; len(rest) > 0; {
				size := recordHead + int(binary.BigEndian.Uint16(rest[recordHead-2:]))
				data, rest = append(data, rest[recordHead:size]), rest[size:]
			}
			look(name, typ, ttl, data)
		})
		if number := n.policy(); number >= 0 && !n.cut() {
			s.policies[number].Singles(s.program, func(typ rr.Type, data []byte) {
				look(name, typ, s.policies[number].TTL, [][]byte{data})
			})
		}
	})
	g.chain.Each(func(key []byte) {
		var l link
		at, next, _ := g.chain.Find(key)
		l.fill(z, s, at, next, nil)
		look(rr.Name(l.owner), g.proof(), g.ttl, [][]byte{l.data})
	})
	return missing
}

// TestSignedChangeByChange: however a signed zone came about, its chain has all its names, and all of it is signed.
func TestSignedChangeByChange(t *testing.T) {
	k := signedKey(t)
	rapid.Check(t, func(t *rapid.T) {
		c, b := catalog.New(time.Now), NewBuilder(time.Now)
		b.Keyed("example.test", dnssec.Alone(k), nil)
		revision := int64(1)
		nsec3 := rapid.Bool().Draw(t, "nsec3")
		z := &zones.Zone{
			Origin: "example.test", Nameservers: []string{"ns.example.net"},
			DNSSEC: &zones.DNSSEC{Enabled: true, NSEC3: nsec3},
		}
		region := &zones.Region{Region: "eu"}
		pool := &zones.Pool{Pool: "p", Region: "eu"}
		batch := zones.Batch{Revision: 1, Full: true}
		put := func(r zones.Resource) {
			batch.Changes = append(batch.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: revision})
		}
		put(z)
		put(region)
		put(pool)
		put(&zones.Endpoint{Pool: "p", Endpoint: "away", Hostname: "away.test"})
		owner := rapid.SampledFrom([]string{"a", "b.a", "c.b.a", "*.a", "x.*.a", "d", "e.d", "*", "f", "g.f", "@"})
		for range rapid.IntRange(1, 12).Draw(t, "turns") {
			for range rapid.IntRange(0, 4).Draw(t, "changes") {
				name := owner.Draw(t, "owner")
				what := []string{"put", "put", "put", "drop", "policy", "endpoint", "hostname"}
				switch rapid.SampledFrom(what).Draw(t, "what") {
				case "put":
					typ := rapid.SampledFrom([]string{"A", "TXT", "NS", "DS", "DNAME", "TYPE65280"}).Draw(t, "type")
					if name == "@" && (typ == "NS" || typ == "DS") {
						continue
					}
					n := rapid.IntRange(0, 3).Draw(t, "data")
					data := map[string]string{
						"A": fmt.Sprintf("192.0.2.%d", n), "TXT": fmt.Sprintf(`"%d"`, n),
						"NS": fmt.Sprintf("ns%d.test.", n),
						"DS": "1 13 2 " + strings.Repeat("ab", 32), "DNAME": fmt.Sprintf("to%d.test.", n),
						"TYPE65280": fmt.Sprintf(`\# 1 0%d`, n),
					}[typ]
					put(&zones.Record{Origin: "example.test", Owner: name, Type: typ, Data: []string{data}})
				case "drop":
					typ := rapid.SampledFrom([]string{"A", "TXT", "NS", "DNAME", "DS"}).Draw(t, "type")
					key := zones.KeyOf(zones.KindRecord, "example.test/"+name+"/"+typ)
					batch.Changes = append(batch.Changes, zones.Change{Key: key, Revision: revision})
				case "policy":
					full := strings.TrimPrefix(name+".example.test", "@.")
					if rapid.Bool().Draw(t, "is there") {
						rules := []zones.Rule{{Failover: []zones.Step{{
							Pools: []zones.WeightedPool{{Pool: "p", Weight: 1}},
						}}}}
						if rapid.IntRange(0, 2).Draw(t, "nothing for most") == 0 { // nor to be handed on
							some := netip.MustParsePrefix("203.0.113.0/24")
							rules[0].When = &zones.When{Prefixes: []netip.Prefix{some}}
							rules = append(rules, zones.Rule{Answer: zones.AnswerNoData})
						}
						put(&zones.Policy{Name: full, Rules: rules})
					} else {
						batch.Changes = append(batch.Changes,
							zones.Change{Key: zones.KeyOf(zones.KindPolicy, full), Revision: revision})
					}
				case "endpoint":
					addresses := []string{"192.0.2.1", "192.0.2.2", "2001:db8::1"}
					put(endpointOf(rapid.SampledFrom(addresses).Draw(t, "address")))
				case "hostname": // it resolves to something else, and no serial moves
					address := netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(t, "address")})
					known := [2]bool{true, true}
					b.Resolved("away.test", steer.Resolution{Addresses: []netip.Addr{address}, Known: known})
				}
			}
			before := b.last
			in, stats := slices.Clone(before.zones), before.stats
			s, _ := b.Update(c, c.Apply(batch), nil)
			if !slices.Equal(in, before.zones) || stats != before.stats {
				t.Fatal("the snapshot before has changed since it was published")
			}
			revision++
			batch = zones.Batch{Revision: revision, AcceptedKeys: nil, Accepted: revision - 1}
			at := s.zones[s.origins["\x07example\x04test\x00"]]
			if at.signing == nil {
				t.Fatal("it is not signed")
			}
			if got, want := chainOf(at.signing.chain), chainOf(at.linkAll()); !slices.Equal(got, want) {
				t.Fatalf("the chain is\n%q\nand of all names\n%q", got, want)
			}
			if missing := unsignedSets(s, at); len(missing) > 0 {
				t.Fatalf("not signed: %q", missing)
			}
			h, err := handedOf(s.Zone(at.origin))
			if err != nil {
				t.Fatal(err)
			}
			if faults := h.faults(at.origin, nsec3, k.DNSKEY()); len(faults) > 0 {
				t.Fatalf("as it is transferred: %q", faults)
			}
		}
	})
}

func endpointOf(address string) *zones.Endpoint {
	return &zones.Endpoint{Pool: "p", Endpoint: "e", Addresses: []netip.Addr{netip.MustParseAddr(address)}}
}

// TestKeyThatIsNotThere: what a zone is like without its key.
func TestKeyThatIsNotThere(t *testing.T) {
	name := []byte("\x07example\x04test\x00")
	now := func() time.Time { return time.Unix(1_800_000_000, 0) }
	z := &zones.Zone{
		Origin: "example.test", Nameservers: []string{"ns.example.net"}, DNSSEC: &zones.DNSSEC{Enabled: true},
	}
	plain := &zones.Zone{Origin: "example.test", Nameservers: []string{"ns.example.net"}}
	broken := fs.ErrPermission
	none := fmt.Errorf("here: %w", dnssec.ErrNoKey)
	because := func(err error) func(*Builder) {
		return func(b *Builder) { b.Keyed("example.test", nil, err) }
	}
	for _, x := range []struct {
		what    string
		before  *zones.Zone
		keyed   func(b *Builder)
		outcome Outcome
		signed  bool
		says    string
	}{
		{"nobody has looked", nil, func(*Builder) {}, Positive, false, ""},
		{"there is none", nil, because(none), Positive, false, "unsigned: here"},
		{"unreadable", nil, because(broken), Unusable, false, "is not served"},
		{
			"unreadable, and unsigned until now", plain, because(broken), Positive,
			false, "unsigned: permission",
		},
		{"there", nil, func(b *Builder) {
			b.Keyed("example.test", dnssec.Alone(signedKey(t)), nil)
		}, Positive, true, ""},
		{"there, and then unreadable", nil, func(b *Builder) {
			b.Keyed("example.test", dnssec.Alone(signedKey(t)), nil)
			b.Keyed("example.test", nil, broken)
		}, Positive, true, "stay in use: permission"},
		{"there, and in files, which do not roll", nil, func(b *Builder) {
			b.KeysAreFiles()
			b.Keyed("example.test", dnssec.Alone(signedKey(t)), nil)
		}, Positive, true, ""},
	} {
		c, b := catalog.New(now), NewBuilder(now)
		full := true
		for i, z := range []*zones.Zone{x.before, z} {
			if z == nil {
				continue
			}
			b.Update(c, c.Apply(zones.Batch{Revision: int64(i + 1), Full: full, Changes: []zones.Change{
				{Key: z.Key(), Resource: z, Revision: int64(i + 1)},
			}}), nil)
			full = false
		}
		x.keyed(b)
		s, problems := b.Update(c, catalog.Delta{}, nil)
		var a Answer
		s.Lookup(name, uint16(rr.TypeSOA), classIN, &a)
		if a.Outcome != x.outcome || (a.Signer() != nil) != x.signed {
			t.Errorf("%s: outcome %d, signed: %v; want %d, %v", x.what, a.Outcome, a.Signer() != nil, x.outcome,
				x.signed)
		}
		var text bytes.Buffer
		for _, p := range problems {
			text.WriteString(p.Message)
		}
		if !strings.Contains(text.String(), x.says) || x.says == "" && text.Len() > 0 {
			t.Errorf("%s: problems are %q, want %q", x.what, text.String(), x.says)
		}
		if errors.Is(broken, dnssec.ErrNoKey) {
			t.Fatal("the test tells nothing")
		}
	}
}

// TestRollOfFiles: settings of rolls that nobody carries on are reported, and others are not.
func TestRollOfFiles(t *testing.T) {
	now := func() time.Time { return time.Unix(1_800_000_000, 0) }
	for _, x := range []struct {
		what  string
		set   zones.DNSSEC
		files bool
		tells bool
	}{
		{"files and a roll", zones.DNSSEC{Roll: &zones.Rolling{ZSK: zones.Duration(30 * 24 * time.Hour)}}, true, true},
		{"files and a parent", zones.DNSSEC{Parent: []string{"192.0.2.1"}}, true, true},
		{"files alone", zones.DNSSEC{}, true, false},
		{"files and another algorithm", zones.DNSSEC{Algorithm: int(28 - signedKey(t).Algorithm())}, true, true},
		{"files and their algorithm", zones.DNSSEC{Algorithm: int(signedKey(t).Algorithm())}, true, false},
		{"etcd and another algorithm", zones.DNSSEC{Algorithm: int(28 - signedKey(t).Algorithm())}, false, false},
		{"etcd", zones.DNSSEC{
			Roll: &zones.Rolling{KSK: zones.Duration(90 * 24 * time.Hour)}, Parent: []string{"192.0.2.1"},
		}, false, false},
	} {
		c, b := catalog.New(now), NewBuilder(now)
		x.set.Enabled = true
		z := &zones.Zone{Origin: "example.test", Nameservers: []string{"ns.example.net"}, DNSSEC: &x.set}
		if x.files {
			b.KeysAreFiles()
		}
		b.Keyed("example.test", dnssec.Alone(signedKey(t)), nil)
		_, problems := b.Update(c, c.Apply(zones.Batch{Revision: 1, Full: true, Changes: []zones.Change{
			{Key: z.Key(), Resource: z, Revision: 1},
		}}), nil)
		told := len(problems) == 1 && problems[0].Warning && strings.Contains(problems[0].Message, "keys are files")
		if told != x.tells || !x.tells && len(problems) > 0 {
			t.Errorf("%s: %v", x.what, problems)
		}
	}
}

// TestKeysInTime: the apex of a zone follows the times of its keys, with an Update when these say so. It also follows
// what the document says about keys of others and about going unsigned.
func TestKeysInTime(t *testing.T) {
	origin := rr.Name("\x07example\x04test\x00")
	at := time.Unix(1_800_000_000, 0)
	now := func() time.Time { return at }
	a, b2 := signedKey(t), signedKey(t)
	for b2.Tag() == a.Tag() {
		b2 = signedKey(t)
	}
	keys, err := dnssec.NewKeys(origin,
		dnssec.TimedKey{Key: a, Times: dnssec.Times{Inactive: at.Add(2 * time.Hour), Delete: at.Add(3 * time.Hour)}},
		dnssec.TimedKey{Key: b2, Times: dnssec.Times{Publish: at.Add(time.Hour), Activate: at.Add(2 * time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	c, b := catalog.New(now), NewBuilder(now)
	b.Keyed("example.test", keys, nil)
	z := &zones.Zone{
		Origin: "example.test", Nameservers: []string{"ns.example.net"}, DNSSEC: &zones.DNSSEC{Enabled: true},
	}
	apply := func(z *zones.Zone, revision int64) catalog.Delta {
		return c.Apply(zones.Batch{Revision: revision, Full: revision == 1, Changes: []zones.Change{
			{Key: z.Key(), Resource: z, Revision: revision},
		}})
	}
	names := map[string]string{string(a.DNSKEY()): "a", string(b2.DNSKEY()): "b"}
	for _, k := range []*dnssec.Key{a, b2} {
		ds, err := k.DS(dnssec.DigestSHA256)
		if err != nil {
			t.Fatal(err)
		}
		names[string(ds)] = names[string(k.DNSKEY())]
	}
	look := func(s *Snapshot) (text string) {
		for _, typ := range []rr.Type{rr.TypeDNSKEY, rr.TypeCDS, rr.TypeCDNSKEY} {
			n, wire := s.zones[s.origins[origin]].tree.find([]byte(origin)).set(typ)
			var all []string
			for range n {
				size := recordHead + int(binary.BigEndian.Uint16(wire[recordHead-2:]))
				name := names[string(wire[recordHead:size])]
				if name == "" {
					name = fmt.Sprintf("%x", wire[recordHead:size])
				}
				all, wire = append(all, name), wire[size:]
			}
			slices.Sort(all)
			text += strings.Join(all, ",") + " "
		}
		if missing := unsignedSets(s, s.zones[s.origins[origin]]); len(missing) > 0 {
			text += fmt.Sprintf("without signatures: %q", missing)
		}
		return text
	}
	d := apply(z, 1)
	for hour, want := range []string{"a a a ", "a,b a a ", "a,b b b ", "b b b "} {
		if hour > 0 {
			if next := b.NextExpiry(); !next.Equal(at.Add(time.Hour)) {
				t.Errorf("hour %d: the next update is due at %v", hour-1, next)
			}
			at = at.Add(time.Hour)
		}
		s, problems := b.Update(c, d, nil)
		d = catalog.Delta{}
		if got := look(s); got != want || len(problems) > 0 {
			t.Errorf("hour %d: %q, %v; want %q", hour, got, problems, want)
		}
	}
	if next := b.NextExpiry(); !next.IsZero() {
		t.Errorf("something is due at %v", next)
	}
	more := *z
	more.DNSSEC = &zones.DNSSEC{Enabled: true, Foreign: []string{"256 3 15 AQID"}}
	s, _ := b.Update(c, apply(&more, 2), nil)
	if got := look(s); got != "0100030f010203,b b b " {
		t.Errorf("with a key of others: %q", got)
	}
	leaving := *z
	leaving.DNSSEC = &zones.DNSSEC{Enabled: true, Foreign: []string{"257 3 15 AQID"}, Withdraw: true}
	s, _ = b.Update(c, apply(&leaving, 3), nil)
	if got := look(s); got != "0101030f010203,b 0000000000 0000030000 " {
		t.Errorf("on leaving: %q", got)
	}
}
