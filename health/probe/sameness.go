package probe

import (
	"encoding/json"
	"net/netip"
	"slices"
	"time"

	"leeward/health"
)

// One probe for several targets.
//
//	pool shop, endpoint lb-1 ─ leader ───▶ schedule ──▶ probe ──▶ outcome ──┬─▶ tracker, report of shop/lb-1
//	pool cart, endpoint lb-1 ─ follower                                     └─▶ tracker, report of cart/lb-1
//
// Many services stand on the same balancers, each with pools of its own, and nothing that a probe sends tells them
// apart. So targets with the same address, check and manner are probed once, when their leader is due. Reports, votes
// and loads stay by target: whoever judges knows nothing of it.

// sameness is all that a probe depends on.
type sameness struct {
	address netip.Addr
	check   string // the monitor's settings as JSON
	manner  health.Manner
}

// samenessOf returns the sameness of an assignment. texts keeps the monitors' texts: most targets have one of few.
func samenessOf(a *health.Assignment, texts map[*health.Monitor]string) sameness {
	check, known := texts[a.Monitor]
	if !known {
		text, _ := json.Marshal(a.Monitor) // it came from JSON
		check = string(text)
		texts[a.Monitor] = check
	}
	return sameness{a.Address, check, a.Manner}
}

// share makes a target follow the leader of its kind, or lead if there is none. It reports whether it leads. The caller
// holds the mutex.
func (p *Prober) share(t *target, kind sameness) (leads bool) {
	t.kind = kind
	if t.leader = p.leaders[kind]; t.leader != nil {
		t.leader.followers = append(t.leader.followers, t)
		p.schedule.remove(t)
		return false
	}
	p.leaders[kind] = t
	return true
}

// unshare parts a target from its leader, or gives its followers another one, which probes at its own next slot. The
// caller holds the mutex.
func (p *Prober) unshare(t *target, now time.Time) {
	if l := t.leader; l != nil {
		l.followers = slices.DeleteFunc(l.followers, func(f *target) bool { return f == t })
		t.leader = nil
		return
	}
	delete(p.leaders, t.kind)
	if len(t.followers) == 0 {
		return
	}
	heir := t.followers[0]
	heir.leader, heir.followers, t.followers = nil, t.followers[1:], nil
	for _, f := range heir.followers {
		f.leader = heir
	}
	p.leaders[heir.kind] = heir
	if !heir.busy {
		heir.next = heir.slot(p.start, now)
		p.schedule.put(heir)
	}
}

// hasten makes a leader probe at that time if it would probe later, because it has a new follower. The caller holds the
// mutex.
func (p *Prober) hasten(leader *target, at time.Time) {
	if !leader.busy && at.Before(leader.next) {
		leader.next = at
		p.schedule.put(leader)
	}
}
