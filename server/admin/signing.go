package admin

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Signing is the state of the signatures of the zones that a server answers for.
type Signing struct {
	Zones      int            `json:"zones"`
	States     map[string]int `json:"states"`     // zones by state, see SignedZone
	Keys       map[string]int `json:"keys"`       // keys by what they do, as `leeward key list` calls it
	Signatures int            `json:"signatures"` // that the server holds
	Made       int64          `json:"made"`       // how many of those this process made
	Missing    int            `json:"missing"`    // signatures for the next day that a signer elsewhere still owes
	// KeptError is why signatures could not be kept on disk. Empty: they are kept, or none are to be
	KeptError string `json:"keptError,omitempty"`

	// List has the zones whose signatures expire first, at most MostSignedZones. Zones that are not current are among
	// them.
	List []SignedZone `json:"list"`
}

// MostSignedZones is how many zones a Signing lists, and how many have metrics of their own.
const MostSignedZones = 1000

// SignedZone is a zone that has signatures.
type SignedZone struct {
	Zone string `json:"zone"`
	// Signer is who signs. "leeward": this server; "sign": a `leeward sign` elsewhere; "primary": the primary that the
	// zone is transferred from
	Signer string `json:"signer"`
	// State is "current", "prepared" (current, and the next day's signatures are there), "late" (signatures of an
	// earlier day are in use because the day's own are missing), "near" (the first signatures expire soon) or "expired"
	State      string      `json:"state"`
	Expires    *time.Time  `json:"expires,omitempty"` // when the first signature expires
	Signatures int         `json:"signatures,omitempty"`
	Keys       []SignedKey `json:"keys,omitempty"`
	Missing    int         `json:"missing,omitempty"` // see Signing
	Error      string      `json:"error,omitempty"`   // why the next signatures could not be made
	Parent     *Parent     `json:"parent,omitempty"`  // nil: another server looks after it, or nobody
}

// Parent says whether the parent of a zone has the DS that CDS and CDNSKEY ask for, and whether it was told of them
// (NOTIFY, RFC 9859).
type Parent struct {
	// State is "waiting" (CDS are new), "fits" (its DS was found to be right, and it is not asked again), "told" (its
	// DS is not right yet), "no endpoint" (it does not say where it is told, so it has to look by itself) or "failed"
	State     string    `json:"state"`
	Since     time.Time `json:"since"`
	Endpoint  string    `json:"endpoint,omitempty"`  // where it is told
	Validated bool      `json:"validated,omitempty"` // the resolver has validated the DSYNC record that says so
	Error     string    `json:"error,omitempty"`     // what is wrong
}

// The states of a Parent.
const (
	ParentWaits  = "waiting"
	ParentFits   = "fits"
	ParentTold   = "told"
	ParentMute   = "no endpoint"
	ParentFailed = "failed"
)

// Words says how it stands with the parent.
func (p *Parent) Words(now time.Time) string {
	text := p.State
	switch p.State {
	case ParentFits:
		return "DS fits"
	case ParentTold:
		text = "told " + Age(now.Sub(p.Since).Seconds()) + " ago"
	case ParentFailed:
		text = "not told"
	}
	if p.Endpoint != "" {
		text += " at " + p.Endpoint
		if !p.Validated {
			text += " (not validated)"
		}
	}
	if p.Error != "" {
		text += ": " + p.Error
	}
	return text
}

// SignedKey is a key of a zone.
type SignedKey struct {
	Tag       uint16 `json:"tag"`
	Algorithm string `json:"algorithm"`
	State     string `json:"state"` // what it does, as `leeward key list` calls it
}

// The states of signed zones.
const (
	SignedCurrent  = "current"
	SignedPrepared = "prepared"
	SignedLate     = "late"
	SignedNear     = "near"
	SignedExpired  = "expired"
)

// SignedStates are all states of signed zones, best first.
var SignedStates = []string{SignedPrepared, SignedCurrent, SignedLate, SignedNear, SignedExpired}

// A zone is near when its first signature expires within these times. Leeward's own signatures have at least 13 days
// less 3 hours left. A primary signs again when it likes, as a rule days before the end.
const (
	nearExpiry        = 4 * 24 * time.Hour
	nearExpiryPrimary = 2 * 24 * time.Hour
)

// lateGrace is how long signatures of the day before may be in use before the zone counts as late.
const lateGrace = time.Hour

// Judge sets the zone's state at the time now. ended is when the day of its signatures ended, if it has, and the zero
// time if they are not made by the day. prepared says that the next signatures are there.
func (z *SignedZone) Judge(now, ended time.Time, prepared bool) {
	near := nearExpiry
	if z.Signer == SignerPrimary {
		near = nearExpiryPrimary
	}
	switch {
	case z.Expires != nil && !now.Before(*z.Expires):
		z.State = SignedExpired
	case z.Expires != nil && z.Expires.Sub(now) < near:
		z.State = SignedNear
	case !ended.IsZero() && now.Sub(ended) >= lateGrace:
		z.State = SignedLate
	case prepared:
		z.State = SignedPrepared
	default:
		z.State = SignedCurrent
	}
}

// The values of SignedZone.Signer.
const (
	SignerLeeward = "leeward"
	SignerAway    = "sign"
	SignerPrimary = "primary"
)

// Well reports whether nobody needs to look at the zone.
func (z *SignedZone) Well() bool {
	return (z.State == SignedCurrent || z.State == SignedPrepared) && z.Error == ""
}

// Words says what is wrong with a zone that is not well.
func (z *SignedZone) Words(now time.Time) string {
	text := ""
	switch {
	case z.State == SignedExpired && z.Expires != nil:
		text = "expired " + Age(now.Sub(*z.Expires).Seconds()) + " ago."
	case z.State == SignedLate:
		text = "are those of an earlier day, and expire in " + Age(z.Expires.Sub(now).Seconds()) + "."
	case z.Expires != nil:
		text = "expire in " + Age(z.Expires.Sub(now).Seconds()) + "."
	}
	if z.Missing > 0 {
		text += " " + counted(z.Missing, "signature") + " of the next day have not been made."
	}
	if z.Error != "" {
		text += " The next cannot be made: " + z.Error + "."
	}
	return strings.TrimSpace(text)
}

// Remedy says what to do about a zone that is not well.
func (z *SignedZone) Remedy() string {
	switch {
	case z.Well():
		return ""
	case z.Signer == SignerPrimary:
		return "Have its primary sign it again."
	case z.Signer == SignerAway:
		return "Start `leeward sign` with the zone's keys."
	}
	return "Look at the server's clock, and for the zone in its log."
}

// Add counts the zone and lists it.
func (s *Signing) Add(z SignedZone) {
	if s.States == nil {
		s.States, s.Keys = map[string]int{}, map[string]int{}
	}
	s.Zones++
	s.States[z.State]++
	for _, k := range z.Keys {
		s.Keys[k.State]++
	}
	s.Signatures += z.Signatures
	s.Missing += z.Missing
	s.List = append(s.List, z)
}

// Order sorts the list: zones that are not well come first, then those that expire earliest. It cuts the list to
// MostSignedZones.
func (s *Signing) Order() {
	slices.SortFunc(s.List, func(a, b SignedZone) int {
		switch {
		case a.Well() != b.Well():
			if b.Well() {
				return -1
			}
			return 1
		case a.Expires != nil && b.Expires != nil:
			return cmp.Or(a.Expires.Compare(*b.Expires), strings.Compare(a.Zone, b.Zone))
		case a.Expires == nil && b.Expires == nil:
			return strings.Compare(a.Zone, b.Zone)
		case a.Expires != nil:
			return -1
		}
		return 1
	})
	s.List = s.List[:min(len(s.List), MostSignedZones)]
}

// Nearest returns the zone whose first signature expires earliest, or nil if none expires.
func (s *Signing) Nearest() (first *SignedZone) {
	for i := range s.List {
		if z := &s.List[i]; z.Expires != nil && (first == nil || z.Expires.Before(*first.Expires)) {
			first = z
		}
	}
	return first
}

// unwell returns a copy with only what is not as it should be, or nil if everything is.
func (s *Signing) unwell() *Signing {
	if s == nil {
		return nil
	}
	out := *s
	if out.List = without(s.List, (*SignedZone).Well); len(out.List) == 0 && s.KeptError == "" {
		return nil
	}
	return &out
}

// Written says what a `leeward sign` has written to etcd for servers that hold no keys.
type Written struct {
	Zones int `json:"zones"` // how many it signs
	// Behind names the first zones of which signatures of today are missing for more than ten seconds
	Behind []string `json:"behind,omitempty"`
	// Short names the first zones of which signatures of the next day are missing, within 20 hours of its beginning
	Short []string `json:"short,omitempty"`
	Error string   `json:"error,omitempty"` // why it cannot write
}

// Trouble says what is wrong. It returns "" if nothing is, or if w is nil.
func (w *Written) Trouble() string {
	switch {
	case w == nil:
		return ""
	case w.Error != "":
		return "it cannot write signatures: " + w.Error
	case len(w.Behind) > 0:
		return "today's signatures are not written for " + some(w.Behind)
	case len(w.Short) > 0:
		return "the next day's signatures are not written for " + some(w.Short)
	}
	return ""
}

// expiry says which zones' signatures have expired or will soon.
func (h *headline) expiry() {
	if h.Signing == nil {
		return
	}
	var expired, near []string
	first := time.Duration(1<<63 - 1)
	for _, z := range h.Signing.List {
		switch z.State {
		case SignedExpired:
			expired = append(expired, z.Zone)
		case SignedNear:
			near = append(near, z.Zone)
			first = min(first, z.Expires.Sub(h.Time))
		}
	}
	if len(expired) > 0 {
		h.add("Signatures have expired: %s. Validating resolvers get no answer.", some(expired))
	}
	if len(near) > 0 {
		h.add("Signatures expire in %s: %s.", Age(first.Seconds()), some(near))
	}
}
