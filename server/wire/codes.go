package wire

// Opcodes (RFC 6895 section 2.2).
const (
	OpcodeQuery  = 0
	OpcodeNotify = 4
	OpcodeUpdate = 5
)

// Rcodes (RFC 6895 section 2.3). For one above 15 a response needs an OPT record.
const (
	RcodeNoError   uint16 = 0
	RcodeFormErr   uint16 = 1
	RcodeServFail  uint16 = 2
	RcodeNXDomain  uint16 = 3
	RcodeNotImp    uint16 = 4
	RcodeRefused   uint16 = 5
	RcodeYXDomain  uint16 = 6
	RcodeYXRRSet   uint16 = 7 // 7, 8 and 10 answer UPDATE alone (RFC 2136 section 2.2)
	RcodeNXRRSet   uint16 = 8
	RcodeNotAuth   uint16 = 9
	RcodeNotZone   uint16 = 10
	RcodeBadVers   uint16 = 16
	RcodeBadCookie uint16 = 23
)

var rcodeNames = [...]string{
	RcodeNoError: "NOERROR", RcodeFormErr: "FORMERR", RcodeServFail: "SERVFAIL", RcodeNXDomain: "NXDOMAIN",
	RcodeNotImp: "NOTIMP", RcodeRefused: "REFUSED", RcodeYXDomain: "YXDOMAIN", RcodeYXRRSet: "YXRRSET",
	RcodeNXRRSet: "NXRRSET", RcodeNotAuth: "NOTAUTH", RcodeNotZone: "NOTZONE", RcodeBadVers: "BADVERS",
	RcodeBadCookie: "BADCOOKIE",
}

// RcodeName returns the mnemonic of an RCODE, and "" for one that has no constant here.
func RcodeName(rcode uint16) string {
	if int(rcode) < len(rcodeNames) {
		return rcodeNames[rcode]
	}
	return ""
}

// Types and classes that a server treats specially.
const (
	TypeA     uint16 = 1
	TypeNS    uint16 = 2
	TypeMD    uint16 = 3
	TypeMF    uint16 = 4
	TypeCNAME uint16 = 5
	TypeSOA   uint16 = 6
	TypeMB    uint16 = 7
	TypeMG    uint16 = 8
	TypeMR    uint16 = 9
	TypePTR   uint16 = 12
	TypeMINFO uint16 = 14
	TypeMX    uint16 = 15
	TypeTXT   uint16 = 16
	TypeAFSDB uint16 = 18
	TypeRT    uint16 = 21
	TypeAAAA  uint16 = 28
	TypeSRV   uint16 = 33
	TypeKX    uint16 = 36
	TypeOPT   uint16 = 41
	TypeDS    uint16 = 43
	TypeRRSIG uint16 = 46
	TypeNSEC  uint16 = 47
	TypeNSEC3 uint16 = 50
	TypeSVCB  uint16 = 64
	TypeHTTPS uint16 = 65
	TypeTSIG  uint16 = 250
	TypeIXFR  uint16 = 251
	TypeAXFR  uint16 = 252
	TypeANY   uint16 = 255

	ClassIN  uint16 = 1
	ClassCH  uint16 = 3
	ClassANY uint16 = 255
)

// INFO-CODEs of Extended DNS Errors (RFC 8914 section 5.2) that an authoritative server uses.
const (
	ErrorOther            uint16 = 0
	ErrorStaleAnswer      uint16 = 3
	ErrorNotReady         uint16 = 14
	ErrorProhibited       uint16 = 18
	ErrorNotAuthoritative uint16 = 20
	ErrorNotSupported     uint16 = 21
	ErrorNetworkError     uint16 = 23
	ErrorInvalidData      uint16 = 24
)

const (
	flagQR = 0x80 // in the third octet of the header
	flagAA = 0x04
	flagTC = 0x02
	flagRD = 0x01
	flagAD = 0x20 // in the fourth
	flagCD = 0x10
	flagDO = 0x80 // in the third octet of OPT's TTL

	optionNSID      = 3
	optionECS       = 8
	optionExpire    = 9
	optionCookie    = 10
	optionKeepalive = 11
	optionError     = 15
)
