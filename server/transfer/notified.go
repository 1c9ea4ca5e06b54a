package transfer

import (
	"context"
	"encoding/binary"
	"net/netip"

	"leeward/server/answer"
	"leeward/server/wire"
	"leeward/zones"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// Notified answers a NOTIFY (RFC 1996). If it comes from a primary of the zone, the zone is refreshed at once. If it
// comes from the address of a primary that has a key, but is not signed with it, it is a hint: the zone is refreshed,
// but less often. Any other NOTIFY is REFUSED.
func (p *Primary) Notified(_ context.Context, x *answer.Exchange) {
	q, key := &x.Query, x.Session.KeyName()
	rcode, code, result, why := wire.RcodeNoError, uint16(0), "ok", ""
	no := func(r, c uint16, what, text string) { rcode, code, result, why = r, c, what, text }
	switch {
	case x.Fault != nil:
		no(x.Fault.Rcode, 0, "tsig", x.Fault.Error())
	case q.Question == nil || q.Type != wire.TypeSOA || q.Class != wire.ClassIN:
		no(wire.RcodeFormErr, 0, "failed", "its question is not for the SOA of a zone")
	case x.State == nil:
		no(wire.RcodeServFail, wire.ErrorNotReady, "failed", "no snapshot yet")
	default:
		zone := x.State.Snapshot.Zone(rr.Name(q.Name()))
		switch {
		case zone == nil:
			no(wire.RcodeNotAuth, wire.ErrorNotAuthoritative, "unknown", "not a zone of this server")
		case !zone.Elsewhere() || p.o.Secondary == nil:
			no(wire.RcodeRefused, wire.ErrorProhibited, "refused", "the zone lives here")
		default:
			may, hint := mayNotify(zone.Transfer(), x.Source.Addr().Unmap(), key)
			switch {
			case !may && !hint:
				no(wire.RcodeRefused, wire.ErrorProhibited, "refused",
					"from none of the zone's transfer.primaries or transfer.allowNotify")
			case hint:
				result = "hint"
			}
			if may || hint {
				serial, told := toldSerial(x.Request, zone.Origin())
				p.o.Secondary.Notified(zones.NameText(zone.Origin()), x.Source.Addr().Unmap(), serial, told, hint)
			}
		}
	}
	p.metrics.notified.WithLabelValues(result).Inc()
	p.o.Log.Debug("NOTIFY", "zone", rr.Name(q.Name()), "from", x.Source, "key", key, "result", result, "why", why)
	_ = x.Reply(rcode, code, why)
}

// mayNotify reports whether the sender is a primary of the zone, or allowed by allowNotify. A server that is configured
// with a key must sign with it, and may then send from any address. Others are known by their address.
//
// hint is true for an unsigned NOTIFY from the address of a primary that has a key: that primary may be configured to
// send it so, or anybody may have forged it.
func mayNotify(t *zones.Transfer, from netip.Addr, key string) (may, hint bool) {
	for _, p := range t.PrimaryServers() {
		switch {
		case p.Has(key), p.Key == "" && p.Address.Addr() == from:
			return true, false
		case p.Address.Addr() == from:
			hint = true
		}
	}
	if t.MayNotify(from, key) {
		return true, false
	}
	return false, hint
}

// toldSerial returns the serial of the SOA that a NOTIFY may have in its answer section (RFC 1996 section 3.7).
func toldSerial(msg []byte, origin rr.Name) (serial uint32, told bool) {
	if binary.BigEndian.Uint16(msg[6:]) != 1 {
		return 0, false
	}
	at := wire.SkipName(msg, wire.HeaderSize)
	if at < 0 || at+4 > len(msg) {
		return 0, false
	}
	x, _, err := rr.ReadRecord(msg, at+4)
	if err != nil || x.Type != rr.TypeSOA || x.Owner != origin || rr.Check(x.Type, x.Data) != nil {
		return 0, false
	}
	return snapshot.SerialOf(x.Data), true
}
