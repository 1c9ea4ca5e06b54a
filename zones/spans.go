package zones

import "time"

// The longest times that need no warning. A longer time is accepted as it is written, with a warning: most such times
// are a wrong unit, and nobody can take an answer back out of the caches of others.
const (
	mostTTL      = 7 * 24 * time.Hour   // BIND keeps no more (max-cache-ttl); Unbound keeps a day
	mostSteered  = time.Hour            // a policy is there to be changed
	mostNegative = 24 * time.Hour       // RFC 2308 section 5
	mostRefresh  = 24 * time.Hour       // RFC 1912 section 2.2 has 12 hours at most
	mostExpire   = 90 * 24 * time.Hour  // RFC 1912 section 2.2 has 2 to 4 weeks
	mostValidity = 200 * 24 * time.Hour // public authorities sign for no longer, from March 2026
)

// span is one time of a resource.
type span struct {
	field string
	is    time.Duration
	most  time.Duration
	why   string // what is wrong with a longer one
}

// Why a time is too long.
const (
	keptLong     = "caches keep what they have for that long (RFC 2181 8), and you cannot take it back"
	steeredLong  = "clients keep a dead address for that long"
	negativeLong = "caches deny a new name for that long (RFC 2308 5 has a day at most)"
	refreshLong  = "secondaries that miss a NOTIFY are behind for that long (RFC 1912 2.2 has 12 hours at most)"
	expireLong   = "secondaries go on answering for that long after the zone has left here (RFC 1912 2.2 has 4 weeks " +
		"at most)"
	validityLong = "public authorities sign for 200 days at most, so each of their certificates would fail"
)

// spansOf returns the times that a resource's document gives. It leaves out those for which a shorter limit is an
// error: interval, timeout and hold of a Monitor.
func spansOf(r Resource) []span {
	switch r := r.(type) {
	case *Zone:
		return []span{
			{"ttl", r.TTL.Or(0), mostTTL, keptLong},
			{"soaTTL", r.SOATTL.Or(0), mostTTL, keptLong},
			{"negativeTTL", r.NegativeTTL.Or(0), mostNegative, negativeLong},
			{"refresh", r.Refresh.Or(0), mostRefresh, refreshLong},
			{"retry", r.Retry.Or(0), mostRefresh, refreshLong},
			{"expire", r.Expire.Or(0), mostExpire, expireLong},
		}
	case *Policy:
		return []span{{"ttl", r.TTL.Std(), mostSteered, steeredLong}}
	case *Monitor:
		if r.TLS != nil {
			return []span{{"tls.minValidity", r.TLS.MinValidity.Std(), mostValidity, validityLong}}
		}
	}
	return nil
}

// spans warns of times that are most likely mistakes.
func (x *doubts) spans(r Resource) {
	if r, ok := r.(*Record); ok { // there can be a million, and nearly all are short enough
		if r.TTL.Or(0) > mostTTL {
			x.warn("ttl", tooLong, r.TTL, keptLong, Duration(mostTTL))
		}
		return
	}
	for _, s := range spansOf(r) {
		if s.is > s.most {
			x.warn(s.field, tooLong, Duration(s.is), s.why, Duration(s.most))
		}
	}
	z, ok := r.(*Zone)
	if !ok || z.Secondary() {
		return
	}
	refresh, retry, expire := z.Refresh.Or(DefaultRefresh), z.Retry.Or(DefaultRetry), z.Expire.Or(DefaultExpire)
	if expire < refresh+retry {
		x.warn("expire", "%s is shorter than refresh and retry together (%s): secondaries give the zone up before "+
			"they have "+
			"asked twice (RFC 1912 2.2); write a week or more", Duration(expire), Duration(refresh+retry))
	}
}

// tooLong is the warning about times above their limit.
const tooLong = "%s is long: %s; write %s or less, unless it is meant"
