package rr

// DataNames returns the names in RDATA that an answer goes on with: the target of CNAME and DNAME, and those that
// additional section processing follows, of NS, MX, SRV, SVCB and HTTPS (RFC 1034 section 4.3.2, RFC 2782, RFC 9460
// section 4.1) and of the older types that RFC 1183 and RFC 2230 say it of. It returns nil for other types and for
// RDATA that is not well-formed, and leaves out the root, which says "none" in all of them. The names are in lower
// case.
func DataNames(t Type, data []byte) []Name {
	var skip int // octets before the name
	switch t {
	case TypeNS, TypeCNAME, TypeDNAME:
	case TypeMX, TypeSVCB, TypeHTTPS, typeAFSDB, typeRT, typeKX:
		skip = 2
	case TypeSRV:
		skip = 6
	default:
		return nil
	}
	if len(data) < skip {
		return nil
	}
	n, _, err := CutName(data[skip:])
	if err != nil || n == Root {
		return nil
	}
	return []Name{n}
}

const (
	typeAFSDB Type = 18
	typeRT    Type = 21
	typeKX    Type = 36
)
