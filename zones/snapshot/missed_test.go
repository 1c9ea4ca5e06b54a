package snapshot_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// If part of a zone cannot be read, each answer is either the one that a readable zone would give, or says that the
// data cannot be read. Nothing that exists is denied. Names that can be read, with nothing unreadable above them, are
// answered.
func TestWhatCannotBeReadIsNotDenied(t *testing.T) {
	owners := []string{"@", "a", "b", "a.b", "*.a", "*", "x.a", "c.d"}
	types := []string{"A", "AAAA", "TXT", "MX", "CNAME", "NS", "DNAME"}
	data := map[string]string{
		"A": "192.0.2.1", "AAAA": "2001:db8::1", "TXT": "t", "MX": "10 m",
		"CNAME": "elsewhere.test.", "NS": "ns.example.net.", "DNAME": "away.test.",
	}
	rapid.Check(t, func(t *rapid.T) {
		all := []zones.Resource{
			&zones.Zone{Origin: "example.test", Nameservers: []string{"ns.example.net"}},
			&zones.Region{Region: "eu"}, &zones.Pool{Pool: "p", Region: "eu"},
			&zones.Record{Origin: "example.test", Owner: "good", Type: "TXT", Data: []string{"t"}},
		}
		steered := map[string]bool{}
		for _, owner := range rapid.SliceOfNDistinct(rapid.SampledFrom(owners), 0, 2, rapid.ID).Draw(t, "policies") {
			steered[owner] = true
			all = append(all, &zones.Policy{
				Name:  zones.FullName(owner, "example.test"),
				Rules: []zones.Rule{{Failover: []zones.Step{{Pools: []zones.WeightedPool{{Pool: "p", Weight: 1}}}}}},
			})
		}
		for _, owner := range owners {
			for _, typ := range rapid.SliceOfNDistinct(rapid.SampledFrom(types), 0, 3, rapid.ID).Draw(t, owner) {
				alias := typ == "CNAME"
				switch {
				case owner == "@" && (typ == "NS" || typ == "DNAME" || alias), steered[owner] &&
					(alias || typ == "A" || typ == "AAAA"):
					continue
				case alias && rapid.Bool().Draw(t, "alone"):
					continue
				}
				all = append(all, &zones.Record{
					Origin: "example.test", Owner: owner, Type: typ,
					Data: []string{data[typ]},
				})
			}
		}
		batch := func(spoil bool) zones.Batch {
			b := zones.Batch{Revision: 1, Full: true}
			for i, r := range all {
				c := zones.Change{Key: r.Key(), Resource: r, Revision: int64(i + 1)}
				kind := r.Key().Kind()
				if spoil && i > 3 && (kind == zones.KindRecord || kind == zones.KindPolicy) &&
					rapid.IntRange(0, 3).Draw(t, "spoilt") == 0 {
					c.Resource, c.Err = nil, errors.New("it cannot be read")
				}
				b.Changes = append(b.Changes, c)
			}
			return b
		}
		build := func(b zones.Batch) *snapshot.Snapshot {
			c := catalog.New(time.Now)
			shot, _ := snapshot.NewBuilder(time.Now).Update(c, c.Apply(b), nil)
			return shot
		}
		whole, holed := batch(false), batch(true)
		// Of two records that exclude each other, the older is in service. Without it the other would be, and that
		// would be a different zone.
		c := catalog.New(time.Now)
		c.Apply(whole)
		if len(c.Problems().Coded(zones.CodeConflict)) > 0 {
			t.Skip()
		}
		sound, part := build(whole), build(holed)
		spoilt := 0
		for _, ch := range holed.Changes {
			if ch.Err != nil {
				spoilt++
			}
		}
		if z := part.Zone("\x07example\x04test\x00"); z.Whole() != (spoilt == 0) {
			t.Fatalf("%d are spoilt, and whole is %v", spoilt, z.Whole())
		}
		for _, owner := range append(owners, "n", "n.a", "d", "n.c.d", "y.x.a", "good") {
			name, _ := rr.ParseRelative(owner, "\x07example\x04test\x00")
			for _, typ := range append(types, "ANY", "DS", "SRV") {
				qtype, _ := rr.ParseType(typ)
				want, got := said(sound, name, qtype), said(part, name, qtype)
				if got != want && got != "missed" && !(typ == "ANY" && got[:8] == "positive") {
					t.Fatalf("%s %s is %s, and would be %s: %v", owner, typ, got, want, holed.Changes)
				}
				if got == "missed" && (spoilt == 0 || owner == "good") {
					t.Fatalf("%s %s is missed", owner, typ)
				}
			}
		}
	})
}

// said is the result of a look-up, without what depends on the numbers in a snapshot.
func said(s *snapshot.Snapshot, name rr.Name, qtype rr.Type) string {
	var a snapshot.Answer
	s.Lookup([]byte(name), uint16(qtype), 1, &a)
	switch a.Outcome {
	case snapshot.Missed:
		return "missed"
	case snapshot.Steered:
		return "steered by " + a.Policy.Name
	case snapshot.Positive, snapshot.Alias, snapshot.Redirect:
		return fmt.Sprintf("positive %d at %d to %s: %x", a.Outcome, a.Answer.Owner, a.Target, a.Answer.Wire)
	case snapshot.Referral:
		return fmt.Sprintf("referral at %d: %x", a.Authority.Owner, a.Authority.Wire)
	}
	return fmt.Sprint(a.Outcome)
}
