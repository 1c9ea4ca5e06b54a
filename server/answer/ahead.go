package answer

import (
	"net/netip"
	"unsafe"

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
	fewAhead  = 4  // with fewer requests, looking ahead does not pay
	mostAhead = 64 // number of requests at once
)

// Ahead fetches the memory that requests will need into the cache, before Respond is called for each of them.
//
// A query takes some ten steps, and each reads where the one before it says. Where a million names are served, or the
// kernel has had the cache to itself, each may wait 100 ns for memory, which is more than all else that a query costs.
// So a batch takes each step for all of its requests before the next:
//
//	step here            fetches                    which is read by
//	Snapshot.Aim         a name's slot              Lookup: shard.next
//	Limiter.Bucket       a bucket of the limit      limit: Limiter.Allow
//	snapshot.Ahead.Reach a name's record            Lookup: node.set
//	Policy.Line          a policy's first line      decide: Policy.decide
//	Policy.Aim, Reach    the area of the client     decide: selector.choose
//	Policy.Leads, Lead   the pool that leads        decide: Policy.quick
//	State.base           a policy's first cell      steer: State.cell
//
// What it saves of an answer, without system calls (BenchmarkAhead): 13 % with a million names, 20 % with 10,000 pools.
// It costs 30 % where all fits the cache, as in a benchmark of 1,000 names. Beside a busy kernel it does not, and a
// look-up of 270 ns becomes one of 60 (docs/measurements.md).
//
// Nothing breaks if a step is wrong: Respond makes the answer, and takes no result of Ahead. An address that is not
// needed costs some nanoseconds. So a step that falls behind a change of Lookup or decide shows in BenchmarkAhead, and
// nowhere else.
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
			prefetch(unsafe.Pointer(state.base(a.policy)))
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
