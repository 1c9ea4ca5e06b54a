package dnssec

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"leeward/zones/rr"
)

// Sealed are the sealed keys of all zones, as stored: the values by place. A place that is not that of a key is kept
// under the zone that its folder names.
type Sealed struct {
	zones map[rr.Name]map[string][]byte
}

// NewSealed returns a set without keys.
func NewSealed() *Sealed { return &Sealed{map[rr.Name]map[string][]byte{}} }

// Put stores a value at a place; nil removes it. It returns the zone. ok is false if the place is in no zone's folder.
func (s *Sealed) Put(place string, value []byte) (origin rr.Name, ok bool) {
	zone, _, _ := strings.Cut(place, "/")
	origin, err := rr.ParseName(strings.ReplaceAll(zone, "%2F", "/"))
	if err != nil || zone == "" {
		return "", false
	}
	all := maps.Clone(s.zones[origin]) // whoever has the map keeps it unchanged
	if all == nil {
		all = map[string][]byte{}
	}
	if value == nil {
		delete(all, place)
	} else {
		all[place] = value
	}
	if s.zones[origin] = all; len(all) == 0 {
		delete(s.zones, origin)
	}
	return origin, true
}

// Origins returns the zones that have keys, in order.
func (s *Sealed) Origins() []rr.Name { return slices.Sorted(maps.Keys(s.zones)) }

// Values returns the values of a zone's keys, by place. The caller must not change them.
func (s *Sealed) Values(origin rr.Name) map[string][]byte { return s.zones[origin] }

// Mark returns a text that changes when one of the zone's keys does.
func (s *Sealed) Mark(origin rr.Name) string {
	var b strings.Builder
	for _, place := range slices.Sorted(maps.Keys(s.zones[origin])) {
		fmt.Fprintf(&b, "%s %x\n", place, sha256.Sum256(s.zones[origin][place]))
	}
	return b.String()
}

// Read opens the keys of a zone. The error wraps ErrNoKey if there are none. It names each key that cannot be opened.
func (s *Sealed) Read(origin rr.Name, secrets *Secrets) (*Keys, error) {
	var all []TimedKey
	var wrong []error
	for _, place := range slices.Sorted(maps.Keys(s.zones[origin])) {
		if place == RollOf(origin) {
			continue
		}
		p, err := ParsePlace(place)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		k, _, err := secrets.Open(p, s.zones[origin][place])
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		all = append(all, k)
	}
	if len(wrong) > 0 {
		err := wrong[0]
		for _, more := range wrong[1:] {
			err = fmt.Errorf("%w; %w", err, more)
		}
		return nil, err
	}
	return NewKeys(origin, all...)
}

// Roll opens how far the zone's roll is. It returns nil if there is no roll.
func (s *Sealed) Roll(origin rr.Name, secrets *Secrets) (*Roll, error) {
	value := s.zones[origin][RollOf(origin)]
	if value == nil {
		return nil, nil
	}
	r, _, err := secrets.OpenRoll(origin, value)
	return r, err
}

// Only returns a copy with the keys of one zone. Later changes do not affect it.
func (s *Sealed) Only(origin rr.Name) *Sealed {
	one := NewSealed()
	if all := s.zones[origin]; all != nil {
		one.zones[origin] = all
	}
	return one
}

// Clone returns a copy. Later changes do not affect it.
func (s *Sealed) Clone() *Sealed { return &Sealed{maps.Clone(s.zones)} }
