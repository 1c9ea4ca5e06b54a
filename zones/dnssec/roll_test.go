package dnssec

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// dsOf returns the DS records of the keys that CDS asks for at a time, which a parent that follows CDS has.
func dsOf(t testing.TB, k *Keys, at time.Time) (all [][]byte) {
	t.Helper()
	for _, dnskey := range k.At(at).Synced {
		ds, err := DS(k.origin, dnskey, DigestSHA256)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ds)
	}
	return all
}

// TestRollsHold: whatever the TTLs, at every moment of a roll all signatures and DNSKEY sets verify with what a
// resolver may still have, and a key in the parent's DS signs. The roll ends with new keys and without old ones.
func TestRollsHold(t *testing.T) {
	origin := name(t, "example.test")
	rapid.Check(t, func(r *rapid.T) {
		hours := func(name string) time.Duration {
			return time.Duration(rapid.IntRange(1, 100).Draw(r, name)) * time.Hour
		}
		times := Timing{TTL: hours("ttl"), Parent: hours("parent"), Delay: hours("delay")}
		first, err := First(origin, ECDSAP256, rapid.Bool().Draw(r, "split"), day0)
		if err != nil {
			r.Fatal(err)
		}
		keys, err := NewKeys(origin, first...)
		if err != nil {
			r.Fatal(err)
		}
		now, ds := day0, dsOf(t, keys, day0)
		take := func(what string, changed []TimedKey, err error) {
			if err != nil {
				r.Fatalf("%s: %v", what, err)
			}
			before := keys
			for n := range changed { // only the first are written, for example on a full disk
				half, err := keys.Merge(changed[:n])
				if err != nil {
					r.Fatal(err)
				}
				wrong := append(half.Check(before, now, times), half.Trusted(ds, now)...)
				if len(wrong) > 0 {
					r.Fatalf("%s, of which %d of %d keys are written: %q", what, n, len(changed), wrong)
				}
			}
			if keys, err = keys.Merge(changed); err != nil {
				r.Fatal(err)
			}
			if wrong := keys.Check(before, now, times); len(wrong) > 0 {
				r.Fatalf("%s: %q", what, wrong)
			}
			if wrong := keys.Trusted(ds, now); len(wrong) > 0 {
				r.Fatalf("%s: %q", what, wrong)
			}
			if !before.At(now).same(keys.At(now)) {
				r.Fatalf("%s does something before all servers know", what)
			}
		}
		settle := func() { // everything that the times say happens
			for next := keys.Next(now); !next.IsZero(); next = keys.Next(now) {
				now = next
			}
			now = now.Add(times.Parent + times.TTL + times.Delay)
			ds = dsOf(t, keys, now)
		}
		kind := rapid.SampledFrom([]string{"zsk", "entry", "algorithm"}).Draw(r, "kind")
		old := keys.All()
		switch kind {
		case "zsk":
			changed, err := keys.RollZSK(now, times)
			take("roll", changed, err)
			old = slices.DeleteFunc(slices.Clone(old), func(k TimedKey) bool { return k.Entry() })
		case "entry":
			old = []TimedKey{old[slices.IndexFunc(old, func(k TimedKey) bool { return k.Entry() })]}
			if _, _, err := keys.Retire(old[0].Tag(), ds, now, times); err == nil {
				r.Fatal("the only key in the DS is retired")
			}
			changed, err := keys.RollEntry(now, times)
			take("roll", changed, err)
			if _, _, err := keys.Retire(old[0].Tag(), ds, now, times); err == nil {
				r.Fatal("a key is retired though the parent has no other")
			}
			settle()
			changed, _, err = keys.Retire(old[0].Tag(), ds, now, times)
			take("retire", changed, err)
		case "algorithm":
			tag := old[slices.IndexFunc(old, func(k TimedKey) bool { return k.Entry() })].Tag()
			changed, err := keys.RollAlgorithm(Ed25519, now, times)
			take("roll", changed, err)
			settle()
			changed, more, err := keys.Retire(tag, ds, now, times)
			take("retire", changed, err)
			settle()
			if !more {
				r.Fatal("the parent has the DS of the old algorithm, and that is all")
			}
			changed, more, err = keys.Retire(tag, ds, now, times)
			take("retire again", changed, err)
			if more {
				r.Fatal("it never ends")
			}
		}
		settle()
		d := keys.At(now)
		for _, k := range old {
			if slices.ContainsFunc(d.DNSKEY, func(b []byte) bool { return string(b) == string(k.DNSKEY()) }) {
				r.Fatalf("key %d is still there", k.Tag())
			}
		}
		if len(d.Entry) != 1 || len(d.Zone) != 1 || keys.Moves(now) || len(dsOf(t, keys, now)) != 1 || d.Stays != nil {
			r.Fatalf("it does not end: %d sign keys, %d all else", len(d.Entry), len(d.Zone))
		}
	})
}

// TestCheck: mistakes in the times of keys are found, with the moment from which they matter.
func TestCheck(t *testing.T) {
	times := Timing{TTL: 24 * time.Hour}
	for _, c := range []struct{ what, keys, says string }{
		{"at rest", "k 257 13\nz 256 13", ""},
		{
			"a ZSK that signs when it is published", "k 257 13\nold 256 13 Inactive=2 Delete=9\nnew 256 13 Activate=2",
			"2026-03-03T00:00:00Z: a resolver may have signatures by new and a DNSKEY set without it",
		},
		{
			"a ZSK that goes with its last signature", "k 257 13\nold 256 13 Inactive=2 Delete=2.5\n" +
				"new 256 13 Publish=0 Activate=1",
			"2026-03-03T12:00:00Z: a resolver may have signatures by old and a DNSKEY set without it",
		},
		{
			"an algorithm whose DNSKEY comes first", "a 257 13\nb 257 15 Publish=1 Activate=3",
			"2026-03-02T00:00:00Z: a resolver may have a DNSKEY set with algorithm ED25519 and signatures without it",
		},
		{
			"both sign until the old one goes",
			"k 257 13\nold 256 13 Inactive=3 Delete=3\nnew 256 13 Publish=0 Activate=1", "",
		},
	} {
		r := newRing(t, c.keys)
		text := strings.Join(r.keys.Check(nil, day0, times), "\n")
		for _, k := range r.keys.All() {
			text = strings.ReplaceAll(text, k.FileName(), r.names[string(k.DNSKEY())])
		}
		if text != c.says {
			t.Errorf("%s:\n%s, want\n%s", c.what, text, c.says)
		}
	}
	r := newRing(t, "old 257 13 Inactive=4\nnew 257 13 Activate=2")
	for name, want := range map[string]string{"old": "2026-03-05T00:00:00Z", "new": "2026-03-01T00:00:00Z"} {
		var ds [][]byte
		for _, k := range r.keys.All() {
			if r.names[string(k.DNSKEY())] == name {
				d, _ := k.DS(DigestSHA384)
				ds = append(ds, d)
			}
		}
		if got := fmt.Sprint(r.keys.Trusted(ds, day0)); !strings.Contains(got, want) {
			t.Errorf("with the DS of %s: %s, want %s", name, got, want)
		}
	}
}
