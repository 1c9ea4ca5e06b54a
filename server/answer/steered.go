package answer

import (
	"net/netip"

	"leeward/server/wire"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// steer writes what a policy answers this client. owner is where the name is in the message.
//
// The client is the address in the query's ECS option. If there is none, or its source prefix length is 0 because
// somebody does not want to be located by it, the client is the resolver that asks (RFC 7871 section 7.1.2). Such an
// answer has scope 0, since nothing in the option matters. A resolver also stands for a private address (section 10).
//
// If the policy's endpoints are answered by name, target is the name that the client is sent to.
func (w *Worker) steer(state *State, client netip.Addr, owner int) (target []byte, rcode uint16) {
	b, d := &w.build, &w.decision
	before := w.scope
	w.decide(state.View, client)
	if owner != wire.QName && w.scope > before {
		// What leads here is for all clients, but this answer is not. Clients must ask for it by its own name (RFC 7871
		// section 7.2.1).
		w.scope = before
		b.SetScope(before)
		return nil, wire.RcodeNoError
	}
	if !w.again {
		w.tally[steered]++
		w.stripe.kinds.add(w.found.Policy, &w.request)
		w.answered.note(state.cell(w), &w.stripe.cells)
		if state.Snapshot.CountsCountries() {
			w.countCountry(state.Snapshot)
		}
	}
	if d.Says != steer.SaysAddresses {
		return nil, w.says(state, d.Says, owner)
	}
	if d.Unresolved {
		b.SetAuthoritative(false)
		b.SetError(wire.ErrorNotReady, "the endpoints' names are not resolved yet")
		return nil, wire.RcodeServFail
	}
	if d.Count == 0 && w.found.Expired() { // only the primary could say that there is nothing more
		return nil, w.notCurrent(snapshot.Outdated)
	}
	if d.Count == 0 {
		w.noData(state, w.withheld(state))
		return nil, wire.RcodeNoError
	}
	if d.FailOpen && !w.again {
		w.tally[failOpen]++
		w.answered.note(state.openCell(w.found.Policy), &w.stripe.cells)
	}
	w.expands()
	w.decided(wire.Answer, owner, w.found.Source())
	if w.request.Family == steer.Name {
		target = d.Data // valid until the next decision
	}
	return target, wire.RcodeNoError
}

// decide asks the policy that was found, and sets the scope of its decision.
func (w *Worker) decide(view *steer.View, client netip.Addr) {
	q, b, d := &w.query, &w.build, &w.decision
	subnet := q.ECS.Present && q.ECS.Source > 0
	w.request = steer.Request{Client: client.Unmap(), Family: w.found.Family, Random: w.random.Uint64()}
	if subnet {
		w.request.Client, w.request.Resolver = q.ECS.Addr.Unmap(), w.request.Client
		client = q.ECS.Addr
	}
	w.times(view, w.found.Policy)
	w.ask(view)
	scope := d.Scope
	if d.Count == 0 && d.Says == steer.SaysAddresses && w.any() {
		// one RRset is enough, of whichever family there is (RFC 8482 section 4.1)
		w.request.Family = steer.V6
		w.ask(view)
		scope = max(scope, d.Scope)
	}
	if d.Unresolved && w.found.Alone { // better a name to go on with than nothing
		w.request.Family = steer.Name
		w.ask(view)
		scope = max(scope, d.Scope)
	}
	if subnet {
		if client.Is4In6() { // decided as IPv4, but echoed as IPv6
			scope += 96
		}
		w.scope = max(w.scope, scope) // what a CNAME leads to may be steered too
		b.SetScope(w.scope)
	}
}

// times gives the request the time, as far as it matters to the policy.
func (w *Worker) times(view *steer.View, p *steer.Policy) {
	if named, planned := view.Named(), p.Planned(); named || planned { // this much is compiled into the query path
		w.clock(named, planned)
	}
}

func (w *Worker) clock(named, planned bool) {
	now := w.responder.options.Now()
	if named {
		w.request.Now = steer.Moment(now)
	}
	if planned {
		w.request.Clock = now.Unix()
	}
}

// says writes what a policy answers instead of addresses.
//
// A name in the chain of a signed zone cannot be proven not to exist. So a client that wants proof gets NODATA.
func (w *Worker) says(state *State, what steer.Says, owner int) (rcode uint16) {
	b := &w.build
	switch what {
	case steer.SaysRefused:
		if owner != wire.QName {
			// for this client the alias is as good as for others: its target is refused when asked for
			return wire.RcodeNoError
		}
		b.SetAuthoritative(false)
		b.SetError(wire.ErrorProhibited, "")
		return wire.RcodeRefused
	case steer.SaysServFail:
		b.SetAuthoritative(false)
		b.SetError(wire.ErrorOther, "no endpoint is available")
		return wire.RcodeServFail
	case steer.SaysNXDomain:
		if rcode = wire.RcodeNXDomain; w.query.DO && w.signer() != nil {
			rcode = wire.RcodeNoError
		}
	}
	if w.found.Expired() {
		return w.notCurrent(snapshot.Outdated)
	}
	w.noData(state, w.withheld(state))
	return rcode
}

// ask asks the policy once.
func (w *Worker) ask(view *steer.View) {
	w.found.Policy.Decide(view, &w.request, &w.decision)
	w.trace.decided(w, view)
}
