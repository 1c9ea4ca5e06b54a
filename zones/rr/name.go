// Package rr converts names and resource record data between the text that people write (RFC 1035 section 5.1) and wire
// form (RFC 1035 section 3).
//
// A Name is its own wire form in lower case, so it is compared, hashed and copied into messages as it is, and never
// parsed again once it has been read. RDATA stays as the operator wrote it, upper and lower case included (RFC 4343),
// uncompressed.
//
// The most frequent data of large zones (addresses, single names, the owner of each record) is read by hand and without
// garbage. For all other types the grammar of github.com/miekg/dns is used, which is also the tests' oracle for the
// code here. Master files are read as a stream, by a scanner of our own, because errors must name their line, and the
// included file that has it.
package rr

import (
	"errors"
	"fmt"
	"strings"
)

// Limits of RFC 1035 section 2.3.4, in octets.
const (
	MaxLabel = 63
	MaxName  = 255 // in wire form, with all length octets
)

// Name is a domain name in wire form, in lower case, uncompressed and with the root label at its end:
// "\x03www\x07example\x04test\x00". It can be compared with == and be the key of a map. The zero value is not a name.
type Name string

// Root is the name of the root, ".".
const Root Name = "\x00"

// ParseName reads a name in presentation form. The name is absolute whether or not it ends in a dot; upper case becomes
// lower case; \X and \DDD are understood. "" and "@" are errors here because there is no origin that they could stand
// for.
func ParseName(s string) (Name, error) {
	if s == "@" {
		return "", errors.New(`name "@": there is no origin here; write the name in full`)
	}
	var buf [MaxName]byte
	n, err := parseName(&buf, s, Root, true)
	if err != nil {
		return "", err
	}
	return Name(buf[:n]), nil
}

// TrimDot returns a name in presentation form without its final dot. An escaped dot is part of the last label and
// stays, and so does the root.
func TrimDot(s string) string {
	if s == "." || !Absolute(s) {
		return s
	}
	return s[:len(s)-1]
}

// Absolute reports whether a name in presentation form ends in a dot that ends its last label, and is not escaped.
func Absolute(s string) bool {
	if len(s) == 0 || s[len(s)-1] != '.' {
		return false
	}
	before := 0 // backslashes: two of them stand for one
	for i := len(s) - 2; i >= 0 && s[i] == '\\'; i-- {
		before++
	}
	return before%2 == 0
}

// ParseRelative reads a name in presentation form as master files have it: "@" is the origin, and a name without a
// final dot is below the origin (RFC 1035 section 5.1).
func ParseRelative(s string, origin Name) (Name, error) {
	if s == "@" && origin != "" {
		return origin, nil
	}
	var buf [MaxName]byte
	n, err := parseName(&buf, s, origin, true)
	if err != nil {
		return "", err
	}
	return Name(buf[:n]), nil
}

// parseName writes the wire form of s to buf and returns its length. A name without a final dot has the origin
// appended; with an empty origin that is an error. With fold, A to Z become a to z, but not in the origin, which is so
// already.
func parseName[T string | []byte](buf *[MaxName]byte, s T, origin Name, fold bool) (int, error) {
	switch string(s) {
	case "":
		return 0, errors.New(`name "": empty; the root is written "."`)
	case ".":
		buf[0] = 0
		return 1, nil
	case "@":
		if origin != "" {
			return copy(buf[:], origin), nil
		}
	}
	start, n := 0, 1 // the length octet of the label being read, and where its next octet goes
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.':
			length := n - start - 1
			if length == 0 {
				return 0, fmt.Errorf("name %q: it has an empty label; take out the extra dot", string(s))
			}
			buf[start] = byte(length)
			start = n
			if i == len(s)-1 {
				buf[n] = 0
				return n + 1, nil
			}
			n++
			continue
		case c == '\\':
			var width int
			if c, width = unescape(string(s[i+1 : min(len(s), i+4)])); width == 0 {
				return 0, fmt.Errorf(`name %q: \ must be followed by a character or by three digits up to 255`,
					string(s))
			}
			i += width
		case c <= ' ' || c == 0x7f || c == '"' || c == '(' || c == ')' || c == ';':
			return 0, fmt.Errorf(`name %q: character %q; if it is meant to be in the name, write it as \%03d`,
				string(s), c, c)
		case c >= 0x80:
			return 0, fmt.Errorf("name %q: character outside of ASCII; write internationalised labels in their "+
				"xn-- form", string(s))
		}
		if fold && 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if n-start > MaxLabel {
			return 0, fmt.Errorf("name %q: a label is longer than %d octets", string(s), MaxLabel)
		}
		if n >= MaxName-1 { // the root label must still fit
			return 0, fmt.Errorf("name %q: longer than %d octets", string(s), MaxName)
		}
		buf[n] = c
		n++
	}
	buf[start] = byte(n - start - 1)
	if origin == "" {
		return 0, fmt.Errorf("name %q: relative, and there is no origin here; end it with a dot", string(s))
	}
	if n+len(origin) > MaxName {
		return 0, fmt.Errorf("name %q: longer than %d octets with its origin %s", string(s), MaxName, origin)
	}
	return n + copy(buf[n:], origin), nil
}

// unescape reads what follows a backslash: a character that stands for itself, or three digits that stand for an octet.
// The width is 0 if it is neither.
func unescape(s string) (c byte, width int) {
	if s == "" {
		return 0, 0
	}
	if s[0] < '0' || s[0] > '9' {
		return s[0], 1
	}
	if len(s) < 3 || s[1] < '0' || s[1] > '9' || s[2] < '0' || s[2] > '9' {
		return 0, 0
	}
	v := int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	if v > 255 {
		return 0, 0
	}
	return byte(v), 3
}

// CutName returns the uncompressed name at the beginning of wire, in lower case, and the rest after it.
func CutName(wire []byte) (n Name, rest []byte, err error) {
	end, err := nameEnd(wire)
	if err != nil {
		return "", nil, err
	}
	var buf [MaxName]byte
	// Length octets are at most 63, below 'A': folding all octets folds only letters.
	for i, c := range wire[:end] {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return Name(buf[:end]), wire[end:], nil
}

var errName = errors.New("not an uncompressed name in wire form")

// nameEnd returns the length of the uncompressed name that wire begins with.
func nameEnd(wire []byte) (int, error) {
	for i := 0; i < len(wire) && i < MaxName; i += int(wire[i]) + 1 {
		if wire[i] == 0 {
			return i + 1, nil
		}
		if wire[i] > MaxLabel {
			break
		}
	}
	return 0, errName
}

// String returns the presentation form without the final dot, and "." for the root. It escapes octets where necessary,
// so that ParseName returns the same name.
func (n Name) String() string {
	if n == Root || n == "" {
		return "."
	}
	s := appendName(make([]byte, 0, len(n)+8), n)
	return string(s[:len(s)-1])
}

// appendName appends the presentation form with the final dot.
func appendName[T ~string | ~[]byte](dst []byte, wire T) []byte {
	if len(wire) <= 1 {
		return append(dst, '.')
	}
	for i := 0; i < len(wire) && wire[i] != 0; {
		end := min(i+1+int(wire[i]), len(wire))
		for i++; i < end; i++ {
			switch c := wire[i]; {
			case c == '.' || c == '\\' || c == '"' || c == ';' || c == '(' || c == ')' || c == '@' || c == '$':
				dst = append(dst, '\\', c)
			case c <= ' ' || c >= 0x7f:
				dst = append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
			default:
				dst = append(dst, c)
			}
		}
		dst = append(dst, '.')
	}
	return dst
}

// Parent returns the name without its first label. The root's parent is the root.
func (n Name) Parent() Name {
	if len(n) <= 1 {
		return Root
	}
	return n[1+int(n[0]):]
}

// Labels returns how many labels there are, without the root's: 0 for the root.
func (n Name) Labels() int {
	count := 0
	for i := 0; i < len(n) && n[i] != 0; i += int(n[i]) + 1 {
		count++
	}
	return count
}

// Under reports whether n is the zone's apex or below it.
func (n Name) Under(zone Name) bool {
	if !strings.HasSuffix(string(n), string(zone)) {
		return false
	}
	// The suffix counts only where a label begins: "\x01a\x02b.…" must not end in what merely looks like the zone.
	i, apex := 0, len(n)-len(zone)
	for i < apex {
		i += int(n[i]) + 1
	}
	return i == apex
}

// IsWildcard reports whether the first label is "*" (RFC 4592 section 2.1.1).
func (n Name) IsWildcard() bool { return len(n) > 2 && n[0] == 1 && n[1] == '*' }
