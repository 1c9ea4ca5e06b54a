package snapshot

import (
	"bytes"

	"leeward/zones/rr"
)

// diffSigned does Diff for zones that are signed here. A signature that an older version was handed on with and that
// was let go since is made again: the same keys make the same.
func (z *Zone) diffSigned(old *Zone, f func(added bool, name []byte, record []byte) bool) error {
	was, is := &hand{Zone: old}, &hand{Zone: z}
	more := true
	at := func(name []byte) bool {
		before, after := was.at(name), is.at(name)
		if was.err != nil || is.err != nil {
			return false
		}
		for _, r := range before {
			more = more && (r.among(after) || f(false, r.owner, r.wire))
		}
		for _, r := range after {
			more = more && (r.among(before) || f(true, r.owner, r.wire))
		}
		return more
	}
	names, few := is.touched(was)
	switch {
	case few:
		for name := range names {
			if !at([]byte(name)) {
				break
			}
		}
	default:
		old.zone.tree.nodes(func(n node) bool { return at(n.name()) })
		z.zone.tree.nodes(func(n node) bool { return !more || old.zone.tree.find(n.name()) != nil || at(n.name()) })
	}
	if was.err != nil {
		return was.err
	}
	return is.err
}

// handedRecord is a record with its owner. That of an NSEC3 is another than the name that has it.
type handedRecord struct{ owner, wire []byte }

func (r handedRecord) among(all []handedRecord) bool {
	for _, x := range all {
		if bytes.Equal(x.wire, r.wire) && bytes.Equal(x.owner, r.owner) {
			return true
		}
	}
	return false
}

// touched returns the names that may be handed on otherwise than in an older version: those that have changed, and
// those before them in the chain. few is false where that may be any name: if signatures are others or denial has
// another TTL, and if a cut or a DNAME has come or gone above other names.
func (h *hand) touched(old *hand) (names map[rr.Name]bool, few bool) {
	g, was := h.zone.signing, old.zone.signing
	if h.generation != old.generation || g.signer != was.signer || g.ttl != was.ttl {
		return nil, false
	}
	changed := map[rr.Name]bool{}
	h.changed(old.Zone, func(name []byte) { changed[rr.Name(name)] = true })
	names = make(map[rr.Name]bool, 2*len(changed))
	for name := range changed {
		a, b := old.zone.tree.find([]byte(name)), h.zone.tree.find([]byte(name))
		if a != nil && b != nil && a.policy() < 0 && b.policy() < 0 && alike(a, b) && g.keepsAlike(was, name) {
			continue // it has a shard with one that has changed
		}
		if denied := h.zone.deniedBy(name); denied != "" && !g.keepsAlike(was, name) {
			names[denied] = true
		}
		hides := func(n node) [2]bool { return [2]bool{n != nil && n.cut(), n != nil && n.turn()} }
		if hides(a) != hides(b) && (a != nil && a.kids() > 0 || b != nil && b.kids() > 0) {
			return nil, false
		}
		names[name] = true
		// What came or went beside each other has the same name before it, which stays: that of one of them is it.
		names[rr.Name(h.zone.named(nil, h.step(h.zone.key(nil, []byte(name)), false)))] = true
	}
	return names, true
}

// step returns the key after one in the chain of what is handed on, or the one before: itself if there is no other.
func (h *hand) step(key []byte, forward bool) []byte {
	c := h.zone.signing.chain
	for at := key; ; {
		if forward {
			_, at, _ = c.Find(at)
		} else {
			at = c.Before(at)
		}
		if h.zone.signing.signer.NSEC3() || bytes.Equal(at, key) ||
			len(h.types(h.zone.tree.find(h.zone.named(nil, at)))) > 0 {
			return at
		}
	}
}

// at returns all that is handed on because of a name: its records, the record of denial that says what it has, and the
// signatures of these.
func (h *hand) at(name []byte) (all []handedRecord) {
	if h.err != nil {
		return nil
	}
	h.more, h.f = true, func(owner []byte, _ rr.Type, count int, wire []byte) bool {
		owner = bytes.Clone(owner)
		for range count {
			size := recordHead + len(dataOf(wire))
			all = append(all, handedRecord{owner, bytes.Clone(wire[:size])})
			wire = wire[size:]
		}
		return true
	}
	n := h.zone.tree.find(name)
	if n == nil {
		return nil
	}
	h.node(n)
	key := h.zone.key(nil, name)
	own, _, linked := h.zone.signing.chain.Find(key)
	if types := h.types(n); linked && (len(types) > 0 || h.zone.signing.signer.NSEC3()) {
		h.link(own, h.step(own, true), types)
	}
	return all
}
