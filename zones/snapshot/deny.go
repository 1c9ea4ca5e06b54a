package snapshot

import (
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// Proof is a record that proves that something does not exist: an NSEC or an NSEC3.
type Proof struct {
	Owner []byte // in wire form and lower case
	Type  rr.Type
	TTL   uint32 // seconds, as served
	Whole uint32 // seconds; the original TTL, as signed
	Data  []byte // RDATA
}

// Denial is the records that prove one negative answer. The caller owns it and may reuse it. It grows to what it needs.
type Denial struct {
	Proofs []Proof

	links [3]link
	key   []byte
	name  []byte
}

// Signer returns the signer of the zone that answers, or nil if the zone is not signed here. The outcome must not be
// Refused.
func (a *Answer) Signer() *dnssec.Signer {
	if a.in == nil || a.in.signing == nil {
		return nil
	}
	return a.in.signing.signer
}

// Source returns the name that holds what answers, in wire form and lower case: the name that was looked up, or a
// wildcard. It is set for the outcomes Positive, Steered, Alias and NoData.
func (a *Answer) Source() []byte { return a.source }

// SOATTL returns the original TTL of the SOA, as signed, if the zone is signed here; otherwise 0.
func (a *Answer) SOATTL() uint32 {
	if a.in.signing == nil {
		return 0
	}
	return a.in.signing.soaTTL
}

// Wild is a look-up that a wildcard answered, reduced to what its proof needs.
type Wild struct {
	in             *zone
	zone, encloser int
}

// Wild returns the Wild of the look-up.
func (a *Answer) Wild() Wild { return Wild{a.in, a.Zone, a.Encloser} }

// Again sets the answer to that of an earlier look-up, as far as its proof needs it.
func (a *Answer) Again(w Wild) { a.in, a.Zone, a.Encloser = w.in, w.zone, w.encloser }

// Types appends the types that, by configuration, the policy that answers may have at its name.
func (a *Answer) Types(s *Snapshot, dst []rr.Type) []rr.Type {
	if a.Policy == nil {
		return dst
	}
	return a.Policy.Types(s.program, a.Alone, dst)
}

// begin prepares for the proofs of a look-up.
func (d *Denial) begin() { d.Proofs = d.Proofs[:0] }

// add adds the record at a name or, if there is none, the one that covers the name. It adds no record twice.
func (d *Denial) add(z *zone, s *Snapshot, name []byte, omit []rr.Type) {
	g := z.signing
	if g.chain.Len() == 0 || len(d.Proofs) == len(d.links) {
		return
	}
	d.key = z.key(d.key[:0], name)
	at, next, exact := g.chain.Find(d.key)
	if !exact {
		omit = nil // the record says nothing about types of the name itself
	}
	l := &d.links[len(d.Proofs)]
	l.fill(z, s, at, next, omit)
	for i := range d.Proofs {
		if string(d.Proofs[i].Owner) != string(l.owner) {
			continue
		}
		if len(omit) > 0 { // without omit it proves the same for other names
			d.links[i].fill(z, s, at, next, omit)
			d.Proofs[i].Data = d.links[i].data
		}
		return
	}
	p := Proof{
		Owner: l.owner, Type: g.proof(), TTL: g.ttl, Whole: g.ttl, Data: l.data,
	}
	d.Proofs = append(d.Proofs, p)
}

// NoData proves that the name that was looked up has no records of a type. omit are types that a policy leaves out for
// now. The name must be in lower case. short is for how many seconds the answer is valid at most; 0: as long as any
// other.
func (s *Snapshot) NoData(a *Answer, name []byte, omit []rr.Type, short uint32, d *Denial) {
	d.begin()
	z := a.in
	if z.sealed != nil {
		z.sealed.noData(d, a, name)
		return
	}
	source := a.source
	if a.Encloser > 0 { // a wildcard answers: also prove that there is nothing closer
		s.expanded(a, name, d)
		if z.signing.signer.NSEC3() {
			d.add(z, s, name[a.Encloser:], nil)
		}
	}
	d.add(z, s, source, omit)
	if short > 0 {
		for i := range d.Proofs {
			d.Proofs[i].TTL = min(d.Proofs[i].TTL, short)
		}
	}
}

// Expanded proves that the name that a wildcard answered for does not exist by itself (RFC 4035 section 3.1.3.3, RFC
// 5155 section 7.2.6).
func (s *Snapshot) Expanded(a *Answer, name []byte, d *Denial) {
	d.begin()
	if a.in.sealed != nil {
		a.in.sealed.expanded(d, a, name)
		return
	}
	s.expanded(a, name, d)
}

func (s *Snapshot) expanded(a *Answer, name []byte, d *Denial) {
	if !a.in.signing.signer.NSEC3() {
		d.add(a.in, s, name, nil)
		return
	}
	d.add(a.in, s, name[closer(name, a.Encloser):], nil)
}

// closer returns where the name begins that has one label more than the one beginning at encloser.
func closer(name []byte, encloser int) (at int) {
	for next := int(name[0]) + 1; next < encloser; next += int(name[next]) + 1 {
		at = next
	}
	return at
}

// NameError proves that neither the name that was looked up nor a wildcard for it exists (RFC 4035 section 3.1.3.2, RFC
// 5155 section 7.2.2). The name must be in lower case.
func (s *Snapshot) NameError(a *Answer, name []byte, d *Denial) {
	d.begin()
	z := a.in
	encloser := a.Zone
	var offsets [128]uint8
	above := offsets[:z.above(name, &offsets)]
	if found, _ := z.tree.closest(name, above, a.Zone); found < len(above) {
		encloser = int(above[found])
	}
	if z.sealed != nil {
		z.sealed.nameError(d, z, name, encloser)
		return
	}
	d.name = append(append(d.name[:0], 1, '*'), name[encloser:]...)
	if z.signing.signer.NSEC3() {
		d.add(z, s, name[encloser:], nil)
		d.add(z, s, name[closer(name, encloser):], nil)
	} else {
		d.add(z, s, name, nil)
	}
	d.add(z, s, d.name, nil)
}

// Delegation returns the DS records of the cut at an offset of the name that was looked up. If there are none, d proves
// that (RFC 4035 section 3.1.4).
func (s *Snapshot) Delegation(a *Answer, name []byte, cut int, d *Denial) (ds Set) {
	d.begin()
	n := a.in.tree.find(name[cut:])
	if n == nil {
		return Set{}
	}
	if count, wire := n.set(rr.TypeDS); count > 0 {
		return Set{Wire: wire, Count: count, Owner: cut}
	}
	if a.in.sealed != nil {
		a.in.sealed.insecure(d, a.in, name[cut:])
		return Set{}
	}
	d.add(a.in, s, name[cut:], nil)
	return Set{}
}

// Link returns the NSEC record at the name that was looked up, for queries for that type. ok is false at an empty
// non-terminal, and everywhere in a zone with NSEC3.
func (s *Snapshot) Link(a *Answer, d *Denial) (p Proof, ok bool) {
	d.begin()
	if g := a.in.sealed; g != nil {
		if g.hashing == nil && g.has(d, a.in, a.source) {
			g.prove(d, a.in, a.source)
		}
		return d.first()
	}
	if a.in.signing.signer.NSEC3() || !a.in.signing.links(a.in.tree.find(a.source)) {
		return Proof{}, false
	}
	d.add(a.in, s, a.source, nil)
	return d.first()
}

func (d *Denial) first() (p Proof, ok bool) {
	if len(d.Proofs) == 0 {
		return Proof{}, false
	}
	return d.Proofs[0], true
}
