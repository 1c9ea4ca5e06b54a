package rr

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// Type is a resource record type, in host byte order.
type Type uint16

// The types that other packages use. All other types work as well, by their mnemonic or as TYPEn.
const (
	TypeA          = Type(dns.TypeA)
	TypeNS         = Type(dns.TypeNS)
	TypeCNAME      = Type(dns.TypeCNAME)
	TypeSOA        = Type(dns.TypeSOA)
	TypePTR        = Type(dns.TypePTR)
	TypeHINFO      = Type(dns.TypeHINFO)
	TypeMX         = Type(dns.TypeMX)
	TypeTXT        = Type(dns.TypeTXT)
	TypeAAAA       = Type(dns.TypeAAAA)
	TypeSRV        = Type(dns.TypeSRV)
	TypeNAPTR      = Type(dns.TypeNAPTR)
	TypeDNAME      = Type(dns.TypeDNAME)
	TypeOPT        = Type(dns.TypeOPT)
	TypeDS         = Type(dns.TypeDS)
	TypeSSHFP      = Type(dns.TypeSSHFP)
	TypeRRSIG      = Type(dns.TypeRRSIG)
	TypeNSEC       = Type(dns.TypeNSEC)
	TypeDNSKEY     = Type(dns.TypeDNSKEY)
	TypeNSEC3      = Type(dns.TypeNSEC3)
	TypeNSEC3PARAM = Type(dns.TypeNSEC3PARAM)
	TypeTLSA       = Type(dns.TypeTLSA)
	TypeCDS        = Type(dns.TypeCDS)
	TypeCDNSKEY    = Type(dns.TypeCDNSKEY)
	TypeSVCB       = Type(dns.TypeSVCB)
	TypeHTTPS      = Type(dns.TypeHTTPS)
	TypeIXFR       = Type(dns.TypeIXFR)
	TypeAXFR       = Type(dns.TypeAXFR)
	TypeANY        = Type(dns.TypeANY)
	TypeZONEMD     = Type(dns.TypeZONEMD)
	TypeURI        = Type(dns.TypeURI)
	TypeCAA        = Type(dns.TypeCAA)
)

// Proves reports whether records of the type are made from a zone's other records, when it is signed (RFC 4034, RFC
// 5155) or digested (RFC 8976). They prove nothing once any of the other records differs.
func (t Type) Proves() bool {
	switch t {
	case TypeRRSIG, TypeNSEC, TypeNSEC3, TypeNSEC3PARAM, TypeZONEMD:
		return true
	}
	return false
}

// MadeBySigning reports whether signing a zone makes the records of the type at its apex: its keys, the records that
// ask the parent for their DS (RFC 7344), and the parameters of NSEC3.
func (t Type) MadeBySigning() bool {
	return t == TypeDNSKEY || t == TypeCDS || t == TypeCDNSKEY || t == TypeNSEC3PARAM
}

// ParseType reads a mnemonic or TYPEn (RFC 3597 section 5), in upper or lower case. A type that has a mnemonic may be
// given as a number as well; both are the same Type.
func ParseType(s string) (Type, error) {
	switch s { // nearly all of them, without a look into the table
	case "A":
		return TypeA, nil
	case "AAAA":
		return TypeAAAA, nil
	case "CNAME":
		return TypeCNAME, nil
	}
	upper := strings.ToUpper(s)
	if t, ok := dns.StringToType[upper]; ok && t != dns.TypeNone && t != dns.TypeReserved {
		return Type(t), nil
	}
	if digits, ok := strings.CutPrefix(upper, "TYPE"); ok {
		if t, err := strconv.ParseUint(digits, 10, 16); err == nil && t != 0 && digits[0] != '+' {
			return Type(t), nil
		}
	}
	return 0, fmt.Errorf("type %q: unknown; write a mnemonic such as AAAA or MX, or TYPE and its number", s)
}

// String returns the mnemonic, or TYPEn if there is none.
func (t Type) String() string {
	switch t {
	case TypeA:
		return "A"
	case TypeAAAA:
		return "AAAA"
	}
	if s, ok := dns.TypeToString[uint16(t)]; ok && s != "None" && s != "Reserved" {
		return s
	}
	return "TYPE" + strconv.Itoa(int(t))
}

// Storable reports whether a zone can hold records of the type: OPT, the query types and the meta types exist in
// messages only (RFC 6895 section 3.1).
func (t Type) Storable() bool { return t != 0 && t != TypeOPT && (t < 128 || t > 255) }
