package dnssec

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"

	"leeward/zones/rr"
)

// Signer signs one zone. It may be used from any goroutine.
type Signer struct {
	origin rr.Name
	keys   *Keys
	duty   *Duty
	nsec3  bool
	seed   seed

	now  atomic.Pointer[Generation]
	next atomic.Pointer[Generation] // prepared; nil: not yet
}

// Generation is the signatures of one epoch. For each set, it has one by each key that signs sets of that type.
type Generation struct {
	Epoch Epoch
	entry []lane // for DNSKEY, CDS and CDNSKEY
	zone  []lane // for everything else
	size  int    // of the RDATA of each RRSIG
	from  *Received
	*store
}

// store has the signatures of an epoch. Successive signers of one zone share it.
type store struct {
	fixed pair // for everything that the zone has by configuration
	sets  pair // for sets of several addresses, which policies choose
	extra atomic.Int64
	made  atomic.Int64 // signatures
	noted *noted       // nil: nobody else needs to know
}

// lane is the part that one key has in the signatures of an epoch.
type lane struct {
	key  *Key
	head []byte   // of the RDATA of its RRSIGs
	salt Identity // tells the key's signatures from those of other keys
}

// NewSigner returns a signer without signatures yet, for the epoch of the time now. nsec3 says that denial is by NSEC3.
//
// If the private parts of the keys are elsewhere, all callers share one signer. It is for the last epoch up to now for
// which there are signatures. If there are only later ones, the clock is behind: it is for the first of these.
func NewSigner(k *Keys, nsec3 bool, now time.Time) *Signer {
	if k.hand != nil {
		return k.hand.shared(k, nsec3, now, func(before *Signer) *Signer { return k.handed(before, nsec3, now) })
	}
	return newSigner(k, nsec3, now, EpochAt(k.origin, now))
}

func newSigner(k *Keys, nsec3 bool, now time.Time, e Epoch) *Signer {
	s := &Signer{origin: k.origin, keys: k, duty: k.At(now), nsec3: nsec3, seed: newSeed()}
	s.now.Store(s.generation(e, nil))
	return s
}

// handed does what NewSigner and With do, for keys whose private parts are elsewhere.
func (k *Keys) handed(before *Signer, nsec3 bool, now time.Time) *Signer {
	if before != nil {
		return before.with(k, nsec3, now)
	}
	today := EpochAt(k.origin, now)
	e, any := k.hand.Received.newest(today)
	if kept := k.hand.Kept; kept != nil && (!any || today.fits(kept.epoch, e.Number)) {
		e, any = today.numbered(kept.epoch), true
	}
	if !any {
		e = today
	}
	s := newSigner(k, nsec3, now, e)
	s.Recall(k.hand.Kept)
	k.hand.Kept = nil
	return s
}

// With returns a signer of the same zone for what its keys do now. If they do what they did before, that is s itself. A
// new signer has everything that is signed already; only signatures by new keys are missing.
func (s *Signer) With(k *Keys, nsec3 bool, now time.Time) *Signer {
	if k.hand != nil {
		return NewSigner(k, nsec3, now)
	}
	if nsec3 == s.nsec3 && k.At(now).same(s.duty) {
		return s
	}
	return s.with(k, nsec3, now)
}

func (s *Signer) with(k *Keys, nsec3 bool, now time.Time) *Signer {
	d := k.At(now)
	n := &Signer{origin: s.origin, keys: k, duty: d, nsec3: nsec3, seed: s.seed}
	at, next := s.Generations()
	n.now.Store(n.generation(at.Epoch, at))
	if next != nil {
		n.next.Store(n.generation(next.Epoch, next))
	}
	return n
}

// generation returns a generation for an epoch. It is empty, or has the signatures of another signer of the zone.
func (s *Signer) generation(e Epoch, of *Generation) *Generation {
	g := &Generation{Epoch: e, size: signatureHead + len(s.origin) + SignatureSize}
	if g.store = new(store); of != nil {
		g.store = of.store
	} else if s.keys.notes {
		g.store.noted = newNoted()
	}
	if s.keys.hand != nil {
		g.from = s.keys.hand.Received
	}
	for _, k := range s.duty.Entry {
		g.entry = append(g.entry, k.lane(e))
	}
	for _, k := range s.duty.Zone {
		g.zone = append(g.zone, k.lane(e))
	}
	return g
}

func (k *Key) lane(e Epoch) lane {
	sum := sha256.Sum256(k.DNSKEY())
	return lane{k, k.head(e.Times()), Identity{
		binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:]),
	}}
}

// of returns the identity of this lane's signature of a set.
func (l *lane) of(id Identity) Identity { return Identity{id.a ^ l.salt.a, id.b ^ l.salt.b} }

// Keys returns the keys that the signer was made with. Since then, the zone may have got others that do nothing yet.
func (s *Signer) Keys() *Keys { return s.keys }

// Duty returns what the zone's keys do while this signer is in use.
func (s *Signer) Duty() *Duty { return s.duty }

// Does reports whether the signer does what d requires.
func (s *Signer) Does(d *Duty) bool { return s.duty.same(d) }

// NSEC3 reports whether denial is by NSEC3 records.
func (s *Signer) NSEC3() bool { return s.nsec3 }

// Now returns the signatures in use.
func (s *Signer) Now() *Generation { return s.now.Load() }

// Generations returns the signatures in use, and those of the next epoch if they are being prepared, else nil. New
// RRsets must be signed in both.
func (s *Signer) Generations() (now, next *Generation) { return s.now.Load(), s.next.Load() }

// Prepared returns the signatures of the next epoch, or nil if they are not being prepared.
func (s *Signer) Prepared() *Generation { return s.next.Load() }

// Prepare begins the signatures of the epoch of the given time, and returns them. It returns nil if those in use are of
// that epoch. What was prepared for another epoch, by a clock that was wrong, is dropped.
func (s *Signer) Prepare(at time.Time) *Generation {
	e := EpochAt(s.origin, at)
	if e == s.now.Load().Epoch {
		s.next.Store(nil)
		return nil
	}
	if next := s.next.Load(); next != nil && next.Epoch == e {
		return next
	}
	next := s.generation(e, nil)
	s.next.Store(next)
	return next
}

// Unprepare drops what was prepared.
func (s *Signer) Unprepare() { s.next.Store(nil) }

// Turn puts what was prepared into use.
func (s *Signer) Turn() {
	if next := s.next.Load(); next != nil {
		s.now.Store(next)
		s.next.Store(nil)
	}
}

// lanes returns the lanes that sign sets of a type.
func (g *Generation) lanes(typ rr.Type) []lane {
	if typ == rr.TypeDNSKEY || typ == rr.TypeCDS || typ == rr.TypeCDNSKEY {
		return g.entry
	}
	return g.zone
}

// Has reports whether all signatures exist of an RRset that the zone has by configuration.
func (g *Generation) Has(id Identity, typ rr.Type) bool { return g.has(&g.fixed, id, typ) }

// HasChosen is Has for a set of several addresses that a policy has chosen.
func (g *Generation) HasChosen(id Identity, typ rr.Type) bool { return g.has(&g.sets, id, typ) }

func (g *Generation) has(p *pair, id Identity, typ rr.Type) bool {
	lanes := g.lanes(typ)
	for i := range lanes {
		if p.find(lanes[i].of(id)) == nil {
			return false
		}
	}
	return true
}

// Shares reports whether two generations store their signatures in the same place. o may be nil.
func (g *Generation) Shares(o *Generation) bool { return o != nil && g.store == o.store }

// Len returns how many signatures there are.
func (g *Generation) Len() int { return g.fixed.len() + g.sets.len() }

// Made returns how many signatures this process has made.
func (g *Generation) Made() int64 { return g.made.Load() }

// Held returns how many signatures there are for what the zone has by configuration, and for sets that policies choose.
func (g *Generation) Held() (fixed, chosen int) { return g.fixed.len(), g.sets.len() }

// Sign makes the missing signatures of an RRset that the zone has by configuration.
func (g *Generation) Sign(id Identity, set Set) error { return g.signIn(&g.fixed, id, &set) }

// SignChosen is Sign for a set of several addresses that a policy has chosen.
func (g *Generation) SignChosen(id Identity, set Set) error { return g.signIn(&g.sets, id, &set) }

// AppendOnce signs a set that was made for one answer, and appends the RDATA of each RRSIG, as AppendRRSIGs does. It
// keeps nothing, so every call costs one signature by each key.
func (g *Generation) AppendOnce(dst []byte, set *Set) ([]byte, error) {
	before := len(dst)
	for i := range g.lanes(set.Type) {
		l := &g.lanes(set.Type)[i]
		signature, err := l.key.sign(l.input(set))
		if err != nil {
			return dst[:before], err
		}
		g.made.Add(1)
		at := len(dst)
		dst = append(dst, l.head...)
		fill(dst[at:], set.Type, Labels([]byte(set.Owner)), set.TTL)
		dst = append(dst, signature[:]...)
	}
	return dst, nil
}

func (g *Generation) signIn(p *pair, id Identity, set *Set) error {
	lanes := g.lanes(set.Type)
	for i := range lanes {
		l := &lanes[i]
		if p.keep(l.of(id)) != nil {
			continue
		}
		signature, err := g.signature(l, set)
		if err != nil {
			return err
		}
		g.made.Add(1)
		p.add(l.of(id), signature)
	}
	return nil
}

// ErrNotHere says that a signature was not received, and cannot be made here.
var ErrNotHere = errors.New("the signature is not here, and neither is the key")

// signature makes a signature, or finds it among those that others have made.
func (g *Generation) signature(l *lane, set *Set) (signature [SignatureSize]byte, err error) {
	input := l.input(set)
	if l.key.private == nil {
		ok := false
		if g.from != nil {
			signature, ok = g.from.find(g.Epoch.Number, l.key, input)
		}
		if !ok {
			return signature, ErrNotHere
		}
		return signature, nil
	}
	if signature, err = l.key.sign(input); err == nil && g.noted != nil {
		g.noted.note(Signed{digestOf(input), signature})
	}
	return signature, err
}

// input returns what is signed of a set (RFC 4034 section 3.1.8.1).
func (l *lane) input(set *Set) []byte {
	input := append(make([]byte, 0, 512), l.head...)
	fill(input, set.Type, Labels([]byte(set.Owner)), set.TTL)
	return appendSet(input, set)
}

// SignatureLength returns the number of octets in the RDATA of each RRSIG.
func (g *Generation) SignatureLength() int { return g.size }

// AppendRRSIGs appends the RDATA of each RRSIG of an RRset that the zone has by configuration, one after another. Each
// has SignatureLength octets. owner is in wire form; a wildcard is given as such. made says that all signatures exist;
// if not, nothing is appended.
func (g *Generation) AppendRRSIGs(dst []byte, id Identity, owner []byte, typ rr.Type, ttl uint32,
) (_ []byte, made bool) {
	return g.append(&g.fixed, dst, id, owner, typ, ttl)
}

// AppendChosen is AppendRRSIGs for a set of several addresses that a policy has chosen.
func (g *Generation) AppendChosen(dst []byte, id Identity, owner []byte, typ rr.Type, ttl uint32,
) (_ []byte, made bool) {
	return g.append(&g.sets, dst, id, owner, typ, ttl)
}

func (g *Generation) append(p *pair, dst []byte, id Identity, owner []byte, typ rr.Type, ttl uint32,
) (_ []byte, made bool) {
	before := len(dst)
	lanes := g.lanes(typ)
	for i := range lanes {
		l := &lanes[i]
		signature := p.find(l.of(id))
		if signature == nil {
			return dst[:before], false
		}
		at := len(dst)
		dst = append(dst, l.head...)
		fill(dst[at:], typ, Labels(owner), ttl)
		dst = append(dst, signature[:]...)
	}
	return dst, true
}
