package wire

import (
	"encoding/binary"
	"net/netip"
)

// options walks the data of the OPT record (RFC 6891 section 6.1.2). If an option is there twice, the first counts, as
// RFC 7873 section 5.2 says for cookies. Unknown options are skipped.
func (q *Query) options(data []byte) Verdict {
	for len(data) > 0 {
		if len(data) < 4 {
			return FormErr
		}
		code, length := binary.BigEndian.Uint16(data), int(binary.BigEndian.Uint16(data[2:]))
		if data = data[4:]; length > len(data) {
			return FormErr
		}
		option := data[:length:length]
		data = data[length:]
		switch code {
		case optionNSID:
			q.NSID = true // its data, if any, is meaningless in a request (RFC 5001 section 2.1)
		case optionECS:
			var subnet ClientSubnet
			if !subnet.parse(option) {
				return FormErr
			}
			if !q.ECS.Present {
				q.ECS = subnet
			}
		case optionExpire:
			q.Expire = true // empty in a query (RFC 7314 section 2)
		case optionCookie:
			if length != 8 && (length < 16 || length > 40) { // RFC 7873 section 5.2.2
				return FormErr
			}
			if q.Cookie == nil {
				q.Cookie = option
			}
		case optionKeepalive:
			q.Keepalive = true // a client's value is ignored (RFC 7828 section 3.2.1); no effect over UDP
		}
	}
	return OK
}

// parse reads the option's data and reports whether it is well-formed (RFC 7871 sections 6 and 7.1.2): a known family,
// a scope of 0, as many octets of address as the source prefix needs, and no bit set after it.
func (e *ClientSubnet) parse(data []byte) bool {
	if len(data) < 4 {
		return false
	}
	e.Family, e.Source, e.Raw = binary.BigEndian.Uint16(data), data[2], data
	scope, address := data[3], data[4:]
	var bits int
	switch e.Family {
	case 0: // with a source of 0: the client does not want to be located
	case 1:
		bits = 32
	case 2:
		bits = 128
	default:
		return false
	}
	if int(e.Source) > bits || scope != 0 || len(address) != (int(e.Source)+7)/8 {
		return false
	}
	if spare := e.Source & 7; spare != 0 && address[len(address)-1]&(0xff>>spare) != 0 {
		return false
	}
	var whole [16]byte
	copy(whole[:], address)
	switch e.Family {
	case 1:
		e.Addr = netip.AddrFrom4([4]byte(whole[:4]))
	case 2:
		e.Addr = netip.AddrFrom16(whole)
	}
	e.Present = true
	return true
}
