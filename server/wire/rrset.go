package wire

import (
	"bytes"
	"encoding/binary"
)

// RRset is a set of records with one owner and one type (RFC 2181 section 5), on its way into a message. It comes in
// one of two forms:
//
//	Type 0      Data is records as a zone has them, ready to be copied: each begins with two octets that become the
//	            pointer to the owner
//	other Type  Data is the RDATA of records that are made for this response, of one size, one after the other
//
// It is small, as one is made for each set of each response. Fields that are not used are zero.
type RRset struct {
	Owner uint16 // where the owner's name is in the message: QName, or RDATA that was written before
	Count uint16 // of records
	Type  uint16
	// of records that have one size: the number of the one that comes first, the others after it, around the end
	First uint16
	TTL   uint32 // seconds, of records that are made
	Data  []byte

	// Names in the RDATA of records that end in Suffix are cut short there. It is a name in wire form that the message
	// has at SuffixAt, and matches names that are in its case. The type is one that Embedded knows.
	SuffixAt uint16
	Suffix   []byte

	Short *Short // the same record, shorter; nil: there is none

	Signed *Signed // what the set has in a zone that is signed; nil: nothing
}

// Short is one record in which names in the RDATA are cut short at the owner: at each of Links that is not 0 are two
// octets that become the pointer to it.
type Short struct {
	Record []byte
	Links  [2]uint16
}

// Put appends an RRset, whole or not at all, and reports whether it went in. It is the one way into a message for
// records: what belongs to an RRset, as its signature does, is counted and written here beside it.
//
// An owner that no pointer reaches is written in full (RFC 1035 section 4.1.4).
func (b *Builder) Put(s Section, r *RRset) bool {
	switch {
	case r.Signed != nil:
		return b.putSigned(s, r)
	case r.Type != 0:
		return b.putData(s, r)
	case r.Owner > maxPointer:
		return b.putInFull(s, r)
	case b.tight:
		return b.putTight(s, r)
	case r.Short != nil:
		return b.putLinked(s, r)
	case len(r.Suffix) > 2 && r.SuffixAt <= maxPointer:
		return b.putShort(s, r)
	case r.First > 0 && r.First < r.Count && b.fits(len(r.Data)):
		cut := len(r.Data) / int(r.Count) * int(r.First)
		return b.copy(s, r.Data[cut:], r.Count-r.First, r.Owner) && b.copy(s, r.Data[:cut], r.First, r.Owner)
	}
	return b.copy(s, r.Data, r.Count, r.Owner)
}

// copy puts records as they are, and makes their owners pointers.
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

// putInFull puts records whose owner no pointer reaches.
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

// putShort puts records and cuts names short at Suffix. How much shorter they are is worked out only where that
// matters.
func (b *Builder) putShort(s Section, r *RRset) bool {
	before, names := Embedded(binary.BigEndian.Uint16(r.Data[2:]))
	if size, least := len(r.Data), len(r.Data); !b.fits(size) {
		for rest := r.Data; len(rest) >= DataOffset; {
			record := cutRecord(&rest)
			for at, i := DataOffset+before, 0; i < names; i++ {
				length, cut := embedded(record[min(at, len(record)):], r.Suffix)
				if cut {
					size -= len(r.Suffix) - 2
				}
				least -= max(length-2, 0)
				at += length
			}
		}
		if !b.room(s, size) {
			b.least(least)
			return false
		}
	} else if !b.room(s, 0) {
		return false
	}
	pointer := 0xc000 | r.Owner
	for rest := r.Data; len(rest) >= DataOffset; {
		record := cutRecord(&rest)
		start := b.n
		done := min(DataOffset+before, len(record)) // octets of the record that are dealt with
		b.n += copy(b.buf[b.n:], record[:done])
		binary.BigEndian.PutUint16(b.buf[start:], pointer)
		for range names {
			length, cut := embedded(record[done:], r.Suffix)
			if !cut {
				b.n += copy(b.buf[b.n:], record[done:done+length])
			} else {
				b.n += copy(b.buf[b.n:], record[done:done+length-len(r.Suffix)])
				binary.BigEndian.PutUint16(b.buf[b.n:], 0xc000|r.SuffixAt)
				b.n += 2
			}
			done += length
		}
		b.n += copy(b.buf[b.n:], record[done:])
		binary.BigEndian.PutUint16(b.buf[start+DataOffset-2:], uint16(b.n-start-DataOffset))
	}
	b.counts[s] += r.Count
	return true
}

// putData makes records of class IN. Of a CNAME the name is cut short in a response that is tight.
func (b *Builder) putData(s Section, r *RRset) bool {
	var name []byte // of the owner, where no pointer reaches it
	ownerSize := 2
	if r.Owner > maxPointer {
		name = b.nameAt(int(r.Owner))
		ownerSize = len(name)
	}
	width, least := len(r.Data), len(r.Data)
	if r.Count > 1 {
		width /= int(r.Count)
	}
	tight, size := false, least
	if r.Type == TypeCNAME {
		if least, tight = 2, b.tight; tight {
			width, size = 0, least
		}
	}
	if !b.room(s, int(r.Count)*(ownerSize+recordFixed)+size) {
		b.least(int(r.Count)*DataOffset + least)
		return false
	}
	start := b.n
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
		if data := r.Data[i*width : (i+1)*width]; width == 4 { // without a call, as most are
			binary.NativeEndian.PutUint32(rest[recordFixed:], binary.NativeEndian.Uint32(data))
		} else {
			copy(rest[recordFixed:], data)
		}
		b.n += len(rest)
	}
	if tight {
		at := b.n
		if b.name(r.Data, true) < 0 {
			b.n = start
			return b.room(s, len(b.buf))
		}
		binary.BigEndian.PutUint16(b.buf[at-2:], uint16(b.n-at))
	}
	b.counts[s] += r.Count
	return true
}

// cutRecord takes the first of records off.
func cutRecord(records *[]byte) []byte {
	all := *records
	size := min(len(all), DataOffset+int(binary.BigEndian.Uint16(all[DataOffset-2:])))
	*records = all[size:]
	return all[:size]
}

// Embedded says where names are in the RDATA of the types that may have them compressed (RFC 3597 section 4): after how
// many octets, and how many one after the other; 0 for all other types.
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

// embedded returns the length of the uncompressed name that data begins with, and whether it ends in the suffix.
func embedded(data, suffix []byte) (length int, cut bool) {
	for at := 0; at < len(data); at += int(data[at]) + 1 {
		if data[at] == suffix[0] && bytes.HasPrefix(data[at:], suffix) {
			return at + len(suffix), true
		}
		if data[at] == 0 {
			return at + 1, false
		}
	}
	return len(data), false
}
