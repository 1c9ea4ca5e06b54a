package answer

import (
	"encoding/binary"
	"time"

	"leeward/server/wire"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// signing is what a worker needs for zones that are signed.
type signing struct {
	denial snapshot.Denial
	rrsig  []byte // RDATA of each RRSIG of a set
	each   int    // octets in each
	beside wire.Signed
	wild   [maxChain]expansion // what wildcards have answered, to be proven once the answer is complete
	wilds  int
	proven [3 * (maxChain + 1)]uint64 // hashes of the owners of the denial that the message already has
	proofs int
	omit   []rr.Type
	whole  []byte // scratch of signLess
	part   []byte
	broken bool // something could not be signed

	made   int       // signatures that may still be made
	filled time.Time // when made was last raised
}

// expansion is a name for which a wildcard has answered.
type expansion struct {
	wild  snapshot.Wild
	name  []byte
	owner int
}

// When a set of several addresses is first answered, a worker signs it, but only at this rate. Beyond it, the answer
// has one address of the set, since each single one is signed already.
const (
	signaturesPerSecond = 500
	signaturesAtOnce    = 250
)

// secure reports whether the zone that was found has signatures, ours or its primary's, and the query wants them.
func (w *Worker) secure() bool {
	return (w.query.DO || w.query.Type == wire.TypeRRSIG) && w.found.Secure()
}

// signer returns the signer of the zone that was found if the query wants signatures, or nil if nothing is signed here.
func (w *Worker) signer() *dnssec.Signer {
	if !w.query.DO && w.query.Type != wire.TypeRRSIG {
		return nil
	}
	return w.found.Signer()
}

// signed returns what goes with an RRset: its signatures, and the labels of an owner of which the message has only the
// last ones. It is valid until the next set.
func (w *Worker) signed(signatures, labels []byte) *wire.Signed {
	if !w.query.DO {
		signatures = nil
	}
	if signatures == nil && labels == nil {
		return nil
	}
	w.signing.beside = wire.Signed{Signatures: signatures, Each: w.signing.each, Labels: labels}
	return &w.signing.beside
}

// signSet returns the RRSIGs of a set as a zone has it. ttl is the original TTL. Everything in a snapshot is signed
// when it is published. What is not yet, because its epoch has just begun, is signed now. Where the primary's RRSIGs
// hold, it returns those.
func (w *Worker) signSet(source, set []byte, ttl uint32) []byte {
	typ := rr.Type(binary.BigEndian.Uint16(set[2:]))
	signer := w.found.Signer()
	if seals := w.seals(source, typ); signer == nil || seals != nil {
		return seals
	}
	id := signer.Begin(source, typ, ttl)
	for rest := set; len(rest) >= wire.DataOffset; {
		signer.Add(&id, cutData(&rest))
	}
	g := signer.Now()
	if !w.rrsigs(g, id, source, typ, ttl) {
		var data [][]byte
		for rest := set; len(rest) >= wire.DataOffset; {
			data = append(data, cutData(&rest))
		}
		w.sign(g, id, source, typ, ttl, data)
	}
	return w.signing.rrsig
}

// cutData removes the first of some records, and returns its RDATA.
func cutData(records *[]byte) []byte {
	all := *records
	size := min(len(all), wire.DataOffset+int(binary.BigEndian.Uint16(all[wire.DataOffset-2:])))
	*records = all[size:]
	return all[wire.DataOffset:size]
}

// seals returns the primary's RRSIGs of a set.
func (w *Worker) seals(source []byte, typ rr.Type) []byte {
	w.signing.each = 0
	return w.found.Seals(source, typ)
}

// signData does what signSet does, for one record.
func (w *Worker) signData(source []byte, typ rr.Type, ttl uint32, data []byte) []byte {
	signer := w.found.Signer()
	if seals := w.seals(source, typ); signer == nil || seals != nil {
		return seals
	}
	id := signer.Begin(source, typ, ttl)
	signer.Add(&id, data)
	g := signer.Now()
	if !w.rrsigs(g, id, source, typ, ttl) {
		w.sign(g, id, source, typ, ttl, [][]byte{data})
	}
	return w.signing.rrsig
}

// signDecided does what signSet does, for what a policy has decided. If that set is not signed, and must not be signed
// now, it replaces the decision by one that is signed.
func (w *Worker) signDecided(signer *dnssec.Signer, source []byte) []byte {
	d, g := &w.decision, signer.Now()
	if d.Count > 1 {
		width := len(d.Data) / d.Count
		id := signer.Begin(source, d.Type, d.TTL)
		for at := 0; at < len(d.Data); at += width {
			signer.Add(&id, d.Data[at:at+width])
		}
		if w.chosen(g, id, source) {
			return w.signing.rrsig
		}
		if w.mayMake() && g.Spare() {
			var data [][]byte
			for at := 0; at < len(d.Data); at += width {
				data = append(data, d.Data[at:at+width])
			}
			set := dnssec.Set{Owner: rr.Name(source), Type: d.Type, TTL: d.TTL, Data: data}
			if g.SignChosen(id, set) == nil && w.chosen(g, id, source) {
				return w.signing.rrsig
			}
		}
		if signer.Keys().Hand() == nil {
			d.Data, d.Count = d.Data[:width], 1
		}
	}
	if signer.Keys().Hand() != nil && d.Type != rr.TypeCNAME {
		return w.signLess(signer, source)
	}
	return w.signData(source, d.Type, d.TTL, d.Data)
}

// chosen does what rrsigs does, for the set of several addresses that a policy has decided on.
func (w *Worker) chosen(g *dnssec.Generation, id dnssec.Identity, source []byte) (made bool) {
	s, d := &w.signing, &w.decision
	s.each = g.SignatureLength()
	s.rrsig, made = g.AppendChosen(s.rrsig[:0], id, source, d.Type, d.TTL)
	return made
}

// mayMake reports whether the worker may make another signature.
func (w *Worker) mayMake() bool {
	s := &w.signing
	if s.made <= 0 {
		now := time.Now()
		s.made = int(min(now.Sub(s.filled).Seconds()*signaturesPerSecond, signaturesAtOnce))
		if s.made <= 0 {
			return false
		}
		s.filled = now
	}
	s.made--
	return true
}

// rrsigs lays out the RDATA of a set's RRSIGs. It is valid until the next set. rrsigs reports whether all of them
// exist.
func (w *Worker) rrsigs(g *dnssec.Generation, id dnssec.Identity, source []byte, typ rr.Type, ttl uint32) (made bool) {
	s := &w.signing
	s.each = g.SignatureLength()
	s.rrsig, made = g.AppendRRSIGs(s.rrsig[:0], id, source, typ, ttl)
	return made
}

// sign makes the signatures of a set, and lays them out as rrsigs does. If it fails, the response is given up.
func (w *Worker) sign(g *dnssec.Generation, id dnssec.Identity, source []byte, typ rr.Type, ttl uint32, data [][]byte) {
	err := g.Sign(id, dnssec.Set{Owner: rr.Name(source), Type: typ, TTL: ttl, Data: data})
	if err != nil || !w.rrsigs(g, id, source, typ, ttl) {
		w.signing.broken = true
	}
}

// alone writes the RRSIGs of a set without the set, for a query for that type.
func (w *Worker) alone(s wire.Section, owner int, ttl uint32, rrsig []byte) bool {
	if w.signing.each == 0 { // they are the primary's, as records
		count := uint16(0)
		for rest := rrsig; len(rest) > 0; count++ {
			cutData(&rest)
		}
		return w.put(s, &wire.RRset{Owner: uint16(owner), Data: rrsig, Count: count})
	}
	count := uint16(len(rrsig) / w.signing.each)
	return w.put(s, &wire.RRset{Owner: uint16(owner), Type: wire.TypeRRSIG, TTL: ttl, Data: rrsig, Count: count})
}

// noData proves that the name has nothing of the type, or none of the types that a policy withholds from this client.
func (w *Worker) noData(state *State, omit []rr.Type) {
	if w.query.Type == wire.TypeRRSIG && w.secure() {
		if p, ok := state.Snapshot.Link(&w.found, &w.signing.denial); ok { // this has a signature, if nothing else has
			w.alone(wire.Answer, w.owner, p.TTL, w.signData(p.Owner, p.Type, p.Whole, p.Data))
			w.expands()
			return
		}
		if len(omit) > 0 && w.found.Alone {
			omit = append(omit[:len(omit):len(omit)], rr.TypeRRSIG)
		}
	}
	w.negative()
	if !w.secure() {
		return
	}
	short := uint32(0)
	if len(omit) > 0 {
		short = w.found.Policy.TTL
	}
	state.Snapshot.NoData(&w.found, w.name, omit, short, &w.signing.denial)
	w.proofs(w.name, w.owner)
}

// nameError writes the proof that the name does not exist.
func (w *Worker) nameError(state *State) {
	w.negative()
	if !w.secure() {
		return
	}
	state.Snapshot.NameError(&w.found, w.name, &w.signing.denial)
	w.proofs(w.name, w.owner)
}

// proofs writes the records of denial. name is what they are about, in lower case, and at is where the message has it.
// An owner that ends like that name, or like an earlier owner, points there for its end.
func (w *Worker) proofs(name []byte, at int) {
	if w.query.Type == wire.TypeRRSIG && !w.query.DO {
		return
	}
	b, all := &w.build, w.signing.denial.Proofs
	var places [4]int // where the message has their owners; 0: nowhere
	for i := range all {
		p := &all[i]
		if w.hasProof(p.Owner) {
			continue
		}
		rrsig := w.signData(p.Owner, p.Type, p.Whole, p.Data)
		below, skip := wire.CommonEnd(p.Owner, name)
		owner := b.Suffix(at, skip)
		for j, place := range places[:min(i, len(places))] {
			k, skip := wire.CommonEnd(p.Owner, all[j].Owner)
			if suffix := b.Suffix(place, skip); place > 0 && k < below && suffix <= wire.MaxPointer {
				below, owner = k, suffix
			}
		}
		if i < len(places) {
			places[i] = b.Len()
		}
		w.put(wire.Authority, &wire.RRset{
			Owner: uint16(owner), Type: uint16(p.Type), TTL: p.TTL, Data: p.Data, Count: 1,
			Signed: w.signed(rrsig, p.Owner[:below]),
		})
	}
}

// hasProof reports whether the message already has the record of denial with that owner. Two names of a chain may need
// the same one, but an RRset must be in a message only once.
func (w *Worker) hasProof(owner []byte) bool {
	s, hash := &w.signing, w.found.HashOf(owner)
	for _, h := range s.proven[:s.proofs] {
		if h == hash {
			return true
		}
	}
	if s.proofs < len(s.proven) {
		s.proven[s.proofs] = hash
		s.proofs++
	}
	return false
}

// expands notes that a wildcard has answered, if that must be proven.
func (w *Worker) expands() {
	if w.found.Encloser != 0 && w.query.DO { // this much is compiled into the query path
		w.expanded()
	}
}

func (w *Worker) expanded() {
	if !w.secure() || w.signing.wilds == maxChain {
		return
	}
	w.signing.wild[w.signing.wilds] = expansion{w.found.Wild(), w.name, w.owner}
	w.signing.wilds++
}

// expansions proves what wildcards have answered so far. Proofs belong in the authority section, so they must come
// before the first additional record: afterwards that section is closed.
func (w *Worker) expansions(state *State) {
	if w.signing.wilds == 0 {
		return
	}
	last := w.found.Wild()
	for i := range w.signing.wilds {
		x := &w.signing.wild[i]
		w.found.Again(x.wild)
		state.Snapshot.Expanded(&w.found, x.name, &w.signing.denial)
		w.proofs(x.name, x.owner)
	}
	w.found.Again(last)
	w.signing.wilds = 0
}

// link answers a question for the NSEC record of a name, and reports whether there is one.
func (w *Worker) link(state *State) bool {
	if w.query.Type != wire.TypeNSEC || !w.found.Secure() {
		return false
	}
	p, ok := state.Snapshot.Link(&w.found, &w.signing.denial)
	if !ok {
		return false
	}
	rrsig := w.signData(p.Owner, p.Type, p.Whole, p.Data)
	w.put(wire.Answer, &wire.RRset{
		Owner: uint16(w.owner), Type: uint16(p.Type), TTL: p.TTL, Data: p.Data, Count: 1, Signed: w.signed(rrsig, nil),
	})
	w.expands()
	return true
}

// delegation writes the DS records of the cut at an offset of the name, or proves that there are none.
func (w *Worker) delegation(state *State, cut int) {
	if !w.secure() || !w.query.DO {
		return
	}
	ds := state.Snapshot.Delegation(&w.found, w.name, cut, &w.signing.denial)
	if ds.Count == 0 {
		w.proofs(w.name, w.owner)
		return
	}
	w.static(wire.Authority, &ds, w.name[cut:])
}

// any reports whether one RRset of any type will do for the question (RFC 8482). That includes questions for signatures
// alone. In an unsigned zone, RRSIG is a type like any other that no name has.
func (w *Worker) any() bool {
	return w.query.Type == wire.TypeANY || w.query.Type == wire.TypeRRSIG && w.found.Secure()
}

// withheld returns the types of its name that a policy leaves out when it answers nothing: the type that was asked for,
// or all of them.
func (w *Worker) withheld(state *State) []rr.Type {
	if w.signer() == nil {
		return nil
	}
	w.signing.omit = w.found.Types(state.Snapshot, w.signing.omit[:0])
	all := w.signing.omit
	if w.decision.Says == steer.SaysAddresses {
		for i, t := range all {
			if uint16(t) == w.query.Type {
				return all[i : i+1]
			}
		}
		if !w.any() && !w.found.Policy.Alias {
			return nil
		}
	}
	return all
}
