package answer

import (
	"math/bits"

	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// A server without keys has only the signatures that others have made. If the set that a policy has decided on has
// none, the server answers with the largest subset that has one. Each single address has one, unless it was configured
// just now. If no subset has one, the server answers with another address that the policy could have decided on.

// mostLess is how many subsets are tried, largest first, before single addresses are.
const mostLess = 64

// signLess replaces a decision without a signature by one that has a signature, and returns its RRSIGs.
func (w *Worker) signLess(signer *dnssec.Signer, source []byte) []byte {
	if d := &w.decision; d.Count == 1 {
		id := signer.Begin(source, d.Type, d.TTL)
		signer.Add(&id, d.Data)
		if w.rrsigs(signer.Now(), id, source, d.Type, d.TTL) {
			return w.signing.rrsig
		}
	}
	return w.less(signer, source)
}

func (w *Worker) less(signer *dnssec.Signer, source []byte) []byte {
	d, s, g := &w.decision, &w.signing, signer.Now()
	width := len(d.Data) / d.Count
	whole := append(s.whole[:0], d.Data...)
	s.whole = whole
	n, tries := d.Count, 0
	for k := n - 1; k > 1 && n <= 64 && tries < mostLess; k-- {
		for part, more := uint64(1)<<k-1, true; more && tries < mostLess; tries++ {
			s.part = s.part[:0]
			id := signer.Begin(source, d.Type, d.TTL)
			for rest := part; rest != 0; rest &= rest - 1 {
				at := bits.TrailingZeros64(rest) * width
				signer.Add(&id, whole[at:at+width])
				s.part = append(s.part, whole[at:at+width]...)
			}
			d.Data, d.Count = s.part, k
			if w.chosen(g, id, source) {
				return s.rrsig
			}
			low := part & -part // the next number with as many ones (Gosper)
			next := part + low
			if next == 0 {
				break
			}
			part = next | (part^next)>>2/low
			more = n == 64 || part < 1<<n
		}
	}
	single := func(address []byte) bool {
		s.part = append(s.part[:0], address...)
		d.Data, d.Count = s.part, 1
		id := signer.Begin(source, d.Type, d.TTL)
		signer.Add(&id, d.Data)
		if w.rrsigs(g, id, source, d.Type, d.TTL) {
			return true
		}
		set := dnssec.Set{Owner: rr.Name(source), Type: d.Type, TTL: d.TTL, Data: [][]byte{d.Data}}
		return g.Sign(id, set) == nil && w.rrsigs(g, id, source, d.Type, d.TTL)
	}
	for at := 0; at < len(whole); at += width {
		if single(whole[at : at+width]) {
			return s.rrsig
		}
	}
	family, found := steer.V4, false
	if width == 16 {
		family = steer.V6
	}
	if state := w.responder.state.Load(); state != nil && w.found.Policy != nil {
		w.found.Policy.Others(state.View, state.Snapshot.Program(), family, func(address []byte) bool {
			found = single(address)
			return !found
		})
	}
	if !found {
		s.broken = true
	}
	return s.rrsig
}
