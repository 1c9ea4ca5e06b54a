package transfer

import (
	"encoding/binary"
	"time"

	"leeward/server/wire"
	"leeward/zones/snapshot"
)

// saidExpire returns for how long a primary says, in a response's OPT record, that the zone is good (RFC 7314): less
// than its SOA says where it is a secondary itself. Negative: it does not say, or not so that it could be read.
func saidExpire(msg []byte) time.Duration {
	const none = -1
	at := wire.HeaderSize
	for range binary.BigEndian.Uint16(msg[4:]) {
		if at = wire.SkipName(msg, at); at < 0 {
			return none
		}
		at += 4
	}
	count := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:])) +
		int(binary.BigEndian.Uint16(msg[10:]))
	for range count {
		if at = wire.SkipName(msg, at); at < 0 || at+10 > len(msg) {
			return none
		}
		typ, size := binary.BigEndian.Uint16(msg[at:]), int(binary.BigEndian.Uint16(msg[at+8:]))
		if at += 10; at+size > len(msg) {
			return none
		}
		data := msg[at : at+size]
		if at += size; typ != wire.TypeOPT {
			continue
		}
		for len(data) >= 4 {
			code, length := binary.BigEndian.Uint16(data), int(binary.BigEndian.Uint16(data[2:]))
			if data = data[4:]; length > len(data) {
				return none
			}
			if code == optionExpire && length == 4 {
				return time.Duration(binary.BigEndian.Uint32(data)) * time.Second
			}
			data = data[length:]
		}
	}
	return none
}

// expires returns when what there is of a zone is too old (RFC 1035 section 3.3.13); zero: there is nothing. The
// primary has had time to be asked at least twice.
func (z *elsewhere) expires() time.Time {
	if z.version == nil {
		return time.Time{}
	}
	refresh, retry, expire := z.version.Times()
	return z.good.Add(max(expire, bounded(refresh)+max(retry, leastRetry)))
}

// heard takes note of it that a primary has said now that what there is of a zone is the newest. Its EXPIRE counts from
// then, or from when the primary's own primary said so, as far as the primary tells what is left (RFC 7314 section 4):
// of several that say the same, the one with most left counts.
func (z *elsewhere) heard(now time.Time, left time.Duration, isNew bool) {
	good := now
	if _, _, expire := z.version.Times(); left >= 0 && left < expire {
		good = now.Add(left - expire)
		if !isNew && z.good.After(good) {
			good = z.good
		}
	}
	z.checked, z.good = now, good
	z.until.Store(z.expires().Unix())
}

// expire takes note of it when a zone has become too old.
func (s *Secondary) expire(z *elsewhere, now time.Time) {
	s.mu.Lock()
	e := z.expires()
	if z.expired || e.IsZero() || now.Before(e) {
		s.mu.Unlock()
		return
	}
	z.expired = true
	version := z.version
	s.mu.Unlock()
	s.o.Log.Error("a zone has expired: no primary has been heard of for longer than its SOA allows; only its "+
		"policies are answered",
		"zone", z.name, "serial", version.Serial())
	s.o.OnTransfer(z.name, snapshot.Transferred{Version: version, Expired: true, Until: z.until})
}
