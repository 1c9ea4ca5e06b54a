package wire

import (
	"encoding/binary"
	"time"
)

// opt is the content of the OPT record of a response. When an option is set, room for it is set aside. If there is no
// room, the option is left out. So Finish always has the room that it needs.
type opt struct {
	present   bool
	nsid      bool
	ecs       bool
	scope     uint8
	cookie    []byte
	expires   bool
	expire    uint32 // seconds
	keepalive bool
	idle      uint16 // units of 100 ms
	failed    bool   // there is an extended error
	code      uint16
	text      string
}

const (
	optSize      = 11 // the root, TYPE, CLASS, TTL, RDLENGTH
	optionHeader = 4
)

// startOPT decides on the OPT record: a response has one if the request had one (RFC 6891 section 6.1.1). Options that
// the request asks for go in first.
func (b *Builder) startOPT() {
	q, o := b.query, &b.opt
	if !q.EDNS || !b.reserve(optSize) {
		return
	}
	o.present = true
	if q.ECS.Present {
		o.ecs = b.reserve(optionHeader + len(q.ECS.Raw))
	}
	if q.NSID && len(b.NSID) > 0 {
		o.nsid = b.reserve(optionHeader + len(b.NSID))
	}
}

func (b *Builder) reserve(size int) bool {
	if !b.fits(size) {
		return false
	}
	b.reserved += size
	return true
}

// SetScope sets the scope prefix length that goes back with the client subnet. The default is 0. The answer is valid
// for all clients whose addresses have the same first scope bits (RFC 7871 section 7.2.1). The scope is cut to the
// family's length. It has no effect if the request had no client subnet; for family 0 the scope is always 0.
func (b *Builder) SetScope(scope uint8) {
	switch b.query.ECS.Family {
	case 1:
		b.opt.scope = min(scope, 32)
	case 2:
		b.opt.scope = min(scope, 128)
	}
}

// SetError adds an Extended DNS Error (RFC 8914), if the request had an OPT record. If there is no room, it leaves out
// first the text, then the whole error. A response has only one; the first one stays.
func (b *Builder) SetError(code uint16, text string) {
	o := &b.opt
	if !o.present || o.failed {
		return
	}
	switch {
	case b.reserve(optionHeader + 2 + len(text)):
		o.failed, o.code, o.text = true, code, text
	case b.reserve(optionHeader + 2):
		o.failed, o.code = true, code
	}
}

// Lean removes optional parts until the response has at most that many octets: the text of the extended error, the
// error, the server's identifier. A cookie stays, because with it a requester can show that its address is not forged.
func (b *Builder) Lean(size int) {
	o := &b.opt
	if o.failed && b.n+b.reserved > size {
		b.reserved -= len(o.text)
		o.text = ""
	}
	if o.failed && b.n+b.reserved > size {
		b.reserved -= optionHeader + 2
		o.failed = false
	}
	if o.nsid && b.n+b.reserved > size {
		b.reserved -= optionHeader + len(b.NSID)
		o.nsid = false
	}
}

// SetKeepalive says how long an idle TCP connection is kept open (RFC 7828), in units of 100 ms up to 6553.5 s.
func (b *Builder) SetKeepalive(idle time.Duration) {
	o := &b.opt
	if o.present && (o.keepalive || b.reserve(optionHeader+2)) {
		o.keepalive, o.idle = true, uint16(min(max(idle/(100*time.Millisecond), 0), 1<<16-1))
	}
}

// SetCookie adds a COOKIE option (RFC 7873): the client's cookie and the server's. The slice must not change until
// Finish.
func (b *Builder) SetCookie(cookie []byte) {
	o := &b.opt
	if o.present && o.cookie == nil && b.reserve(optionHeader+len(cookie)) {
		o.cookie = cookie
	}
}

// SetExpire sets for how many seconds the zone remains valid, if the request has asked for that (RFC 7314).
func (b *Builder) SetExpire(seconds uint32) {
	o := &b.opt
	if o.present && b.query.Expire && !o.expires && b.reserve(optionHeader+4) {
		o.expires, o.expire = true, seconds
	}
}

// finishOPT writes the OPT record, if there is one, and returns the number of records written.
func (b *Builder) finishOPT() uint16 {
	q, o := b.query, &b.opt
	if !o.present {
		return 0
	}
	at := b.n
	r := b.buf[at : at+optSize]
	r[0] = 0
	binary.BigEndian.PutUint16(r[1:], TypeOPT)
	binary.BigEndian.PutUint16(r[3:], UDPSize)
	r[5], r[6], r[7], r[8] = byte(b.rcode>>4), 0, 0, 0 // extended rcode, version 0, flags
	if q.DO {
		r[7] = flagDO
	}
	b.n += optSize
	if o.ecs {
		b.option(optionECS, len(q.ECS.Raw))
		data := b.buf[b.n:]
		b.n += copy(data, q.ECS.Raw)
		data[3] = o.scope
	}
	if o.nsid {
		b.option(optionNSID, len(b.NSID))
		b.n += copy(b.buf[b.n:], b.NSID)
	}
	if o.expires {
		b.option(optionExpire, 4)
		binary.BigEndian.PutUint32(b.buf[b.n:], o.expire)
		b.n += 4
	}
	if o.cookie != nil {
		b.option(optionCookie, len(o.cookie))
		b.n += copy(b.buf[b.n:], o.cookie)
	}
	if o.keepalive {
		b.option(optionKeepalive, 2)
		binary.BigEndian.PutUint16(b.buf[b.n:], o.idle)
		b.n += 2
	}
	if o.failed {
		b.option(optionError, 2+len(o.text))
		binary.BigEndian.PutUint16(b.buf[b.n:], o.code)
		b.n += 2
		b.n += copy(b.buf[b.n:], o.text)
	}
	binary.BigEndian.PutUint16(r[9:], uint16(b.n-at-optSize))
	return 1
}

func (b *Builder) option(code uint16, size int) {
	binary.BigEndian.PutUint16(b.buf[b.n:], code)
	binary.BigEndian.PutUint16(b.buf[b.n+2:], uint16(size))
	b.n += optionHeader
}
