package answer

import (
	"net/netip"

	"leeward/server/rrl"
	"leeward/server/wire"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// ahead is what is known of a request before its turn.
type ahead struct {
	look   snapshot.Ahead
	policy *steer.Policy
	client netip.Addr
	family steer.Family
}

const (
	fewAhead  = 4  // requests, from which on it pays to look ahead
	mostAhead = 64 // at once
)

// Ahead has what requests will need brought into the cache. A query takes some ten steps of which each looks where
// the one before it says: slot, record, bucket of the rate limit, policy, area, pool. Where a million names are served,
// or the kernel has had the cache to itself, each may be 100 ns of waiting, more than all else that a query costs. So a
// batch takes each step for all of its requests before the next. It is only that: answers come from respond, whatever
// is done here.
func (w *Worker) Ahead(n int, request func(int) ([]byte, netip.Addr)) {
	state, limiter, all := w.responder.state.Load(), w.responder.limiter, w.ahead
	if n = min(n, len(all)); state == nil || n < fewAhead {
		return
	}
	s := state.Snapshot
	for i := range n {
		a := &all[i]
		message, client := request(i)
		name, qtype, subnet := wire.Glance(message)
		a.client, a.family = client, steer.V4
		if qtype == wire.TypeAAAA {
			a.family = steer.V6
		}
		prefetch(s.Aim(name, &a.look))
		if h := a.look.Hash(); limiter != nil && h != 0 {
			prefetch(limiter.Bucket(client, rrl.Answer, h))
		}
		if subnet.IsValid() {
			a.client = subnet
		}
	}
	for i := range n {
		first, second := all[i].look.Reach()
		prefetch(first)
		prefetch(second)
	}
	steered := false
	for i := range n {
		a := &all[i]
		if a.policy = a.look.Policy(s); a.policy != nil {
			steered = true
			prefetch(a.policy.Line())
		}
	}
	if !steered {
		return
	}
	for i := range n {
		if a := &all[i]; a.policy != nil {
			prefetch(a.policy.Aim(a.client))
			prefetch(a.policy.Leads())
		}
	}
	for i := range n {
		if a := &all[i]; a.policy != nil {
			prefetch(a.policy.Reach(a.client))
		}
	}
	for i := range n {
		if a := &all[i]; a.policy != nil {
			prefetch(a.policy.Lead(state.View, a.client, a.family))
		}
	}
}
