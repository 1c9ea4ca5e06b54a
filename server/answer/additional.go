package answer

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"leeward/server/wire"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// maxTargets is how many records of an answer get the addresses of their targets. The room that is left holds fewer.
const maxTargets = 32

// leads says whether records of a type lead to a name whose addresses are useful to the client, and after how many
// octets of RDATA that name stands: RFC 1035 sections 3.3.9 and 3.3.11, RFC 1183, RFC 2230, RFC 2782, RFC 9460 section
// 4.1.
func leads(typ uint16) (after int, ok bool) {
	switch typ {
	case wire.TypeNS:
		return 0, true
	case wire.TypeMX, wire.TypeAFSDB, wire.TypeRT, wire.TypeKX, wire.TypeSVCB, wire.TypeHTTPS:
		return 2, true
	case wire.TypeSRV:
		return 6, true
	}
	return 0, false
}

// targets goes through the names that the records of a set lead to, in the set and, at the same time, in the message
// that the set was written to.
type targets struct {
	rest  []byte // of the set
	at    int    // of the next record in the message
	after int
}

// next returns a name in full, and where it is in the message. It returns nil when there are no more.
func (t *targets) next(b *wire.Builder) (name []byte, at int) {
	if len(t.rest) < wire.DataOffset {
		return nil, 0
	}
	size := wire.DataOffset + int(binary.BigEndian.Uint16(t.rest[wire.DataOffset-2:]))
	name, at = t.rest[min(wire.DataOffset+t.after, size):size], t.at+wire.DataOffset+t.after
	t.at += b.RecordSize(t.at)
	t.rest = t.rest[size:]
	for end := 0; end < len(name); end += int(name[end]) + 1 {
		if name[end] == 0 {
			return name[:end+1], at
		}
	}
	// the RDATA does not fit the type: it was written as in RFC 3597, and what follows cannot be trusted either
	return nil, 0
}

// additional writes the addresses of what the answer leads to, in the room that is left. at is where the answer begins
// in the message. Nothing is truncated for their sake. Names in other zones are left to the servers of those.
func (w *Worker) additional(state *State, client netip.Addr, at int) {
	w.expansions(state)
	set := &w.found.Answer
	typ := binary.BigEndian.Uint16(set.Wire[2:])
	after, _ := leads(typ)
	service := typ == wire.TypeSVCB || typ == wire.TypeHTTPS
	all := targets{set.Wire, at, after}
	for i := 0; typ == wire.TypeNS || i < maxTargets; i++ {
		priority := all.rest[min(wire.DataOffset, len(all.rest)):]
		name, place := all.next(&w.build)
		if name == nil {
			return
		}
		if len(name) == 1 {
			if !service || priority[0]|priority[1] == 0 {
				// there is no service, there is no exchange, or the record is an alias to nothing
				continue
			}
			name, place = w.name, w.owner // the target of a service is then the owner itself (RFC 9460 section 2.5.2)
		}
		if typ != wire.TypeNS && w.before(set, after, i, name) {
			continue
		}
		state.Snapshot.Additional(&w.found, name, &w.beside)
		if !w.addresses(state, client, place) {
			return
		}
	}
}

// before reports whether one of the set's first n records leads to the same name.
func (w *Worker) before(set *snapshot.Set, after, n int, name []byte) bool {
	earlier := set.Wire
	for range n {
		size := wire.DataOffset + int(binary.BigEndian.Uint16(earlier[wire.DataOffset-2:]))
		if bytes.HasPrefix(earlier[min(wire.DataOffset+after, size):size], name) {
			return true
		}
		earlier = earlier[size:]
	}
	return false
}

// refer writes a referral: the NS of the cut, and the addresses of its name servers that this zone knows. Those below
// the cut are part of the referral: if they do not fit, the client must use TCP (RFC 9471 section 3.1). The others
// follow, in the room that is left.
func (w *Worker) refer(state *State, client netip.Addr) {
	b, ns := &w.build, &w.found.Authority
	at := b.Len()
	if !w.static(wire.Authority, ns, nil) {
		return
	}
	w.delegation(state, ns.Owner)
	w.expansions(state)
	cut := w.name[ns.Owner:]
	others := false
	for all := (targets{ns.Wire, at, 0}); ; {
		name, place := all.next(b)
		if name == nil {
			break
		}
		if !state.Snapshot.Glue(&w.found, cut, name, &w.beside) {
			others = others || w.beside.Any()
		} else if !w.addresses(state, client, place) {
			b.Truncate()
			return
		}
	}
	for all := (targets{ns.Wire, at, 0}); others; {
		name, place := all.next(b)
		if name == nil || !state.Snapshot.Glue(&w.found, cut, name, &w.beside) && !w.addresses(state, client, place) {
			return
		}
	}
}

// addresses writes what was found for the name at an offset of the message. It reports whether everything fitted.
func (w *Worker) addresses(state *State, client netip.Addr, place int) bool {
	found := &w.beside
	secure := w.secure()
	if secure && found.Wild { // the proof that it would need has no place here
		return true
	}
	if found.Policy != nil {
		return w.steerBeside(state.View, client, place)
	}
	for i := range found.Sets {
		set := &found.Sets[i]
		if set.Count == 0 {
			continue
		}
		r := wire.RRset{Owner: uint16(place), Data: set.Wire, Count: uint16(set.Count), First: uint16(w.first(set))}
		if secure && !found.Hidden {
			ttl := binary.BigEndian.Uint32(set.Wire[6:])
			r.Signed = w.signed(w.signSet(found.Source(), set.Wire, ttl), nil)
		}
		if !w.put(wire.Additional, &r) {
			return false
		}
	}
	return true
}

// steerBeside writes what a policy answers this client for a name in the additional section. Resolvers keep that for
// all their clients (RFC 7871 section 7.3.1). So for a query with a client subnet, it is left out if it depends on the
// client.
func (w *Worker) steerBeside(view *steer.View, client netip.Addr, place int) bool {
	p, d := w.beside.Policy, &w.decision
	if p.Alias {
		return true
	}
	subnet := w.query.ECS.Present && w.query.ECS.Source > 0
	for _, family := range [...]steer.Family{steer.V4, steer.V6} {
		w.request = steer.Request{Client: client.Unmap(), Family: family, Random: w.random.Uint64()}
		if subnet {
			w.request.Client, w.request.Resolver = w.query.ECS.Addr.Unmap(), w.request.Client
		}
		w.times(view, p)
		p.Decide(view, &w.request, d)
		if d.Count == 0 || subnet && d.Scope > 0 {
			continue
		}
		source := w.beside.Source()
		if w.beside.Hidden {
			source = nil
		}
		if !w.decided(wire.Additional, place, source) {
			return false
		}
	}
	return true
}
