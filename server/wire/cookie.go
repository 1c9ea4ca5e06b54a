package wire

import (
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
)

// Sizes of cookies in octets (RFC 7873 section 4, RFC 9018 section 4).
const (
	ClientCookieSize = 8
	CookieSize       = ClientCookieSize + 16 // client's and server's cookie, as servers that share a secret make it
)

// CookieSecret is the secret shared by servers that accept each other's cookies (RFC 9018 section 4.4).
type CookieSecret [16]byte

// A server's cookie is valid for an hour, and is replaced after half an hour. It may come from a clock that is five
// minutes ahead (RFC 9018 section 4.3). All in seconds.
const (
	cookieAge    = 3600
	cookieRenew  = 1800
	cookieFuture = 300
)

// MakeCookie writes the client's cookie and the server's for it (RFC 9018 section 4): version 1, made at that time, in
// Unix seconds modulo 2^32, for the client's address.
func (s *CookieSecret) MakeCookie(cookie *[CookieSize]byte, client []byte, address netip.Addr, now uint32) {
	copy(cookie[:ClientCookieSize], client)
	c := cookie[ClientCookieSize:]
	c[0], c[1], c[2], c[3] = 1, 0, 0, 0
	binary.BigEndian.PutUint32(c[4:], now)
	binary.LittleEndian.PutUint64(c[8:], s.hash(cookie[:CookieSize-8], address))
}

// CheckCookie reports whether the data of a COOKIE option has a server's cookie that was made with the secret for that
// address and is not too old, and whether it is young enough to be sent back unchanged.
func (s *CookieSecret) CheckCookie(cookie []byte, address netip.Addr, now uint32) (valid, fresh bool) {
	if len(cookie) != CookieSize || cookie[ClientCookieSize] != 1 {
		return false, false
	}
	age := int32(now - binary.BigEndian.Uint32(cookie[ClientCookieSize+4:])) // serial number arithmetic (RFC 1982)
	if age > cookieAge || age < -cookieFuture {
		return false, false
	}
	var want [8]byte
	binary.LittleEndian.PutUint64(want[:], s.hash(cookie[:CookieSize-8], address))
	if subtle.ConstantTimeCompare(want[:], cookie[CookieSize-8:]) != 1 {
		return false, false
	}
	return true, age >= 0 && age <= cookieRenew
}

// hash is over the client's cookie, version, reserved, timestamp, and the client's address.
func (s *CookieSecret) hash(head []byte, address netip.Addr) uint64 {
	var message [CookieSize - 8 + 16]byte
	n := copy(message[:], head)
	if address.Is4() {
		a := address.As4()
		n += copy(message[n:], a[:])
	} else {
		a := address.As16()
		n += copy(message[n:], a[:])
	}
	return siphash((*[16]byte)(s), message[:n])
}
