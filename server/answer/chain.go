package answer

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"leeward/server/wire"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// maxChain is how many CNAMEs and DNAMEs are followed. Their records take less than the 16 KiB that a compression
// pointer can reach.
const maxChain = 16

// follow answers the question. It also proves what wildcards contributed.
func (w *Worker) follow(state *State, client netip.Addr) (rcode uint16) {
	w.signing.wilds, w.signing.proofs, w.signing.broken = 0, 0, false
	if state.Snapshot.Debugged() && w.debugs(state, client) {
		w.debug(state, client)
	} else {
		rcode = w.chase(state, client)
	}
	w.expansions(state)
	if w.signing.broken {
		w.build.Fail()
		w.build.SetError(wire.ErrorOther, "the answer could not be signed")
		return wire.RcodeServFail
	}
	return rcode
}

// chase writes what the tree has for the question, and goes on at the target of each CNAME and DNAME while that is in a
// zone of ours (RFC 1034 section 4.3.2 step 3a, RFC 6672 section 3.2). It returns the RCODE of the last name (RFC 6604
// section 3). AA is about the first owner (RFC 1035 section 4.1.1). A chain that leads back to itself, or has too many
// links, ends there with NOERROR.
func (w *Worker) chase(state *State, client netip.Addr) (rcode uint16) {
	q, b, found := &w.query, &w.build, &w.found
	w.name, w.owner, w.turns = q.Name(), wire.QName, 0
	name := q.Question[:len(w.name)] // as it was sent, which can be hashed at once (see package snapshot)
	for link := 0; ; link++ {
		state.Snapshot.Lookup(name, q.Type, q.Class, found)
		w.trace.looked(w, link)
		if link == 0 { // everything else follows from this
			w.subject, w.ours = subjectOf(found, w.name), found.Outcome != snapshot.Refused
		}
		switch found.Outcome {
		case snapshot.Refused:
			if link == 0 {
				b.SetError(wire.ErrorNotAuthoritative, "")
				return wire.RcodeRefused
			}
			return wire.RcodeNoError // the rest of the chain is up to others
		case snapshot.Referral:
			w.refer(state, client)
			return wire.RcodeNoError
		case snapshot.Unready, snapshot.Outdated, snapshot.Unusable, snapshot.Missed:
			return w.notCurrent(found.Outcome)
		}
		b.SetAuthoritative(true)
		at := b.Len()
		var target []byte
		switch found.Outcome {
		case snapshot.Positive:
			w.expands()
			if _, on := leads(q.Type); w.static(wire.Answer, &found.Answer, found.Source()) && on {
				w.additional(state, client, at)
			}
			if q.Expire && q.Type == wire.TypeSOA {
				w.expire()
			}
			return wire.RcodeNoError
		case snapshot.Steered:
			if target, rcode = w.steer(state, client, w.owner); target == nil || w.scope > 0 ||
				q.Type == wire.TypeCNAME || w.any() {
				// with a scope, clients must ask for an alias's target by themselves, because it has another scope (RFC
				// 7871 section 7.2.1)
				return rcode
			}
		case snapshot.NoData:
			if w.link(state) {
				return wire.RcodeNoError
			}
			if found.Policy != nil { // for this client it has no addresses, nor anything else
				if w.decide(state.View, client); w.decision.Says == steer.SaysNXDomain {
					return w.says(state, steer.SaysNXDomain, w.owner)
				}
			}
			w.noData(state, nil)
			return wire.RcodeNoError
		case snapshot.NameError:
			w.nameError(state)
			return wire.RcodeNXDomain
		case snapshot.Alias:
			w.expands()
			w.static(wire.Answer, &found.Answer, found.Source())
			target = found.Target
		case snapshot.Redirect, snapshot.TooLong:
			dname := &found.Answer
			if !slices.Contains(w.dnames[:w.turns], &dname.Wire[0]) { // an RRset is in a message once
				w.static(wire.Answer, dname, w.name[dname.Owner:])
				w.dnames[w.turns] = &dname.Wire[0]
				w.turns++
			}
			if found.Outcome == snapshot.TooLong {
				return wire.RcodeYXDomain
			}
			at, target = b.Len(), found.Target
			w.put(wire.Answer, &wire.RRset{
				Owner: uint16(w.owner), Type: wire.TypeCNAME, TTL: binary.BigEndian.Uint32(dname.Wire[6:]),
				Data: target, Count: 1, Name: w.name, NameAt: uint16(w.owner),
			})
			if q.Type == wire.TypeCNAME || w.any() {
				return wire.RcodeNoError
			}
		default:
			b.SetAuthoritative(false)
			return wire.RcodeServFail
		}
		switch {
		case w.been(link, target):
			w.trace.ended(loop)
			return wire.RcodeNoError
		case b.Truncated():
			return wire.RcodeNoError
		case link == maxChain-1:
			w.trace.ended(tooMany)
			return wire.RcodeNoError
		}
		w.name, w.owner = w.chain[link].set(target), at+wire.DataOffset // the CNAME's RDATA says it
		name = w.name
	}
}

// expire answers a secondary that asks for a zone's SOA: it says how long the zone stays valid (RFC 7314 section 4).
func (w *Worker) expire() {
	if seconds, ok := w.found.Expire(time.Now()); ok {
		w.build.SetExpire(seconds)
	}
}

// notCurrent answers for a zone that has no current content: it lives on another primary, or it is configured here and
// cannot be read.
func (w *Worker) notCurrent(why snapshot.Outcome) (rcode uint16) {
	w.build.SetAuthoritative(false)
	switch why {
	case snapshot.Unready:
		w.build.SetError(wire.ErrorNotReady, "the zone has not been transferred yet")
	case snapshot.Unusable:
		w.build.SetError(wire.ErrorInvalidData, "the zone as it is configured cannot be used")
	case snapshot.Missed:
		w.build.SetError(wire.ErrorInvalidData, "what is configured at the name cannot be read")
	default:
		w.build.SetError(wire.ErrorInvalidData, "the zone has expired: its primary has not been heard of for too long")
	}
	return wire.RcodeServFail
}

// target is a worker's own copy of a name in wire form: the result of a look-up lasts only until the next one.
type target struct {
	name [wire.MaxName]byte
	size int
}

func (t *target) set(name []byte) []byte {
	t.size = copy(t.name[:], name)
	return t.name[:t.size]
}

// been reports whether the name was asked for, or is the target of one of the first so many links.
func (w *Worker) been(links int, name []byte) bool {
	if bytes.Equal(w.query.Name(), name) {
		return true
	}
	for i := range links {
		if t := &w.chain[i]; bytes.Equal(t.name[:t.size], name) {
			return true
		}
	}
	return false
}
