package wire

// Suffixes remembers where names are in a message, so that each later name can be cut short at the longest end that the
// message already has (RFC 1035 section 4.1.4). It is a tree laid out as a hash table. An entry is one label; its key
// is the label and the place of the rest of its name. So a name is looked up from its last label to its first, each in
// one step, and is compared with nothing else.
//
// Upper and lower case are the same (RFC 4343): a name may come out in the case of an earlier one.
//
// It has a fixed size. For a UDP response it has room for every label, because each takes at least two octets. In a
// long response over TCP, there are no pointers to labels that did not find room.
type Suffixes struct {
	slots [1 << 12]suffix
	mask  uint32 // of the slots in use
	used  int
}

// suffix is a label with the rest of its name.
type suffix struct {
	at   uint16 // where it is; 0 in a free slot, because no name is in the header
	rest uint16 // where the rest was first; 0 for the root
}

// reset forgets all names, for a message of at most limit octets.
func (x *Suffixes) reset(limit int) {
	size := 64
	for size < len(x.slots) && size < limit {
		size *= 2
	}
	clear(x.slots[:size])
	x.mask, x.used = uint32(size-1), 0
}

// find returns where the message has the label, with its length octet, before that rest. If it does not have it, at is
// 0 and free is the slot for it.
func (x *Suffixes) find(message []byte, rest uint16, label []byte) (at uint16, free *suffix) {
	h := uint32(rest) * 0x9e3779b1
	for _, c := range label {
		h = (h ^ uint32(fold(c))) * 0x01000193
	}
	for i := (h ^ h>>15) & x.mask; ; i = (i + 1) & x.mask {
		s := &x.slots[i]
		if s.at == 0 {
			return 0, s
		}
		if s.rest == rest && sameLabel(message[s.at:], label) {
			return s.at, nil
		}
	}
}

// put fills a free slot. It reports whether there was room and a pointer reaches the label.
func (x *Suffixes) put(free *suffix, at int, rest uint16) bool {
	if at > MaxPointer || x.used > int(x.mask)*3/4 {
		return false
	}
	free.at, free.rest = uint16(at), rest
	x.used++
	return true
}

// learn adds a name that is written in full at that offset.
func (x *Suffixes) learn(message, name []byte, at int) {
	var labels [maxLabels]uint8
	n, _ := splitName(name, &labels)
	rest := uint16(0)
	for i := n - 1; i >= 0; i-- {
		found, free := x.find(message, rest, label(name, labels[i]))
		if found == 0 {
			if !x.put(free, at+int(labels[i]), rest) {
				return
			}
			found = uint16(at + int(labels[i]))
		}
		rest = found
	}
}

const maxLabels = MaxName / 2

// splitName returns where the labels of a name begin, and its size with the root label; 0 if it has no end or is too
// long for a name.
func splitName(name []byte, labels *[maxLabels]uint8) (n, size int) {
	for at := 0; at < len(name) && at < MaxName; at += int(name[at]) + 1 {
		switch c := name[at]; {
		case c == 0:
			return n, at + 1
		case c > 63 || n == maxLabels:
			return 0, 0
		}
		labels[n] = uint8(at)
		n++
	}
	return 0, 0
}

// label is the label that begins there, with its length octet.
func label(name []byte, at uint8) []byte { return name[at : int(at)+1+int(name[at])] }

func fold(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// sameLabel reports whether data begins with the label.
func sameLabel(data, label []byte) bool {
	if len(data) < len(label) {
		return false
	}
	for i, c := range label {
		if fold(data[i]) != fold(c) {
			return false
		}
	}
	return true
}
