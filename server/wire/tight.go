package wire

import "encoding/binary"

// Tighten begins the response again, so that the caller writes it once more with every name as short as possible: also
// those in the RDATA of the types that Embedded knows, and in that of the CNAME that a DNAME stands for. The OPT record
// stays. This costs more than pointers whose targets are known without looking, so it is only for responses that would
// be truncated. Tighten returns false, and changes nothing, if the response is not truncated, was already tightened, or
// does not fit even with the shortest names.
func (b *Builder) Tighten() bool {
	if !b.Truncated() || b.tight || b.hopeless || b.Suffixes == nil {
		return false
	}
	b.n, b.counts, b.section, b.full, b.aa = b.body, [3]uint16{}, Answer, false, false
	b.tight = true
	b.Suffixes.reset(len(b.buf))
	b.Suffixes.learn(b.buf, b.buf[HeaderSize:b.body], HeaderSize)
	return true
}

// putTight puts records into a response that Tighten has begun. No pointer leads to the additional section, because
// nothing follows it.
func (b *Builder) putTight(s Section, r *RRset) bool {
	if !b.room(s, 0) {
		return false
	}
	start := b.n
	for rest := r.Data; len(rest) >= DataOffset; {
		if !b.recordTight(cutRecord(&rest), int(r.Owner), s != Additional) {
			// Suffixes learnt behind start are wrong now. They are not used: a set that does not fit here is the last.
			b.n = start
			return b.room(s, len(b.buf))
		}
	}
	b.counts[s] += r.Count
	return true
}

// recordTight writes one record, if there is room. It does not learn names in RDATA that is written in full, as that of
// a DNAME or SRV: BIND, NSD and Knot do not point there either, and so the same responses fit.
func (b *Builder) recordTight(record []byte, owner int, learn bool) bool {
	start := b.n
	before, names := Embedded(binary.BigEndian.Uint16(record[2:]))
	done := min(DataOffset+before, len(record)) // octets of the record that are done
	if !b.add(record[:done]) {
		return false
	}
	binary.BigEndian.PutUint16(b.buf[start:], 0xc000|uint16(owner))
	for range names {
		size := b.name(record[done:], learn)
		if size < 0 {
			return false
		}
		done += size
	}
	if !b.add(record[done:]) {
		return false
	}
	binary.BigEndian.PutUint16(b.buf[start+DataOffset-2:], uint16(b.n-start-DataOffset))
	return true
}

// name writes the name at the beginning of data, cut short at the longest end that the message already has. It returns
// how many octets of data the name has: 0 if there is no name, less than 0 if it does not fit.
func (b *Builder) name(data []byte, learn bool) int {
	var labels [maxLabels]uint8
	n, size := splitName(data, &labels)
	if size == 0 {
		return 0
	}
	rest, free := uint16(0), (*suffix)(nil)
	for ; n > 0; n-- {
		var at uint16
		if at, free = b.Suffixes.find(b.buf, rest, label(data, labels[n-1])); at == 0 {
			break
		}
		rest = at
	}
	at, end := b.n, size-1 // the labels to write: all, or those before the end that the message has
	if rest != 0 {
		end = 0
		if n > 0 {
			end = int(labels[n-1]) + int(data[labels[n-1]]) + 1
		}
	}
	if !b.add(data[:end]) {
		return -1
	}
	tail := [2]byte{0xc0 | byte(rest>>8), byte(rest)}
	if rest == 0 {
		tail[0] = 0
	}
	if !b.add(tail[:min(int(rest), 1)+1]) {
		return -1
	}
	for n--; learn && n >= 0; n-- {
		start := at + int(labels[n])
		if !b.Suffixes.put(free, start, rest) {
			break
		}
		if rest = uint16(start); n > 0 {
			_, free = b.Suffixes.find(b.buf, rest, label(data, labels[n-1]))
		}
	}
	return size
}

// add appends octets, if there is room.
func (b *Builder) add(data []byte) bool {
	if !b.fits(len(data)) {
		return false
	}
	b.n += copy(b.buf[b.n:], data)
	return true
}
