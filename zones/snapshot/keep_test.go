package snapshot

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// keeps is a server that has the zone from its primary, lays something over it, and keeps the primary's signatures.
type keeps struct {
	passes
	revision int64
}

func newKeeps(k *dnssec.Keys) *keeps {
	p := &keeps{passes: passes{catalog: catalog.New(time.Now), builder: NewBuilder(time.Now)}}
	p.builder.Keyed("example.test", k, nil)
	p.apply(
		&zones.Zone{
			Origin: "example.test", Transfer: &zones.Transfer{Primaries: []string{"192.0.2.1"}, Allow: []string{"any"}},
			DNSSEC: &zones.DNSSEC{Enabled: true, Keep: true},
		},
		&zones.Region{Region: "r"}, &zones.Pool{Pool: "p", Region: "r"},
	)
	return p
}

func (p *keeps) apply(all ...zones.Resource) {
	p.revision++
	b := zones.Batch{Revision: p.revision, Full: p.revision == 1, Meant: p.revision > 1}
	for _, r := range all {
		c := zones.Change{Key: r.Key(), Resource: r, Revision: p.revision}
		switch x := r.(type) {
		case *zones.Record:
			if x.Data == nil {
				c.Resource = nil
			}
		case *zones.Policy:
			if x.Rules == nil {
				c.Resource = nil
			}
		}
		b.Changes = append(b.Changes, c)
	}
	p.last, p.problems = p.builder.Update(p.catalog, p.catalog.Apply(b), nil)
}

func foreign(k *dnssec.Key) string {
	data := k.DNSKEY()
	return fmt.Sprintf("%d 3 %d %s", k.Flags(), k.Algorithm(), base64.StdEncoding.EncodeToString(data[4:]))
}

// keptSets prints the primary's signatures that a zone keeps.
func keptSets(z *zone) (all []string) {
	if z.signing == nil || z.signing.kept == nil {
		return nil
	}
	for n := range z.signing.kept.nodes {
		n.each(func(typ rr.Type, _ int, wire []byte) {
			all = append(all, fmt.Sprintf("%s %s %x", rr.Name(n.name()), typ, wire))
		})
	}
	slices.Sort(all)
	return all
}

// TestKeepChangeByChange: whatever is laid over a zone that its primary signs, and however either changes, everything
// that is transferred verifies with the keys that the primary publishes. Denial says what exists. An RRset has the
// primary's signatures exactly if it is the primary's RRset. Differences lead to the same zone as building it anew.
func TestKeepChangeByChange(t *testing.T) {
	theirs, own := signedKey(t), signedKey(t)
	rapid.Check(t, func(t *rapid.T) {
		nsec3 := rapid.Bool().Draw(t, "nsec3")
		primary := newSignedZone(theirs, nsec3)
		signs := &zones.DNSSEC{Enabled: true, NSEC3: nsec3, Foreign: []string{foreign(own)}}
		primary.apply(&zones.Zone{Origin: "example.test", Nameservers: []string{"ns.example.net"}, DNSSEC: signs})
		ours := newKeeps(dnssec.Alone(own))
		ours.apply(endpointOf("198.51.100.1"))
		var was *Version
		var before []rr.Record
		var handedBefore *Zone
		over := map[zones.Key]zones.Resource{}
		owner := rapid.SampledFrom([]string{"a", "b.a", "c.b.a", "*.a", "x.*.a", "d", "e.d", "*", "f", "g.f", "@"})
		record := func(types ...string) *zones.Record {
			typ := rapid.SampledFrom(types).Draw(t, "type")
			r := &zones.Record{Origin: "example.test", Owner: owner.Draw(t, "owner"), Type: typ}
			n := rapid.IntRange(0, 3).Draw(t, "data")
			if text := map[string]string{
				"A": fmt.Sprintf("192.0.2.%d", n), "TXT": fmt.Sprintf(`"%d"`, n), "NS": fmt.Sprintf("ns%d.test.", n),
				"DS": "1 13 2 " + strings.Repeat("ab", 32), "CNAME": fmt.Sprintf("to%d.test.", n),
			}[typ]; n > 0 {
				r.Data = []string{text}
			}
			return r
		}
		for range rapid.IntRange(1, 8).Draw(t, "turns") {
			var changes []zones.Resource
			for range rapid.IntRange(0, 4).Draw(t, "changes") {
				if r := record("A", "TXT", "NS", "DS", "CNAME"); r.Owner != "@" || r.Type == "A" || r.Type == "TXT" {
					changes = append(changes, r)
				}
			}
			primary.apply(changes...)
			now, err := records(primary.last.Zone(sealedApex))
			if err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "whole") || was == nil {
				was = versionOf(t, NewEdition(sealedApex), nil, now).From(was)
			} else {
				was = versionOf(t, was.Edit(), before, now)
			}
			before = now
			ours.take(was)
			changes = nil
			for range rapid.IntRange(0, 3).Draw(t, "laid over") {
				var r zones.Resource = record("TXT") // no address may be beside a policy
				if rapid.Bool().Draw(t, "policy") {
					p := &zones.Policy{Name: strings.TrimPrefix(owner.Draw(t, "policy at")+".example.test", "@.")}
					if rapid.Bool().Draw(t, "there") {
						p.Rules = oneRule("p")
					}
					r = p
				}
				changes = append(changes, r)
				over[r.Key()] = r
			}
			ours.apply(changes...)
			z := ours.zone()
			bare := true
			for _, r := range over {
				switch x := r.(type) {
				case *zones.Record:
					bare = bare && x.Data == nil
				case *zones.Policy:
					bare = bare && x.Rules == nil
				}
			}
			if bare != (z.sealed != nil) || bare == (z.signing != nil) {
				t.Fatalf("something is laid over it: %v; passed on %v", !bare, z.sealed != nil)
			}
			out := ours.last.Zone(sealedApex)
			got, err := handedOf(out)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := got.faults(sealedApex, nsec3, theirs.DNSKEY(), own.DNSKEY()); len(wrong) > 0 {
				t.Fatalf("%s", strings.Join(wrong, "\n"))
			}
			had, err := handedOf(primary.last.Zone(sealedApex))
			if err != nil {
				t.Fatal(err)
			}
			for name, sets := range got.sets {
				for _, rrsig := range sets[rr.TypeRRSIG] {
					typ := rr.Type(binary.BigEndian.Uint16(rrsig))
					in := func(all [][]byte) [][]byte { return slices.SortedFunc(slices.Values(all), bytes.Compare) }
					alike := slices.EqualFunc(in(sets[typ]), in(had.sets[name][typ]), bytes.Equal) &&
						got.ttls[name][typ] == had.ttls[name][typ]
					steered := func(at rr.Name) bool {
						n := z.tree.find([]byte(at))
						return n != nil && n.policy() >= 0
					}
					if hides(typ) && steered(name) || denies(typ) && z.signing != nil && steered(z.deniedBy(name)) {
						continue // to clients it may say something else
					}
					if by := binary.BigEndian.Uint16(rrsig[16:]); (by == theirs.Tag()) != alike {
						t.Fatalf("%s %s is as the primary has it: %v, and is signed by %d (%d is the primary's)", name,
							typ, alike, by, theirs.Tag())
					}
				}
			}
			if z.signing != nil {
				if missing := unsignedSets(ours.last, z); len(missing) > 0 {
					t.Fatalf("not signed: %v", missing)
				}
			}
			fresh := newKeeps(dnssec.Alone(own))
			fresh.take(versionOf(t, NewEdition(sealedApex), nil, now))
			all := []zones.Resource{endpointOf("198.51.100.1")}
			for _, r := range over {
				all = append(all, r)
			}
			fresh.apply(all...)
			if a, b := keptSets(z), keptSets(fresh.zone()); !slices.Equal(a, b) {
				t.Fatalf("kept is\n%s\nand made anew\n%s", strings.Join(a, "\n"),
					strings.Join(b, "\n"))
			}
			if handedBefore != nil && handedBefore.Signed() && out.Signed() {
				compareDiff(t, handedBefore, out)
			}
			handedBefore = out
		}
	})
}

// compareDiff compares the changes between two versions with all their content.
func compareDiff(t *rapid.T, old, now *Zone) {
	t.Helper()
	var lists [2][]string
	for i, z := range []*Zone{old, now} {
		all, err := records(z)
		if err != nil {
			t.Fatal(err)
		}
		lists[i] = printed(all)
	}
	is := map[string]int{}
	for _, line := range lists[0] {
		is[line]++
	}
	err := now.Diff(old, func(added bool, name []byte, record []byte) bool {
		line := printed([]rr.Record{{
			Owner: rr.Name(name), Type: rr.Type(binary.BigEndian.Uint16(record[2:])),
			TTL: binary.BigEndian.Uint32(record[6:]), Data: dataOf(record),
		}})[0]
		if is[line]--; added {
			is[line] += 2
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line, n := range is {
		if n < 0 || n > 1 {
			t.Fatalf("a difference brings %s to %d", line, n)
		}
		if n == 1 {
			got = append(got, line)
		}
	}
	if slices.Sort(got); !slices.Equal(got, lists[1]) {
		t.Fatalf("differences lead to\n%s\nand there is\n%s", strings.Join(got, "\n"), strings.Join(lists[1], "\n"))
	}
}

// TestKeepRefused: if the primary's signatures cannot be kept, the zone is answered as the primary has it, and the
// problem says what to do.
func TestKeepRefused(t *testing.T) {
	theirs, own := signedKey(t), signedKey(t)
	other, err := dnssec.Generate(own.Origin(), dnssec.FlagsCSK, dnssec.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	policy := &zones.Policy{Name: "own.example.test", Rules: oneRule("p")}
	for name, c := range map[string]struct {
		published []string
		keys      *dnssec.Keys
		err       error
		says      string
	}{
		"not published": {nil, dnssec.Alone(own), nil, "does not publish the key that signs here"},
		"other flags":   {[]string{"256" + foreign(own)[3:]}, dnssec.Alone(own), nil, "add the record there"},
		"another algorithm": {
			[]string{foreign(own), foreign(other)}, dnssec.Alone(own), nil, "algorithm ECDSAP256SHA256, and none",
		},
		"no key of its own":  {[]string{foreign(own)}, nil, dnssec.ErrNoKey, dnssec.ErrNoKey.Error()},
		"only one of theirs": {[]string{foreign(other)}, dnssec.Alone(other), nil, "algorithm ED25519, and none"},
	} {
		primary := newSignedZone(theirs, false)
		primary.apply(&zones.Zone{
			Origin: "example.test", Nameservers: []string{"ns.example.net"},
			DNSSEC: &zones.DNSSEC{Enabled: true, Foreign: c.published},
		})
		all, err := records(primary.last.Zone(sealedApex))
		if err != nil {
			t.Fatal(err)
		}
		v := versionOf(t, NewEdition(sealedApex), nil, all)
		ours := newKeeps(c.keys)
		ours.builder.Keyed("example.test", c.keys, c.err)
		ours.apply(endpointOf("198.51.100.1"), policy)
		ours.take(v)
		var problems []string
		for _, p := range ours.problems {
			problems = append(problems, p.Message)
		}
		if len(problems) != 1 || !strings.Contains(problems[0], c.says) ||
			!strings.Contains(problems[0], "is left out") {
			t.Errorf("%s: %q", name, problems)
		}
		got, err := records(ours.last.Zone(sealedApex))
		if err != nil || !slices.Equal(printed(got), printed(all)) {
			t.Errorf("%s: it is not as the primary has it (%v)", name, err)
		}
		// It heals by itself.
		primary.apply(&zones.Zone{
			Origin: "example.test", Nameservers: []string{"ns.example.net"},
			DNSSEC: &zones.DNSSEC{Enabled: true, Foreign: []string{foreign(own)}},
		})
		if all, err = records(primary.last.Zone(sealedApex)); err != nil {
			t.Fatal(err)
		}
		v = versionOf(t, NewEdition(sealedApex), nil, all)
		ours.builder.Keyed("example.test", dnssec.Alone(own), nil)
		ours.take(v)
		if len(ours.problems) > 0 || ours.zone().signing == nil {
			t.Errorf("%s: it does not heal: %v", name, ours.problems)
		}
	}
}

// oneRule returns the rules of a policy that answers one pool.
func oneRule(pool string) []zones.Rule {
	return []zones.Rule{{Failover: []zones.Step{{Pools: []zones.WeightedPool{{Pool: pool, Weight: 1}}}}}}
}
