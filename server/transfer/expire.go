package transfer

import (
	"encoding/binary"
	"time"

	"leeward/server/wire"
	"leeward/zones/snapshot"
)

// saidExpire returns how long the zone is good according to the EXPIRE option of a response (RFC 7314). A primary that
// is a secondary itself says less there than in its SOA. It returns a negative duration if there is no option, or none
// that can be read.
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

// expires returns when the version in service is too old to be served (RFC 1035 section 3.3.13), or zero if there is
// none. It allows at least one refresh and one retry, even if the SOA's EXPIRE is shorter.
func (z *elsewhere) expires() time.Time {
	if z.version == nil {
		return time.Time{}
	}
	refresh, retry, expire := z.version.Times()
	return z.good.Add(max(expire, bounded(refresh)+max(retry, leastRetry)))
}

// heard notes that a primary has just confirmed the version in service. EXPIRE counts from now, or, if the primary says
// how much of it is left, from when its own primary confirmed the version (RFC 7314 section 4). If several primaries
// confirm the same version, the one with the most time left counts.
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

// expire withdraws a zone that has become too old.
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
	s.o.Log.Error("zone expired: no primary has confirmed it for longer than its SOA allows; only its "+
		"policies are answered",
		"zone", z.name, "serial", version.Serial())
	s.o.OnTransfer(z.name, snapshot.Transferred{Version: version, Expired: true, Until: z.until})
}
