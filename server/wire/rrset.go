package wire

import "encoding/binary"

// RRset is a set of records with one owner and one type (RFC 2181 section 5), on its way into a message. It comes in
// one of two forms:
//
//	Type 0      Data is records as a zone has them, ready to be copied: each begins with two octets that become the
//	            pointer to the owner
//	other Type  Data is the RDATA of records that are made for this response, of one size, one after the other
//
// It is small, because one is made for each set of each response. Unused fields are zero.
type RRset struct {
	Owner uint16 // where the owner's name is in the message: QName, or in RDATA written earlier
	Count uint16 // of records
	Type  uint16
	// for records of one size: the number of the record to begin with; after the last one the first follows
	First uint16
	TTL   uint32 // seconds, for records that are made here
	Data  []byte

	// Names in the RDATA are cut where their rest is also an end of Name, a name in wire form that the message has at
	// NameAt, or of an earlier name of the set. Case must match. The type is one that Embedded knows.
	NameAt uint16
	Name   []byte

	Short *Short // the same record, shorter; nil: there is none

	Signed *Signed // signatures of the set, in a signed zone; nil: none
}

// Short is one record in which names in the RDATA are cut short at the owner. Each of Links that is not 0 is the place
// of two octets that become the pointer to it.
type Short struct {
	Record []byte
	Links  [2]uint16
}

// Put appends an RRset, whole or not at all, and reports whether it went in. Records get into a message only here, so
// the signatures of an RRset are counted and written together with it.
//
// If no pointer reaches the owner, it is written in full (RFC 1035 section 4.1.4).
func (b *Builder) Put(s Section, r *RRset) bool {
	switch {
	case r.Signed != nil:
		return b.putSigned(s, r)
	case r.Type != 0:
		return b.putData(s, r)
	case r.Owner > MaxPointer:
		return b.putInFull(s, r)
	case b.tight:
		return b.putTight(s, r)
	case r.Short != nil:
		return b.putLinked(s, r)
	case r.Name != nil:
		return b.putShort(s, r)
	case r.First > 0 && r.First < r.Count && b.fits(len(r.Data)):
		cut := len(r.Data) / int(r.Count) * int(r.First)
		return b.copy(s, r.Data[cut:], r.Count-r.First, r.Owner) && b.copy(s, r.Data[:cut], r.First, r.Owner)
	}
	return b.copy(s, r.Data, r.Count, r.Owner)
}

// copy puts records unchanged, except that their owners become pointers.
func (b *Builder) copy(s Section, records []byte, count, owner uint16) bool {
	if !b.room(s, len(records)) {
		b.least(len(records))
		return false
	}
	at := b.n
	b.n += copy(b.buf[at:], records)
	pointer := 0xc000 | owner
	for range count {
		if at+DataOffset > b.n {
			break
		}
		binary.BigEndian.PutUint16(b.buf[at:], pointer)
		at += DataOffset + int(binary.BigEndian.Uint16(b.buf[at+DataOffset-2:]))
	}
	b.counts[s] += count
	return true
}

// putInFull puts records with the owner in full, because no pointer reaches it.
func (b *Builder) putInFull(s Section, r *RRset) bool {
	name := b.nameAt(int(r.Owner))
	if !b.room(s, len(r.Data)+int(r.Count)*(len(name)-2)) {
		return false
	}
	for rest := r.Data; len(rest) >= DataOffset; {
		record := cutRecord(&rest)
		b.n += copy(b.buf[b.n:], name)
		b.n += copy(b.buf[b.n:], record[2:])
	}
	b.counts[s] += r.Count
	return true
}

// putLinked puts the short form of a record.
func (b *Builder) putLinked(s Section, r *RRset) bool {
	if !b.room(s, len(r.Short.Record)) {
		return false
	}
	at := b.n
	b.n += copy(b.buf[at:], r.Short.Record)
	pointer := 0xc000 | r.Owner
	binary.BigEndian.PutUint16(b.buf[at:], pointer)
	for _, l := range r.Short.Links {
		if l != 0 {
			binary.BigEndian.PutUint16(b.buf[at+int(l):], pointer)
		}
	}
	b.counts[s]++
	return true
}

// putShort puts records and cuts names in their RDATA short.
func (b *Builder) putShort(s Section, r *RRset) bool {
	if !b.room(s, 0) {
		return false
	}
	before, names := Embedded(binary.BigEndian.Uint16(r.Data[2:]))
	known := [1 + mostEnds]placed{{r.Name, int(r.NameAt)}}
	n, start := 1, b.n
	for rest := r.Data; len(rest) >= DataOffset; {
		record := cutRecord(&rest)
		at, done := b.n, min(DataOffset+before, len(record)) // octets of the record that are done
		fits := b.add(record[:done])
		for i := 0; fits && i < names; i++ {
			size, whole := nameSize(record[done:])
			name, where := record[done:done+size], b.n
			if done += size; !whole {
				fits = b.add(name)
				continue
			}
			var of int
			if of, fits = b.short(name, known[:n]); of <= 0 && n < len(known) { // later names may have the same end
				known[n] = placed{name, where}
				n++
			}
		}
		if !fits || !b.add(record[done:]) {
			b.n = start
			b.room(s, len(b.buf))
			b.least(leastSize(r.Data, before, names))
			return false
		}
		binary.BigEndian.PutUint16(b.buf[at:], 0xc000|r.Owner)
		binary.BigEndian.PutUint16(b.buf[at+DataOffset-2:], uint16(b.n-at-DataOffset))
	}
	b.counts[s] += r.Count
	return true
}

// leastSize returns the size of records in which each name in the RDATA is only a pointer.
func leastSize(records []byte, before, names int) int {
	least := len(records)
	for len(records) >= DataOffset {
		record := cutRecord(&records)
		record = record[min(DataOffset+before, len(record)):]
		for range names {
			size, _ := nameSize(record)
			least -= max(size-2, 0)
			record = record[size:]
		}
	}
	return least
}

// putData makes and puts records of class IN.
func (b *Builder) putData(s Section, r *RRset) bool {
	if r.Type == TypeCNAME && (b.tight || r.Name != nil) {
		return b.putAlias(s, r)
	}
	var name []byte // the owner, if no pointer reaches it
	ownerSize := 2
	if r.Owner > MaxPointer {
		name = b.nameAt(int(r.Owner))
		ownerSize = len(name)
	}
	width := len(r.Data)
	if r.Count > 1 {
		width /= int(r.Count)
	}
	if !b.room(s, int(r.Count)*(ownerSize+recordFixed)+len(r.Data)) {
		b.least(int(r.Count)*DataOffset + len(r.Data))
		return false
	}
	for i := range int(r.Count) {
		if name == nil {
			binary.BigEndian.PutUint16(b.buf[b.n:], 0xc000|r.Owner)
		} else {
			copy(b.buf[b.n:], name)
		}
		b.n += ownerSize
		rest := b.buf[b.n : b.n+recordFixed+width]
		binary.BigEndian.PutUint16(rest, r.Type)
		binary.BigEndian.PutUint16(rest[2:], ClassIN)
		binary.BigEndian.PutUint32(rest[4:], r.TTL)
		binary.BigEndian.PutUint16(rest[8:], uint16(width))
		if data := r.Data[i*width : (i+1)*width]; width == 4 { // most are, so avoid a call
			binary.NativeEndian.PutUint32(rest[recordFixed:], binary.NativeEndian.Uint32(data))
		} else {
			copy(rest[recordFixed:], data)
		}
		b.n += len(rest)
	}
	b.counts[s] += r.Count
	return true
}

// putAlias makes a CNAME and cuts its target short.
func (b *Builder) putAlias(s Section, r *RRset) bool {
	if !b.room(s, 0) {
		return false
	}
	start := b.n
	owner := []byte{0xc0 | byte(r.Owner>>8), byte(r.Owner)}
	if r.Owner > MaxPointer {
		owner = b.nameAt(int(r.Owner))
	}
	var fixed [recordFixed]byte
	binary.BigEndian.PutUint16(fixed[:], r.Type)
	binary.BigEndian.PutUint16(fixed[2:], ClassIN)
	binary.BigEndian.PutUint32(fixed[4:], r.TTL)
	ok := b.add(owner) && b.add(fixed[:])
	at := b.n
	if ok && b.tight {
		ok = b.name(r.Data, true) >= 0
	} else if ok {
		_, ok = b.short(r.Data, []placed{{r.Name, int(r.NameAt)}})
	}
	if !ok {
		b.n = start
		b.room(s, len(b.buf))
		b.least(DataOffset + 2)
		return false
	}
	binary.BigEndian.PutUint16(b.buf[at-2:], uint16(b.n-at))
	b.counts[s]++
	return true
}

// cutRecord cuts the first record off.
func cutRecord(records *[]byte) []byte {
	all := *records
	size := min(len(all), DataOffset+int(binary.BigEndian.Uint16(all[DataOffset-2:])))
	*records = all[size:]
	return all[:size]
}

// Embedded returns where the RDATA of a type has names that may be compressed (RFC 3597 section 4): how many octets
// come before them, and how many names there are. The number is 0 for all other types.
func Embedded(typ uint16) (before, names int) {
	switch typ {
	case TypeNS, TypeCNAME, TypePTR, TypeMD, TypeMF, TypeMB, TypeMG, TypeMR:
		return 0, 1
	case TypeMX:
		return 2, 1
	case TypeSOA, TypeMINFO:
		return 0, 2
	}
	return 0, 0
}

// nameSize returns the length of the uncompressed name at the beginning of data. If data does not begin with a name,
// whole is false and the length is that of data.
func nameSize(data []byte) (size int, whole bool) {
	for at := 0; at < len(data) && data[at] < 64; at += int(data[at]) + 1 {
		if data[at] == 0 {
			return at + 1, true
		}
	}
	return len(data), false
}
