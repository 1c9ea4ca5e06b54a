package snapshot

import (
	"bytes"

	"leeward/zones/rr"
)

// diffSigned does what Diff does, for zones that are signed here. If a signature with which an older version was handed
// on has been dropped since, it is made again: the same keys make the same signature.
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

// handedRecord is a record with its owner. The owner of an NSEC3 is not the name that it stands for.
type handedRecord struct{ owner, wire []byte }

func (r handedRecord) among(all []handedRecord) bool {
	for _, x := range all {
		if bytes.Equal(x.wire, r.wire) && bytes.Equal(x.owner, r.owner) {
			return true
		}
	}
	return false
}

// touched returns the names that may be handed on differently from an older version: those that have changed, and those
// before them in the chain. few is false if that may be any name: signatures differ, denial has another TTL, or a cut
// or a DNAME above other names has come or gone.
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
			continue // its shard has one that changed
		}
		if denied := h.zone.deniedBy(name); denied != "" && !g.keepsAlike(was, name) {
			names[denied] = true
		}
		hides := func(n node) [2]bool { return [2]bool{n != nil && n.cut(), n != nil && n.turn()} }
		if hides(a) != hides(b) && (a != nil && a.kids() > 0 || b != nil && b.kids() > 0) {
			return nil, false
		}
		names[name] = true
		// Names that came or went next to each other share the name before them, which stays. It is found from one of
		// them.
		names[rr.Name(h.zone.named(nil, h.step(h.zone.key(nil, []byte(name)), false)))] = true
	}
	return names, true
}

// step returns the key after or before another one, in the chain of what is handed on. It is the key itself if there is
// no other.
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

// at returns everything that is handed on because of a name: its records, the record of denial that says what it has,
// and the signatures of all these.
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
