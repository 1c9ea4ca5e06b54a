package wire

import "encoding/binary"

// Signed is what an RRset has in a zone that is signed.
type Signed struct {
	// Signatures are the RDATA of the RRSIGs of the set, one after the other, which go in with it or keep it out; nil:
	// there are none. Their TTL is the set's (RFC 4034 section 3).
	Signatures []byte
	Each       int // octets of each of the Signatures; 0: these are records as a zone has them
	// Labels come before the name at Owner, in wire form, where the message has only the end of the owner. One record
	// that is made may have them.
	Labels []byte
}

// putSigned puts an RRset that has signatures, or an owner that the message has only the end of. The set's records and
// the signatures go in together: room for the one is set aside while the others are put.
func (b *Builder) putSigned(s Section, r *RRset) bool {
	owner, name := int(r.Owner), 2 // octets of the owner of each record
	if len(r.Signed.Labels) > 0 {
		owner = b.n // where its first record will be
	}
	if owner > MaxPointer {
		name = b.ownerSize(r)
	}
	aside := 0
	all, each := r.Signed.Signatures, r.Signed.Each
	if each > 0 {
		for n := len(all); n > 0; n -= each { // one nearly always
			aside += each + name + recordFixed
		}
	} else {
		for rest := all; len(rest) > 0; {
			aside += len(cutRecord(&rest)) - DataOffset + name + recordFixed
		}
	}
	b.reserved += aside
	before := b.counts[s]
	var ok bool
	if len(r.Signed.Labels) > 0 {
		ok = b.putBelow(s, r)
	} else {
		bare := *r
		bare.Signed = nil
		ok = b.Put(s, &bare)
	}
	b.reserved -= aside
	if !ok || aside == 0 || b.counts[s] == before {
		return ok
	}
	ttl := r.TTL
	if r.Type == 0 {
		ttl = binary.BigEndian.Uint32(r.Data[6:])
	}
	for len(all) > 0 {
		var data []byte
		if each > 0 {
			data, all = all[:each], all[each:]
		} else {
			data = cutRecord(&all)[DataOffset:]
		}
		if owner > MaxPointer {
			b.n += b.copyOwner(r)
		} else {
			binary.BigEndian.PutUint16(b.buf[b.n:], 0xc000|uint16(owner))
			b.n += 2
		}
		b.record(TypeRRSIG, ttl, data)
		b.counts[s]++
	}
	return true
}

// putBelow puts one record that is made, with an owner that is below the name at Owner.
func (b *Builder) putBelow(s Section, r *RRset) bool {
	if !b.room(s, b.ownerSize(r)+recordFixed+len(r.Data)) {
		return false
	}
	b.n += b.copyOwner(r)
	b.record(r.Type, r.TTL, r.Data)
	b.counts[s]++
	return true
}

// ownerSize returns how many octets the owner takes where no pointer reaches all of it.
func (b *Builder) ownerSize(r *RRset) int {
	if r.Owner > MaxPointer {
		return len(r.Signed.Labels) + len(b.nameAt(int(r.Owner)))
	}
	return len(r.Signed.Labels) + 2
}

// copyOwner writes the owner there, and returns its size. There must be room.
func (b *Builder) copyOwner(r *RRset) int {
	n := copy(b.buf[b.n:], r.Signed.Labels)
	if r.Owner > MaxPointer {
		return n + copy(b.buf[b.n+n:], b.nameAt(int(r.Owner)))
	}
	binary.BigEndian.PutUint16(b.buf[b.n+n:], 0xc000|r.Owner)
	return n + 2
}

// record writes what follows the owner of a record of class IN. There must be room.
func (b *Builder) record(typ uint16, ttl uint32, data []byte) {
	fixed := b.buf[b.n : b.n+recordFixed]
	binary.BigEndian.PutUint16(fixed, typ)
	binary.BigEndian.PutUint16(fixed[2:], ClassIN)
	binary.BigEndian.PutUint32(fixed[4:], ttl)
	binary.BigEndian.PutUint16(fixed[8:], uint16(len(data)))
	b.n += recordFixed
	b.n += copy(b.buf[b.n:], data)
}
