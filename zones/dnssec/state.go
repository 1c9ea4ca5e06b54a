package dnssec

import (
	"slices"
	"time"
)

// The states of a key, in words.
const (
	SignsAll   = "signs all"
	SignsKeys  = "signs keys"              // DNSKEY, CDS and CDNSKEY
	SignsData  = "signs data"              // everything else
	SignsEarly = "signs data, unpublished" // its DNSKEY is not in the zone yet
	StandsBy   = "stands by"               // it is active, but another key of its algorithm signs
	Retired    = "retired"                 // it no longer signs, but its DNSKEY stays
	Published  = "published"               // its DNSKEY is in the zone, but it does not sign yet
	Gone       = "gone"
	ToCome     = "to come"
)

// KeyStates are all the values that State returns, in the order of a key's life.
var KeyStates = []string{ToCome, Published, StandsBy, SignsEarly, SignsData, SignsKeys, SignsAll, Retired, Gone}

// State says in a few words what a key of a zone does at a time. d is what all its keys do then.
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
