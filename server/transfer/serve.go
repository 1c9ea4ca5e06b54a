package transfer

import (
	"context"
	"encoding/binary"

	"leeward/server/answer"
	"leeward/server/wire"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// Serve answers a query of type AXFR or IXFR. It answers REFUSED if the client may not have the zone, and NOTAUTH, as
// BIND does, if this server does not have the zone. AXFR over UDP is REFUSED, as RFC 5936 section 4.2 leaves it
// undefined.
func (p *Primary) Serve(ctx context.Context, x *answer.Exchange) {
	q := &x.Query
	kind := "axfr"
	if q.Type == wire.TypeIXFR {
		kind = "ixfr"
	}
	refuse := func(rcode uint16, code uint16, result, why string) {
		p.metrics.served.WithLabelValues(kind, result).Inc()
		p.o.Log.Debug("transfer refused", "zone", rr.Name(q.Name()), "type", kind, "client", x.Source, "why", why)
		_ = x.Reply(rcode, code, why)
	}
	key := x.Session.KeyName()
	switch {
	case x.Fault != nil:
		refuse(x.Fault.Rcode, 0, "tsig", x.Fault.Error())
		return
	case x.State == nil:
		refuse(wire.RcodeServFail, wire.ErrorNotReady, "failed", "no snapshot yet")
		return
	case q.Type == wire.TypeAXFR && !x.Over.Stream:
		refuse(wire.RcodeRefused, wire.ErrorNotSupported, "failed", "AXFR over UDP")
		return
	}
	zone := x.State.Snapshot.Zone(rr.Name(q.Name()))
	switch {
	case zone == nil:
		refuse(wire.RcodeNotAuth, wire.ErrorNotAuthoritative, "unknown", "not a zone of this server")
		return
	case !zone.Transfer().Holds(x.Source.Addr(), key):
		refuse(wire.RcodeRefused, wire.ErrorProhibited, "refused", "not in the zone's transfer.allow")
		return
	case zone.SOA() == nil:
		refuse(wire.RcodeServFail, wire.ErrorNotReady, "failed", "the zone has no SOA yet")
		return
	case !zone.Current():
		refuse(wire.RcodeServFail, wire.ErrorInvalidData, "failed",
			"the zone has expired: its primary has not been heard of for too long")
		return
	case !zone.Whole():
		refuse(wire.RcodeServFail, wire.ErrorInvalidData, "failed",
			"something of the zone as it is configured cannot be read, and no part is handed on as if it were whole")
		return
	}
	serial, known := uint32(0), false
	if q.Type == wire.TypeIXFR {
		if serial, known = askedFrom(x.Request); !known {
			refuse(wire.RcodeFormErr, 0, "failed", "IXFR without an SOA")
			return
		}
	}
	zone = p.journal.newest(zone)
	if q.Type == wire.TypeAXFR || x.Over.Stream && newer(zone.Serial(), serial) {
		if err := zone.Lacks(); err != nil {
			refuse(wire.RcodeServFail, wire.ErrorNotSupported, "failed",
				"this server holds no keys, and not all that is handed on is signed: transfer from one that holds them")
			return
		}
	}
	s := newStream(q, x.Session, p.o.Now, x.Write)
	if seconds, ok := zone.Expire(p.o.Now()); ok {
		s.expire = int64(seconds)
	}
	who := x.Source.Addr().String() + " " + key
	result := p.send(ctx, s, zone, q, serial, x.Over.Stream && p.journal.mayDiffer(zone, who, serial), x.Over.Stream)
	switch {
	case s.err != nil:
		result = "broken"
	case result != "soa":
		p.journal.gave(zone, who)
	}
	p.metrics.served.WithLabelValues(kind, result).Inc()
	p.metrics.octets.Add(float64(s.octets))
	p.o.Log.Info("transfer", "zone", zone.Origin(), "type", kind, "sent", result, "client", x.Source, "key", key,
		"serial", zone.Serial(), "from", serial, "messages", s.messages, "octets", s.octets)
}

// send sends the differences from the requester's serial, if that version is known, or else the zone. It returns which
// it sent, as metrics name it.
func (p *Primary) send(ctx context.Context, s *stream, zone *snapshot.Zone, q *wire.Query, serial uint32, known,
	tcp bool,
) string {
	apex, soa := []byte(zone.Origin()), zone.SOA()
	if q.Type == wire.TypeIXFR {
		var old *snapshot.Zone
		if newer(zone.Serial(), serial) && known {
			old = p.journal.at(zone.Origin(), serial)
		}
		if old != nil && old.Signed() != zone.Signed() {
			old = nil // a transfer of the zone is shorter
		}
		switch {
		case !newer(zone.Serial(), serial), !tcp:
			// nothing newer, or too much for UDP: a single SOA says both (RFC 1995 sections 2 and 4)
			s.record(apex, soa)
			s.flush()
			return "soa"
		case old != nil:
			if removed, added, ok := differences(old, zone); ok {
				s.record(apex, soa)
				s.record(apex, old.SOA())
				removed.write(s)
				s.record(apex, soa)
				added.write(s)
				s.record(apex, soa)
				s.flush()
				return "ixfr"
			}
		}
	}
	s.record(apex, soa)
	err := zone.Each(func(name []byte, typ rr.Type, count int, set []byte) bool {
		if typ != rr.TypeSOA {
			s.set(name, set, count)
		}
		return s.err == nil && ctx.Err() == nil
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		s.err = err
		return "axfr"
	}
	s.record(apex, soa)
	s.flush()
	return "axfr"
}

// change is a record that only one of two versions has.
type change struct {
	name, record []byte
}

type changes []change

func (c changes) write(s *stream) {
	for _, x := range c {
		s.record(x.name, x.record)
	}
}

// mostDifferent bounds the octets that the differences of a signed zone hold in memory. Signatures are made again while
// the differences are computed.
const mostDifferent = 8 << 20

// differences lists what leads from one version to another, without the SOAs. ok is false if that is more than the zone
// itself, or cannot be computed. The bound is higher for a signed zone: a name has as many signatures as record sets,
// and all of them may change.
func differences(old, zone *snapshot.Zone) (removed, added changes, ok bool) {
	most, octets := max(2*zone.Names(), 64), 0
	if zone.Signed() {
		most = 4 * (zone.Names() + zone.Sets())
	}
	ok = true
	err := zone.Diff(old, func(isNew bool, name, record []byte) bool {
		switch {
		case rr.Type(binary.BigEndian.Uint16(record[2:])) == rr.TypeSOA:
			return true
		case isNew:
			added = append(added, change{name, record})
		default:
			removed = append(removed, change{name, record})
		}
		octets += len(name) + len(record)
		ok = len(removed)+len(added) <= most && (octets <= mostDifferent || !zone.Signed())
		return ok
	})
	return removed, added, ok && err == nil
}

// askedFrom returns the serial of the SOA in an IXFR query's authority section (RFC 1995 section 3).
func askedFrom(msg []byte) (serial uint32, ok bool) {
	if binary.BigEndian.Uint16(msg[6:]) != 0 || binary.BigEndian.Uint16(msg[8:]) != 1 {
		return 0, false
	}
	at := wire.SkipName(msg, wire.HeaderSize)
	if at < 0 {
		return 0, false
	}
	if at = wire.SkipName(msg, at+4); at < 0 || at+10 > len(msg) ||
		rr.Type(binary.BigEndian.Uint16(msg[at:])) != rr.TypeSOA {
		return 0, false
	}
	end := at + 10 + int(binary.BigEndian.Uint16(msg[at+8:]))
	if end > len(msg) || end < at+10+20 {
		return 0, false
	}
	return binary.BigEndian.Uint32(msg[end-20:]), true
}
