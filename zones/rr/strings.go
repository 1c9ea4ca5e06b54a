package rr

import (
	"fmt"

	"github.com/miekg/dns"
)

// maxString is the most octets of a <character-string> (RFC 1035 section 3.3).
const maxString = 255

// checkStrings finds what the grammar of miekg/dns makes something else of without a word: a \DDD that is cut short or above 255
// (RFC 1035 section 5.1), and, in types that are made of strings, one that is too long.
func checkStrings(t Type, text string) error {
	var limit int
	switch uint16(t) {
	case dns.TypeTXT, dns.TypeSPF, dns.TypeAVC, dns.TypeNINFO:
		limit = maxString
	}
	size, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted, size = !quoted, 0
			continue
		case isBlank(c) && !quoted:
			size = 0
			continue
		case c == '\\' && i+1 < len(text) && isDigit(text[i+1]):
			if i+3 >= len(text) || !isDigit(text[i+2]) || !isDigit(text[i+3]) || text[i+1:i+4] > "255" {
				return fmt.Errorf(`\%s: after "\" come three digits, 000 to 255, or one other character`, text[i+1:min(i+4, len(text))])
			}
			i += 3
		case c == '\\':
			i++
		}
		if size++; limit > 0 && size > limit {
			return fmt.Errorf(`a string of more than %d octets; cut it into several: "…" "…"`, limit)
		}
	}
	return nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
