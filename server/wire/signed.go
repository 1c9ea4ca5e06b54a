package wire

import "encoding/binary"

// Signed has the signatures of an RRset in a signed zone.
type Signed struct {
	// Signatures are the RDATA of the RRSIGs of the set, one after the other; nil: there are none. Set and signatures
	// go in together or not at all. Their TTL is the set's (RFC 4034 section 3).
	Signatures []byte
	Each       int // octets of each of the Signatures; 0: they are whole records as a zone has them
	// Labels are the first labels of the owner, in wire form, if the message has only the rest of it, at Owner. Only a
	// single record that is made can have them.
	Labels []byte
}

// putSigned puts an RRset that has signatures, or an owner of which the message has only the end. The set's records and
// the signatures go in together: room for the signatures is set aside while the records are put.
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
		for n := len(all); n > 0; n -= each { // nearly always one
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

// putBelow makes and puts one record with an owner below the name at Owner.
func (b *Builder) putBelow(s Section, r *RRset) bool {
	if !b.room(s, b.ownerSize(r)+recordFixed+len(r.Data)) {
		return false
	}
	b.n += b.copyOwner(r)
	b.record(r.Type, r.TTL, r.Data)
	b.counts[s]++
	return true
}

// ownerSize returns the size of the owner if no pointer reaches all of it.
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

// record writes the part of a record of class IN after its owner. There must be room.
func (b *Builder) record(typ uint16, ttl uint32, data []byte) {
	fixed := b.buf[b.n : b.n+recordFixed]
	binary.BigEndian.PutUint16(fixed, typ)
	binary.BigEndian.PutUint16(fixed[2:], ClassIN)
	binary.BigEndian.PutUint32(fixed[4:], ttl)
	binary.BigEndian.PutUint16(fixed[8:], uint16(len(data)))
	b.n += recordFixed
	b.n += copy(b.buf[b.n:], data)
}
