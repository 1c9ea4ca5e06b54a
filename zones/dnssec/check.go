package dnssec

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// Timing is how long what a zone had is still about (RFC 7583 section 2.1).
type Timing struct {
	TTL    time.Duration // the longest TTL in the zone, that of DNSKEY too
	Parent time.Duration // TTL of the DS records in the parent zone
	Delay  time.Duration // until all servers do what key files say, at most: copying them, clocks, transfers
}

// window is for how long after a change a resolver may have what was there before.
func (t Timing) window() time.Duration { return t.TTL + t.Delay }

// span is a time in which a zone's keys do the same. The last one has no end.
type span struct {
	from, until time.Time
	duty        *Duty
}

// spans returns what the keys do from a time on.
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

// Check says what from a time on would break the chain of trust: where a resolver could have a DNSKEY set and a
// signature, both from within the timing's window, of which the one does not verify the other. DNSKEY sets that are not
// signed by each algorithm in them count too, as some resolvers insist on that (RFC 4035 section 2.2).
//
// before are the keys that the zone had until then; nil: these.
//
// It knows nothing of how keys are rolled: it compares all that the zone will have with all that it will have.
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

// apart returns how long after the one span the other begins; 0: they meet.
func apart(a, b span) time.Duration {
	switch {
	case !a.until.IsZero() && a.until.Before(b.from):
		return b.from.Sub(a.until)
	case !b.until.IsZero() && b.until.Before(a.from):
		return a.from.Sub(b.until)
	}
	return 0
}

// clash says why signatures of one time do not verify with the DNSKEY set of another.
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

// Trusted says what from a time on would break the chain from the parent's DS records, given by their RDATA: where no
// key that one of them is of signs the DNSKEY set. Without DS records nothing can break.
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

// In reports whether one of DS records, given by their RDATA, is of the key.
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
