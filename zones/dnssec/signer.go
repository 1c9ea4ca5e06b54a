package dnssec

import (
	"sync/atomic"
	"time"

	"leeward/zones/rr"
)

// Signer signs one zone. It may be used from any goroutine.
type Signer struct {
	key   *Key
	nsec3 bool
	seed  seed

	now  atomic.Pointer[Generation]
	next atomic.Pointer[Generation] // prepared; nil: not yet
}

// Generation is the signatures of one epoch.
type Generation struct {
	Epoch Epoch
	key   *Key
	head  []byte // of the RDATA of an RRSIG
	fixed pair   // of all that the zone has by configuration
	sets  pair   // of sets of several addresses, which policies choose
	extra atomic.Int64
}

// NewSigner returns a signer that has made no signature yet, for the epoch of that time. nsec3: denial is by NSEC3.
func NewSigner(k *Key, nsec3 bool, now time.Time) *Signer {
	s := &Signer{key: k, nsec3: nsec3, seed: newSeed()}
	s.now.Store(s.generation(EpochAt(k.origin, now)))
	return s
}

func (s *Signer) generation(e Epoch) *Generation {
	return &Generation{Epoch: e, key: s.key, head: s.key.head(e.Times())}
}

// Key returns the key that the zone is signed with.
func (s *Signer) Key() *Key { return s.key }

// NSEC3 reports whether denial is by NSEC3 records.
func (s *Signer) NSEC3() bool { return s.nsec3 }

// Now returns the signatures in use.
func (s *Signer) Now() *Generation { return s.now.Load() }

// Generations returns the signatures in use and, if they are being prepared, those that come next, else nil. What is
// new must be signed in both.
func (s *Signer) Generations() (now, next *Generation) { return s.now.Load(), s.next.Load() }

// Prepared returns the signatures that come next, nil if they are not being prepared.
func (s *Signer) Prepared() *Generation { return s.next.Load() }

// Prepare begins the signatures of the epoch of that time, and returns them; nil: those in use are of it. What was
// prepared for another epoch, by a clock that was wrong, is dropped.
func (s *Signer) Prepare(at time.Time) *Generation {
	e := EpochAt(s.key.origin, at)
	if e == s.now.Load().Epoch {
		s.next.Store(nil)
		return nil
	}
	if next := s.next.Load(); next != nil && next.Epoch == e {
		return next
	}
	next := s.generation(e)
	s.next.Store(next)
	return next
}

// Turn puts what was prepared in use.
func (s *Signer) Turn() {
	if next := s.next.Load(); next != nil {
		s.now.Store(next)
		s.next.Store(nil)
	}
}

// Find returns the signature of an RRset that the zone has by configuration; nil: it is not made yet.
func (g *Generation) Find(id Identity) *[SignatureSize]byte { return g.fixed.find(id) }

// FindChosen returns the signature of a set of several addresses that a policy has chosen; nil: it is not made yet.
func (g *Generation) FindChosen(id Identity) *[SignatureSize]byte { return g.sets.find(id) }

// Len returns how many signatures there are.
func (g *Generation) Len() int { return g.fixed.len() + g.sets.len() }

// Held returns how many signatures there are of what the zone has by configuration, and of sets that policies choose.
func (g *Generation) Held() (fixed, chosen int) { return g.fixed.len(), g.sets.len() }

// Sign returns the signature of an RRset that the zone has by configuration, and makes it if there is none.
func (g *Generation) Sign(id Identity, set Set) (*[SignatureSize]byte, error) {
	return g.signIn(&g.fixed, id, &set)
}

// SignChosen is Sign for a set of several addresses that a policy has chosen.
func (g *Generation) SignChosen(id Identity, set Set) (*[SignatureSize]byte, error) {
	return g.signIn(&g.sets, id, &set)
}

func (g *Generation) signIn(p *pair, id Identity, set *Set) (*[SignatureSize]byte, error) {
	if found := p.keep(id); found != nil {
		return found, nil
	}
	signature, err := g.key.sign(g.input(set))
	if err != nil {
		return nil, err
	}
	return p.add(id, signature), nil
}

// input returns what is signed of a set (RFC 4034 section 3.1.8.1).
func (g *Generation) input(set *Set) []byte {
	input := append(make([]byte, 0, 512), g.head...)
	fill(input, set.Type, Labels([]byte(set.Owner)), set.TTL)
	return appendSet(input, set)
}

// SignatureLength returns how many octets the RDATA of each RRSIG has.
func (g *Generation) SignatureLength() int { return len(g.head) + SignatureSize }

// AppendRRSIG appends the RDATA of the RRSIG of a set. owner is in wire form, a wildcard as such.
func (g *Generation) AppendRRSIG(dst, owner []byte, typ rr.Type, ttl uint32, signature *[SignatureSize]byte) []byte {
	at := len(dst)
	dst = append(dst, g.head...)
	fill(dst[at:], typ, Labels(owner), ttl)
	return append(dst, signature[:]...)
}
