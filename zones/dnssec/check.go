package dnssec

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// Timing says how long what a zone had before may still be in use (RFC 7583 section 2.1).
type Timing struct {
	TTL    time.Duration // the longest TTL in the zone, including that of DNSKEY
	Parent time.Duration // TTL of the DS RRset in the parent zone
	Delay  time.Duration // longest time until all servers do what key files say: copying them, clocks, transfers
}

// window is for how long after a change a resolver may still have what was there before.
func (t Timing) window() time.Duration { return t.TTL + t.Delay }

// span is a time during which a zone's keys do the same. The last one has no end.
type span struct {
	from, until time.Time
	duty        *Duty
}

// spans returns what the keys do from a given time on.
func (k *Keys) spans(from time.Time) (all []span) {
	for at := from; ; {
		next := k.Next(at)
		all = append(all, span{at, next, k.At(at)})
		if next.IsZero() {
			return all
		}
		at = next
	}
}

// Check says what would break the chain of trust from a given time on. It finds each DNSKEY set and each signature that
// a resolver could have at once, both from within the timing's window, of which the one does not verify the other. It
// also finds DNSKEY sets that are not signed by each of their algorithms, since some resolvers insist on that (RFC 4035
// section 2.2).
//
// before are the keys that the zone had until then; nil: these ones.
//
// Check knows nothing about how keys are rolled. It compares all that the zone will have with all that it will have.
func (k *Keys) Check(before *Keys, from time.Time, t Timing) (wrong []string) {
	if before == nil {
		before = k
	}
	var all []span
	for _, s := range before.spans(from.Add(-t.window() - time.Second)) {
		if s.from.Before(from) {
			if s.until.IsZero() || s.until.After(from) {
				s.until = from
			}
			all = append(all, s)
		}
	}
	all = append(all, k.spans(from)...)
	seen := map[string]bool{}
	for _, had := range all {
		for _, has := range all {
			late := has.from
			if had.from.After(late) {
				late = had.from
			}
			if apart(had, has) >= t.window() {
				continue
			}
			for _, text := range clash(had.duty, has.duty) {
				if !seen[text] {
					seen[text] = true
					wrong = append(wrong, fmt.Sprintf("%s: %s", late.UTC().Format(time.RFC3339), text))
				}
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// apart returns how long after one span the other begins, or 0 if they meet.
func apart(a, b span) time.Duration {
	switch {
	case !a.until.IsZero() && a.until.Before(b.from):
		return b.from.Sub(a.until)
	case !b.until.IsZero() && b.until.Before(a.from):
		return a.from.Sub(b.until)
	}
	return 0
}

// clash says why signatures of one time do not verify with the DNSKEY set of another time.
func clash(keys, data *Duty) (wrong []string) {
	in := func(k *Key) bool {
		return slices.ContainsFunc(keys.DNSKEY, func(b []byte) bool { return bytes.Equal(b, k.DNSKEY()) })
	}
	if !slices.ContainsFunc(data.Zone, in) {
		wrong = append(wrong, fmt.Sprintf("a resolver may have signatures by %s and a DNSKEY set without it",
			data.Zone[0].FileName()))
	}
	for _, b := range keys.DNSKEY {
		a := Algorithm(b[3])
		if !slices.ContainsFunc(data.Zone, func(k *Key) bool { return k.algorithm == a }) {
			wrong = append(wrong, fmt.Sprintf("a resolver may have a DNSKEY set with algorithm %s and signatures "+
				"without it", a))
		}
	}
	return wrong
}

// Trusted says what would break the chain from the parent's DS records from a given time on: no key that one of them
// names signs the DNSKEY set. ds has their RDATA. Without DS records, nothing can break.
func (k *Keys) Trusted(ds [][]byte, from time.Time) (wrong []string) {
	if len(ds) == 0 {
		return nil
	}
	for _, s := range k.spans(from) {
		if !slices.ContainsFunc(s.duty.Entry, func(key *Key) bool { return key.In(ds) }) {
			return []string{fmt.Sprintf("%s: no key that the parent has a DS of signs DNSKEY from then on",
				s.from.UTC().Format(time.RFC3339))}
		}
	}
	return nil
}

// In reports whether one of the DS records is of the key. ds has their RDATA.
func (k *Key) In(ds [][]byte) bool {
	for _, d := range ds {
		if len(d) < 5 {
			continue
		}
		if own, err := k.DS(d[3]); err == nil && bytes.Equal(own, d) {
			return true
		}
	}
	return false
}
