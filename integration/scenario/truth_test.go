//go:build linux

package scenario

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"leeward/integration/lab"
)

// truth is what was true while faults came and went, as far as an answer can be checked by it: which endpoints were
// well, and who could not know. It knows nothing about how Leeward decides. For an address, a server's client and a
// moment it says one of three things. The address must be in the answer, or it must not, or both are right because the
// bounds in docs/failure-modes.md have not passed yet.
type truth struct {
	regions []*lab.Region
	stood   func(from, until time.Time) time.Duration // how long the machine stood still
	spells  []spell
}

// spell is a fault from its beginning to its end.
type spell struct {
	from, until time.Time // until is zero while it lasts
	effect
}

// effect is what a fault means for answers.
type effect struct {
	dead  []netip.Addr // well for nobody
	vague []netip.Addr // well now and then
	blurs []string     // regions whose endpoints not everybody can judge: their links are bad
	late  []string     // servers that hear of others late or not at all
	// a server that is down or stands still: its votes count until they are stale, and it comes back with what it knew
	gone string
	full string // a server whose disk accepts nothing: its kept verdicts grow old
}

// quick is how long a verdict takes when nothing else is wrong: fall × interval + timeout of the plan, and a second for
// the reports, the decision and the answer. slow is the same if etcd, a link or two servers have failed too: then old
// reports count until they are stale.
func (x *truth) quick(p lab.Plan) time.Duration {
	return time.Duration(p.Fall)*p.Every + p.Timeout + time.Second + grace
}

func (x *truth) slow(p lab.Plan) time.Duration { return x.quick(p) + 14*time.Second }

func (s *spell) overlaps(from, until time.Time) bool {
	return s.from.Before(until) && (s.until.IsZero() || s.until.After(from))
}

func (s *spell) covers(from, until time.Time) bool {
	return !s.from.After(from) && (s.until.IsZero() || s.until.After(until))
}

// say is what truth says about an address.
type say int

const (
	either say = iota
	in
	out
)

// of says whether an address of a region must be in the answers of a server to a query.
func (x *truth) of(p lab.Plan, a netip.Addr, r *lab.Region, server string, sent, received time.Time) say {
	bound := x.bound(p, server, sent, received)
	from := sent.Add(-bound - x.stood(sent.Add(-bound), received))
	// A server that has just started leaves out what was down when it ended, until its own probes or others that it
	// hears say otherwise (section 19 of docs/failure-modes.md).
	since := from
	for i := range x.spells {
		s := &x.spells[i]
		started := s.until.IsZero() || s.until.After(sent.Add(-x.quick(p)))
		if at := x.kept(p, server, s.from); s.gone == server && started && at.Before(since) {
			since = at
		}
	}
	alone := x.alone(p, server, sent, received)
	deadAll, deadAny := false, false
	for i := range x.spells {
		s := &x.spells[i]
		if slices.Contains(s.dead, a) {
			deadAll = deadAll || s.covers(from, received) && (alone.IsZero() || s.from.Before(alone))
			deadAny = deadAny || s.overlaps(since, received)
		}
		if slices.Contains(s.vague, a) && s.overlaps(since, received) {
			return either
		}
	}
	switch {
	case deadAll:
		return out
	case deadAny:
		return either
	}
	for i := range x.spells {
		s := &x.spells[i]
		if s.overlaps(since, received) && slices.Contains(s.blurs, r.Name) {
			return either
		}
	}
	// Probes that nobody can answer in time because the machine stands still fail, of several vantages at once.
	if x.stood(sent.Add(-x.quick(p)), received) >= p.Timeout {
		return either
	}
	return in
}

// alone returns since when a server cannot know what has died, because it has just started and hears nobody: it has
// what it knew when it ended, and has not probed yet. Zero: it has no such excuse.
func (x *truth) alone(p lab.Plan, server string, sent, received time.Time) (since time.Time) {
	for i := range x.spells {
		s := &x.spells[i]
		if s.gone != server || s.until.IsZero() || !s.until.After(sent.Add(-x.quick(p))) {
			continue
		}
		deaf := slices.ContainsFunc(x.spells, func(o spell) bool {
			return slices.Contains(o.late, server) && o.overlaps(s.until, received)
		})
		if at := x.kept(p, server, s.from); deaf && (since.IsZero() || at.Before(since)) {
			since = at
		}
	}
	return since
}

// again is how long a server waits after its disk has refused a write.
const again = 10 * time.Second

// kept returns since when something may have been true that is in the verdicts on the disk of a server that ends at
// that time. They are as old as the last moment at which the disk accepted them.
func (x *truth) kept(p lab.Plan, server string, at time.Time) time.Time {
	for _, s := range slices.Backward(x.spells) {
		if s.full == server && s.from.Before(at) && (s.until.IsZero() || s.until.Add(again+grace).After(at)) {
			at = s.from
		}
	}
	return at.Add(-x.slow(p))
}

// bound is how long a server may take to know, at a query.
func (x *truth) bound(p lab.Plan, server string, sent, received time.Time) time.Duration {
	slow := x.slow(p)
	from := sent.Add(-slow - x.stood(sent.Add(-slow), received))
	gone := map[string]bool{}
	for i := range x.spells {
		s := &x.spells[i]
		if !s.overlaps(from, received) {
			continue
		}
		if slices.Contains(s.late, server) || s.gone == server {
			return slow
		}
		if s.gone != "" {
			gone[s.gone] = true
		}
	}
	if len(gone) > 1 {
		return slow
	}
	return x.quick(p)
}

// lonely says whether a resolver may have found no server: of three, two were gone while it asked, once or twice. The
// third does not help if it was gone shortly before, because unbound then avoids it (infra-host-ttl).
func (x *truth) lonely(s *sighting) bool {
	gone := map[string]bool{}
	for i := range x.spells {
		if one := &x.spells[i]; one.gone != "" && one.overlaps(s.sent.Add(-patience), s.received) {
			gone[one.gone] = true
		}
	}
	return len(gone) > 1
}

// wrong says why an answer cannot be right, "" if it can.
func (x *truth) wrong(p lab.Plan, s *sighting) string {
	six := s.addresses[0].Is6()
	says := map[netip.Addr]say{}
	open := true // perhaps nothing is well, and the answer is as if everything were
	for _, r := range x.regions {
		for _, a := range r.Addresses(six) {
			says[a] = x.of(p, a, r, s.server, s.sent, s.received)
			open = open && says[a] != in
		}
	}
	var why []string
	for _, name := range s.client.Order {
		r := x.regions[slices.IndexFunc(x.regions, func(r *lab.Region) bool { return r.Name == name })]
		fits, can, must := true, false, false
		for _, a := range r.Addresses(six) {
			there := slices.Contains(s.addresses, a)
			fits = fits && !(there && says[a] == out) && (there || says[a] != in)
			can = can || there
			must = must || says[a] == in
		}
		outside := slices.ContainsFunc(s.addresses, func(a netip.Addr) bool {
			return !slices.Contains(r.Addresses(six), a)
		})
		if !outside && can && (fits || open) {
			return ""
		}
		why = append(why, name+" "+x.text(r, six, says))
		if must {
			break // the regions after it do not matter: this one must answer
		}
	}
	return "it can only be of: " + strings.Join(why, "; ")
}

func (x *truth) text(r *lab.Region, six bool, says map[netip.Addr]say) string {
	var all []string
	for i, a := range r.Addresses(six) {
		all = append(all, fmt.Sprintf("%s/%d %s", r.Name, i+1, [...]string{"either way", "in", "out"}[says[a]]))
	}
	return "(" + strings.Join(all, ", ") + ")"
}
