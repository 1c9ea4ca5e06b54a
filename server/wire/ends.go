package wire

// placed is a name in full, in wire form, and where the message has it.
type placed struct {
	name []byte
	at   int
}

// mostEnds is how many names of a set later ones are cut short at. More would cost more than they save: the names of a
// set are nearly always of one or two domains.
const mostEnds = 4

// short writes a name, cut short where it goes on as one of those does. of says which one it is; -1: none. ok says that
// it fitted.
func (b *Builder) short(name []byte, known []placed) (of int, ok bool) {
	keep, pointer := len(name)-1, 0 // the root by itself is shorter than a pointer
	of = -1
	for i := range known {
		k, skip := CommonEnd(name, known[i].name)
		if k >= keep {
			continue
		}
		if at := b.Suffix(known[i].at, skip); at <= MaxPointer {
			keep, pointer, of = k, at, i
		}
	}
	if of < 0 {
		return of, b.add(name)
	}
	return of, b.add(name[:keep]) && b.add([]byte{0xc0 | byte(pointer>>8), byte(pointer)})
}

// CommonEnd returns where the longest end begins that two names in wire form have in common, in each of them: at the
// latest, at their root labels. Case must match.
func CommonEnd(name, other []byte) (at, in int) {
	same := 0
	for same < len(name) && same < len(other) && name[len(name)-1-same] == other[len(other)-1-same] {
		same++
	}
	at, in = labelFrom(name, 0, len(name)-same), labelFrom(other, 0, len(other)-same)
	for len(name)-at != len(other)-in { // equal octets are not yet equal labels
		if len(name)-at > len(other)-in {
			at = labelFrom(name, at, at+1)
		} else {
			in = labelFrom(other, in, in+1)
		}
	}
	return at, in
}

// labelFrom returns where the first label begins that is not before least, walking from the label at at; the length of
// the name if there is none.
func labelFrom(name []byte, at, least int) int {
	for at < least && at < len(name) {
		at += int(name[at]) + 1
	}
	return min(at, len(name))
}
