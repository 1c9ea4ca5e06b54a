package snapshot

import (
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// signing is what a signed zone has. It never changes, except for the signatures that the signer adds.
//
// Every RRset that an answer can have is signed before the snapshot is published: static sets, denial, and each address
// that a policy may answer with. The sets of several addresses that a policy answers with are signed when they are
// first answered (package answer).
type signing struct {
	signer *dnssec.Signer
	chain  *dnssec.Chain // the names that have NSEC or NSEC3 records
	theirs *sealed       // what the primary has signed, if the zone keeps that; nil: everything is signed here
	kept   *tree         // the primary's RRSIGs that hold here, as in Version.seals
	ttl    uint32        // of these: the SOA's or its MINIMUM, whichever is less (RFC 9077)
	soaTTL uint32        // of the SOA
	sweep  dnssec.Sweep  // of signatures no longer needed; whoever has this snapshot may end it
}

// links reports whether the node, if nothing hides it, has an NSEC or NSEC3 record. Empty non-terminals have no NSEC
// (RFC 4035 section 2.3) but do have an NSEC3 (RFC 5155 section 7.1).
func (g *signing) links(n node) bool {
	return n != nil && (n.count() > 0 || n.policy() >= 0 || g.signer.NSEC3() && n.kids() > 0)
}

// key appends the key that a name, in wire form and lower case, has in the chain.
func (z *zone) key(dst, name []byte) []byte {
	if z.signing.signer.NSEC3() {
		h := dnssec.Hash(name)
		return append(append(dst, h[:]...), name...)
	}
	var offsets [128]uint8
	return dnssec.AppendOrderKey(dst, name, offsets[:z.above(name, &offsets)])
}

// named appends the name that a key stands for.
func (z *zone) named(dst, key []byte) []byte {
	if z.signing.signer.NSEC3() {
		return append(dst, key[dnssec.HashSize:]...)
	}
	return append(dnssec.AppendKeyName(dst, key), z.origin...)
}

// hidden reports whether a cut or a DNAME above a name answers instead of it.
func (z *zone) hidden(name []byte, n node) bool {
	if z.tree.cuts+z.tree.turns == 0 {
		return false
	}
	var offsets [128]uint8
	above := offsets[:z.above(name, &offsets)]
	at := z.hider(name, above, 0, n).at
	return at > 0 // at 0 is the cut itself
}

// redirected reports whether a DNAME answers instead of a name.
func (z *zone) redirected(name []byte, n node) bool {
	var offsets [128]uint8
	above := offsets[:z.above(name, &offsets)]
	return z.hider(name, above, 0, n).typ == rr.TypeDNAME
}

// types appends the types in the bitmap of a node, except those in omit.
func (z *zone) types(s *Snapshot, n node, omit []rr.Type, dst []rr.Type) []rr.Type {
	g := z.signing
	put := func(t rr.Type) {
		for _, o := range omit {
			if o == t {
				return
			}
		}
		dst = append(dst, t)
	}
	proof, signed := rr.TypeNSEC, true
	if g.signer.NSEC3() {
		proof, signed = 0, n.count() > 0 || n.policy() >= 0
	}
	if n.cut() {
		put(rr.TypeNS)
		_, ds := n.set(rr.TypeDS)
		if ds != nil {
			put(rr.TypeDS)
		}
		signed = ds != nil || proof != 0
	} else {
		var p *steer.Policy
		if number := n.policy(); number >= 0 {
			p = s.policies[number]
			var room [2]rr.Type
			for _, t := range p.Types(s.program, n.count() == 0, room[:0]) {
				put(t)
			}
		}
		b := n.sets()
		for range n.count() {
			head := binary.LittleEndian.Uint64(b)
			switch t := rr.Type(head); {
			case t == 0: // a policy that cannot be read
				put(rr.TypeA)
				put(rr.TypeAAAA)
			case p == nil || !hides(t):
				put(t)
			}
			b = b[setHead+uint32(head>>32):]
		}
	}
	if signed {
		put(rr.TypeRRSIG)
	}
	if proof != 0 {
		put(proof)
	}
	return dst
}

// link is one record of a chain, on its way into an answer or to a signature.
type link struct {
	owner []byte    // in wire form
	data  []byte    // RDATA
	types []rr.Type // scratch
}

// fill makes the record at a key of the chain. omit are types to leave out.
func (l *link) fill(z *zone, s *Snapshot, at, next []byte, omit []rr.Type) {
	l.owner = z.named(l.owner[:0], at)
	n := z.tree.find(l.owner)
	if l.types = l.types[:0]; n != nil {
		l.types = z.types(s, n, omit, l.types)
	}
	l.lay(z, at, next, l.types)
}

// lay makes the record at a key of the chain, with a bitmap of types. It sorts types.
func (l *link) lay(z *zone, at, next []byte, types []rr.Type) {
	if z.signing.signer.NSEC3() {
		l.owner = append(dnssec.AppendHashed(l.owner[:0], at[:dnssec.HashSize]), z.origin...)
		l.data = dnssec.AppendNSEC3(l.data[:0], next)
	} else {
		l.owner = z.named(l.owner[:0], at)
		l.data = z.named(l.data[:0], next)
	}
	l.data = dnssec.AppendTypes(l.data, types)
}

// hashes reports whether the zone's denial is by NSEC3.
func (z *zone) hashes() bool {
	return z.signing != nil && z.signing.signer.NSEC3() || z.sealed != nil && z.sealed.hashing != nil
}

// proof is the type of record that the zone's chain has.
func (g *signing) proof() rr.Type {
	if g.signer.NSEC3() {
		return rr.TypeNSEC3
	}
	return rr.TypeNSEC
}

// pen signs what nodes have, in one generation.
type pen struct {
	zone       *zone
	snapshot   *Snapshot
	generation *dnssec.Generation
	link       link
	key        []byte
	data       [][]byte
	lack       lack
	err        error
}

// node signs everything that the node has and that is not signed yet. It does not sign what is hidden.
func (p *pen) node(n node) {
	z, name := p.zone, n.name()
	if p.err != nil || z.hidden(name, n) {
		return
	}
	owner := rr.Name(name)
	before := p.lack.sets
	defer func() {
		if p.lack.sets > before {
			p.lack.names = append(p.lack.names, owner)
		}
	}()
	cut := n.cut()
	n.each(func(typ rr.Type, count int, wire []byte) {
		if count == 0 || cut && typ != rr.TypeDS {
			return
		}
		p.data = p.data[:0]
		ttl := binary.BigEndian.Uint32(wire[6:])
		for range count {
			size := recordHead + int(binary.BigEndian.Uint16(wire[recordHead-2:]))
			p.data = append(p.data, wire[recordHead:size])
			wire = wire[size:]
		}
		p.vital(owner, typ, ttl, p.data)
	})
	if z.signing.links(n) {
		p.key = z.key(p.key[:0], name)
		if at, next, exact := z.signing.chain.Find(p.key); exact {
			p.link.fill(z, p.snapshot, at, next, nil)
			p.vital(rr.Name(p.link.owner), z.signing.proof(), z.signing.ttl, [][]byte{p.link.data})
			if n.policy() >= 0 && !cut && z.signing.signer.Keys().Apart() {
				p.variants(n, at, next)
			}
		}
	}
	if number := n.policy(); number >= 0 && !cut {
		policy := p.snapshot.policies[number]
		policy.Singles(p.snapshot.program, func(typ rr.Type, data []byte) {
			p.sign(owner, typ, policy.TTL, [][]byte{data})
		})
	}
}

// variants signs the records that tell some clients that a policy's name has less than it may have. A server with the
// keys signs these when they are first answered.
func (p *pen) variants(n node, at, next []byte) {
	z := p.zone
	all := p.snapshot.policies[n.policy()].Types(p.snapshot.program, n.count() == 0, nil)
	var omits [][]rr.Type
	for i := range all {
		omits = append(omits, all[i:i+1:i+1])
	}
	if len(all) > 1 {
		omits = append(omits, all)
	}
	for _, omit := range omits {
		for range 2 {
			p.link.fill(z, p.snapshot, at, next, omit)
			p.sign(rr.Name(p.link.owner), z.signing.proof(), z.signing.ttl, [][]byte{p.link.data})
			if n.count() > 0 {
				break
			}
			omit = append(omit[:len(omit):len(omit)], rr.TypeRRSIG) // for queries for signatures
		}
	}
}

// vital signs a set that the zone cannot be served without.
func (p *pen) vital(owner rr.Name, typ rr.Type, ttl uint32, data [][]byte) {
	before := p.lack.sets
	p.sign(owner, typ, ttl, data)
	p.lack.vital += p.lack.sets - before
}

func (p *pen) sign(owner rr.Name, typ rr.Type, ttl uint32, data [][]byte) {
	if p.zone.signing.seals([]byte(owner), typ) != nil {
		return
	}
	signer := p.zone.signing.signer
	id := signer.Begin([]byte(owner), typ, ttl)
	for _, d := range data {
		signer.Add(&id, d)
	}
	err := p.generation.Sign(id, dnssec.Set{Owner: owner, Type: typ, TTL: ttl, Data: data})
	switch {
	case errors.Is(err, dnssec.ErrNotHere):
		p.lack.sets++
	case err != nil:
		p.err = err
	}
}

// serially is up to how many nodes one goroutine signs them by itself.
const serially = 256

// write signs nodes in both of the signer's generations. It shares many nodes out over half of the processors, so that
// queries keep the others.
//
// The lack that it returns is for the generation in use.
func (z *zone) write(s *Snapshot, nodes func(yield func(node) bool)) (lack, error) {
	now, next := z.signing.signer.Generations()
	lacks, err := z.writeIn(s, now, nodes)
	if err != nil || next == nil {
		return lacks, err
	}
	more, err := z.writeIn(s, next, nodes)
	lacks.next = more.sets
	return lacks, err
}

func (z *zone) writeIn(s *Snapshot, g *dnssec.Generation, nodes func(yield func(node) bool)) (lack, error) {
	hands := max(1, runtime.GOMAXPROCS(0)/2)
	var wait sync.WaitGroup
	var failed atomic.Pointer[error]
	var mu sync.Mutex
	var lacks lack
	work := make(chan []node, hands)
	batch := make([]node, 0, serially)
	hand := func(p *pen, batch []node) {
		for _, n := range batch {
			p.node(n)
		}
		if p.err != nil {
			failed.Store(&p.err)
		}
		if p.lack.sets > 0 {
			mu.Lock()
			lacks.add(p.lack)
			mu.Unlock()
			p.lack = lack{}
		}
	}
	started := false
	for n := range nodes {
		if batch = append(batch, n); len(batch) < serially {
			continue
		}
		if !started {
			started = true
			for range hands {
				wait.Go(func() {
					p := &pen{zone: z, snapshot: s, generation: g}
					for batch := range work {
						hand(p, batch)
					}
				})
			}
		}
		work <- batch
		batch = make([]node, 0, serially)
	}
	close(work)
	hand(&pen{zone: z, snapshot: s, generation: g}, batch)
	wait.Wait()
	if err := failed.Load(); err != nil {
		return lacks, *err
	}
	return lacks, nil
}

// nodes yields every node of the tree.
func (t *tree) nodes(yield func(node) bool) {
	for i := range t.len() {
		more := true
		t.at(i).each(func(n node) { more = more && yield(n) })
		if !more {
			return
		}
	}
}

// Signed calls f with the signer of each signed zone, until f returns false.
func (s *Snapshot) Signed(f func(origin rr.Name, signer *dnssec.Signer) bool) {
	for _, z := range s.zones {
		if z.signing != nil && !f(z.origin, z.signing.signer) {
			return
		}
	}
}

// Prepare signs everything that a zone has, in the generation that its signer has prepared. So the slowest part of
// switching to an epoch is done before the switch. lacks is how many signatures others still have to make, for a zone
// whose keys are not here.
func (s *Snapshot) Prepare(origin rr.Name) (lacks int, err error) {
	at, ok := s.origins[origin]
	if !ok || s.zones[at].signing == nil {
		return 0, nil
	}
	z := s.zones[at]
	if _, next := z.signing.signer.Generations(); next != nil {
		l, err := z.writeIn(s, next, z.tree.nodes)
		if err != nil || l.sets > 0 {
			return l.sets, err
		}
		next.Whole()
	}
	return 0, nil
}

// Sweep ends the sweeps that have begun in signed zones, so that signatures no longer needed are dropped.
func (s *Snapshot) Sweep() error {
	for _, z := range s.zones {
		if z.signing == nil {
			continue
		}
		g := z.signing.signer.Now()
		if !g.Sweeps(z.signing.sweep) {
			continue
		}
		if _, err := z.writeIn(s, g, z.tree.nodes); err != nil {
			return err
		}
		g.Swept(z.signing.sweep)
	}
	return nil
}
