package dnssec

import (
	"slices"
	"time"
)

// What a key does, in words.
const (
	SignsAll   = "signs all"
	SignsKeys  = "signs keys"              // DNSKEY, CDS and CDNSKEY
	SignsData  = "signs data"              // all else
	SignsEarly = "signs data, unpublished" // its DNSKEY is not in the zone yet
	StandsBy   = "stands by"               // active, and another one of its algorithm signs
	Retired    = "retired"                 // it signs no longer, and its DNSKEY stays
	Published  = "published"               // its DNSKEY is in the zone, and it does not sign yet
	Gone       = "gone"
	ToCome     = "to come"
)

// KeyStates are all that State returns, in the order of a key's life.
var KeyStates = []string{ToCome, Published, StandsBy, SignsEarly, SignsData, SignsKeys, SignsAll, Retired, Gone}

// State says in a word or two what one of a zone's keys does at a time. d is what all of them do then.
func (k *TimedKey) State(d *Duty, at time.Time) string {
	entry, data, published := slices.Contains(d.Entry, k.Key), slices.Contains(d.Zone, k.Key), k.Times.Published(at)
	switch {
	case entry && data:
		return SignsAll
	case entry:
		return SignsKeys
	case data && published:
		return SignsData
	case data:
		return SignsEarly
	case published && k.Times.Active(at):
		return StandsBy
	case published && !k.Times.Inactive.IsZero() && !at.Before(k.Times.Inactive):
		return Retired
	case published:
		return Published
	case !k.Times.Delete.IsZero() && !at.Before(k.Times.Delete):
		return Gone
	}
	return ToCome
}
