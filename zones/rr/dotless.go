package rr

import (
	"strings"

	"github.com/miekg/dns"
)

// HasNames reports whether RDATA of the type has names that a master file can give relative to its origin.
func (t Type) HasNames() bool {
	switch t {
	case TypeNS, TypeCNAME, TypePTR, TypeDNAME, TypeMX, TypeSRV, TypeNAPTR, TypeSOA, TypeSVCB, TypeHTTPS,
		Type(dns.TypeAFSDB), Type(dns.TypeKX), Type(dns.TypeRP), Type(dns.TypeRT), Type(dns.TypePX):
		return true
	}
	return false
}

// Dotless returns the first name in RDATA in presentation form that ends in the zone's own name but not in a dot, or ""
// if there is none. Such a name is below the origin, so it has the zone's name twice; nearly always its final dot was
// forgotten. zone is the zone's name without the final dot.
func Dotless(t Type, text, zone string) string {
	if len(text) < len(zone) || !t.HasNames() {
		return ""
	}
	for rest := []byte(text); ; {
		var token []byte
		if token, rest = cutToken(rest); len(token) == 0 {
			return ""
		}
		if name := string(token); EndsIn(name, zone) {
			return name
		}
	}
}

// EndsIn reports whether a name in presentation form without a final dot is a zone's name, or ends in it. For the root
// it is always false.
func EndsIn(name, zone string) bool {
	at := len(name) - len(zone)
	switch {
	case at < 0 || !strings.EqualFold(name[at:], zone) || zone == ".":
		return false
	case at == 0:
		return true
	}
	return name[at-1] == '.' && Absolute(name[:at]) && name[0] != '"'
}
