package wire

// placed is a full name in wire form, and its place in the message.
type placed struct {
	name []byte
	at   int
}

// mostEnds is how many names of a set are compared with later ones. More would cost more than they save, because the
// names of a set are nearly always in one or two domains.
const mostEnds = 4

// short writes a name. It replaces the longest end that the name has in common with one of those names by a pointer. of
// is the number of that name; -1: none. ok says that the name fitted.
func (b *Builder) short(name []byte, known []placed) (of int, ok bool) {
	keep, pointer := len(name)-1, 0 // the root alone is shorter than a pointer
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

// CommonEnd returns where the longest common end of two names in wire form begins, in each of them. They have at least
// their root labels in common. Case must match.
func CommonEnd(name, other []byte) (at, in int) {
	same := 0
	for same < len(name) && same < len(other) && name[len(name)-1-same] == other[len(other)-1-same] {
		same++
	}
	at, in = labelFrom(name, 0, len(name)-same), labelFrom(other, 0, len(other)-same)
	for len(name)-at != len(other)-in { // equal octets need not be equal labels
		if len(name)-at > len(other)-in {
			at = labelFrom(name, at, at+1)
		} else {
			in = labelFrom(other, in, in+1)
		}
	}
	return at, in
}

// labelFrom walks from the label at at, and returns where the first label begins that is not before least. If there is
// none, it returns the length of the name.
func labelFrom(name []byte, at, least int) int {
	for at < least && at < len(name) {
		at += int(name[at]) + 1
	}
	return min(at, len(name))
}
