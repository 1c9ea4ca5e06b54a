package rr

import (
	"fmt"

	"github.com/miekg/dns"
)

// maxString is the largest size of a <character-string> in octets (RFC 1035 section 3.3).
const maxString = 255

// ofStrings reports whether RDATA of the type is any number of strings, which readers join (RFC 7208 section 3.3, RFC
// 6376 section 3.6.2.2). Then a string that is too long can be cut.
func ofStrings(t Type) bool {
	switch uint16(t) {
	case dns.TypeTXT, dns.TypeSPF, dns.TypeAVC, dns.TypeNINFO, dns.TypeRESINFO:
		return true
	}
	return false
}

// HasLongString reports whether RDATA in presentation form has a string of more than 255 octets. ParseData cuts such a
// string into several if the type allows it.
func HasLongString(t Type, text string) bool {
	if len(text) <= maxString || !ofStrings(t) {
		return false
	}
	long := false
	_ = eachOctet(text, func(_ string, nth int) { long = long || nth > maxString })
	return long
}

// cutStrings writes strings of more than 255 octets as several, each but the last of 255.
func cutStrings(t Type, text string) string {
	if !HasLongString(t, text) {
		return text
	}
	out := make([]byte, 0, len(text)+len(text)/maxString*3+2)
	_ = eachOctet(text, func(octet string, nth int) {
		switch {
		case nth == 0 && len(out) > 0:
			out = append(out, `" "`...)
		case nth == 0:
			out = append(out, '"')
		case nth > 1 && nth%maxString == 1:
			out = append(out, `" "`...)
		}
		out = append(out, octet...)
	})
	return string(append(out, '"'))
}

// eachOctet calls f with each octet of the strings in the text as it is written, and how many of its string there are
// with it; first, at each string's beginning, with "" and 0.
func eachOctet(text string, f func(octet string, nth int)) error {
	nth, quoted, within := 0, false, false
	for i := 0; i < len(text); i++ {
		c, size := text[i], 1
		switch {
		case c == '"':
			if quoted = !quoted; quoted {
				nth = 0
				f("", 0)
			}
			within = quoted
			continue
		case isBlank(c) && !quoted:
			within = false
			continue
		case c == '\\' && i+1 < len(text) && isDigit(text[i+1]):
			if i+3 >= len(text) || !isDigit(text[i+2]) || !isDigit(text[i+3]) || text[i+1:i+4] > "255" {
				return fmt.Errorf(`\%s: after "\" come three digits, 000 to 255, or one other character`,
					text[i+1:min(i+4, len(text))])
			}
			size = 4
		case c == '\\':
			size = min(2, len(text)-i)
		}
		if !within {
			nth, within = 0, true
			f("", 0)
		}
		nth++
		f(text[i:i+size], nth)
		i += size - 1
	}
	return nil
}

// checkEscapes finds text that the grammar of miekg/dns silently reads as something else: a \DDD that is cut short or
// above 255 (RFC 1035 section 5.1).
func checkEscapes(text string) error { return eachOctet(text, func(string, int) {}) }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
