package server

import (
	"bytes"
	"net/netip"

	"leeward/server/wire"
	"leeward/zones/snapshot"
)

// maxChain is how many CNAMEs are followed. Their records take less than the 16 KiB that a compression pointer reaches.
const maxChain = 16

// follow writes what the tree has for the question, going on at the target of each CNAME for as long as that is ours
// (RFC 1034 4.3.2 step 3a), and returns the RCODE: that of the last name (RFC 6604 section 3). AA is about the first
// owner (RFC 1035 4.1.1). A chain that bites its tail, or has too many links, ends there with NOERROR.
func (w *worker) follow(state *State, client netip.Addr) (rcode uint16) {
	q, b, found := &w.query, &w.build, &w.found
	name, owner := q.Name(), wire.QName
	for link := 0; ; link++ {
		state.Snapshot.Lookup(name, q.Type, q.Class, found)
		switch found.Outcome {
		case snapshot.Refused:
			if link == 0 {
				b.SetError(wire.ErrorNotAuthoritative, "")
				return wire.RcodeRefused
			}
			return wire.RcodeNoError // the rest of the chain is others'
		case snapshot.Referral:
			w.set(wire.Authority, &found.Authority, owner)
			// Without its glue a referral leads nowhere: what does not fit has to come over TCP (RFC 9471 section 3.1).
			if found.GlueCount > 0 && !b.Records(wire.Additional, found.Glue, found.GlueCount) {
				b.Truncate()
			}
			return wire.RcodeNoError
		}
		b.SetAuthoritative(true)
		switch found.Outcome {
		case snapshot.Positive:
			w.set(wire.Answer, &found.Answer, owner)
			return wire.RcodeNoError
		case snapshot.Steered:
			at := b.Len()
			target, rcode := w.steer(state.View, client, owner)
			if target == nil || q.Type == wire.TypeCNAME || q.Type == wire.TypeANY || link == maxChain-1 || b.Truncated() {
				return rcode
			}
			if w.been(link, target) {
				return rcode
			}
			name, owner = w.chain[link].set(target), at+wire.DataOffset
		case snapshot.NoData:
			w.set(wire.Authority, &found.Authority, owner)
			return wire.RcodeNoError
		case snapshot.NameError:
			w.set(wire.Authority, &found.Authority, owner)
			return wire.RcodeNXDomain
		case snapshot.Alias:
			at := b.Len()
			if !w.set(wire.Answer, &found.Answer, owner) || link == maxChain-1 {
				return wire.RcodeNoError
			}
			if w.been(link, found.Target) {
				return wire.RcodeNoError
			}
			name, owner = w.chain[link].set(found.Target), at+wire.DataOffset // the CNAME's RDATA says it in full
		default:
			b.SetAuthoritative(false)
			return wire.RcodeServFail
		}
	}
}

// target is a name in wire form, a worker's own copy: what a look-up gives lasts until the next one.
type target struct {
	name [wire.MaxName]byte
	size int
}

func (t *target) set(name []byte) []byte {
	t.size = copy(t.name[:], name)
	return t.name[:t.size]
}

// been reports whether the name was asked for, or led to by one of that many links.
func (w *worker) been(links int, name []byte) bool {
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

// set writes a set whose owner is a suffix of the name at that offset of the message.
func (w *worker) set(s wire.Section, set *snapshot.Set, name int) bool {
	return w.build.Set(s, set.Wire, set.Count, name+set.Owner)
}
