package admin

import (
	"fmt"
	"slices"
	"time"

	"leeward/zones/steer"
)

// lagging is how long a watch may be silent before it counts as late. A watch asks etcd about once a second, and gives
// an attempt up after a few seconds.
const lagging = 3 * time.Second

// Late reports whether the watch has been silent for longer than it should be.
func (w *Watch) Late() bool { return w.LagSeconds >= lagging.Seconds() }

// Ailing returns a copy of the status with only what is not as it should be: vantages that do not vote, pools that are
// out or over their target, endpoints that are not up or that an operator has overridden, late watches, and so on. What
// follows from a server's silence, or from the loss of etcd, is left out: the server itself tells of it.
func (s *Status) Ailing() *Status {
	out := *s
	off := s.CutOff() != nil
	told := map[string]bool{}
	for i := range s.Servers {
		told[s.Servers[i].ID] = !s.Servers[i].Fresh
	}
	out.Vantages = without(s.Vantages, func(v *Vantage) bool {
		return v.Fresh && !v.Blind || !v.Fresh && (off || told[v.ID])
	})
	if off {
		out.Problems = without(s.Problems, func(p *Problem) bool {
			return p.Field == "" && (p.Resource == "vantages/"+s.Self || p.Resource == "servers")
		})
	}
	out.Pools = without(s.Pools, func(p *Pool) bool { return p.well() })
	out.Endpoints = without(s.Endpoints, func(e *Endpoint) bool { return e.well() })
	out.Watches = without(s.Watches, func(w *Watch) bool { return off || !w.Late() })
	if s.Database != nil && s.Database.Problem == "" {
		out.Database = nil
	}
	out.Geo = slices.Clone(s.Geo)
	for i := len(out.Geo) - 1; i >= 0; i-- {
		if out.Geo[i].Error == "" {
			out.Geo = slices.Delete(out.Geo, i, i+1)
		}
	}
	out.Secondaries = without(s.Secondaries, func(x *Secondary) bool { return x.Error == "" && !x.Pending })
	out.Following = without(s.Following, func(x *Following) bool { return x.State == "current" && x.Error == "" })
	out.Signing = s.Signing.unwell()
	return &out
}

// Wrong reports whether anything needs somebody's attention: something is out, a name has no pool for some clients, a
// server or a vantage is silent or does not follow its source, there is a problem, or a removal is held back.
func (s *Status) Wrong() bool {
	a := s.Ailing()
	return len(a.Vantages)+len(a.Pools)+len(a.Endpoints)+len(a.Watches)+len(a.Geo)+len(a.Secondaries)+
		len(a.Following) > 0 ||
		a.Database != nil || a.Signing != nil || len(s.FailingOpen)+len(s.Denied)+len(s.Problems)+len(s.Held) > 0 ||
		slices.ContainsFunc(slices.Concat(s.Servers, s.Signers), func(v Server) bool {
			return !v.Fresh || v.Source.State != "following" || v.CopyError != "" || v.Held > 0 ||
				v.Written.Trouble() != ""
		})
}

// without returns those of all that are not well, in a new list.
func without[T any](all []T, well func(*T) bool) []T {
	n := 0
	for i := range all {
		if !well(&all[i]) {
			n++
		}
	}
	left := make([]T, 0, n) // growing it by and by would take twice the memory, at each page of a bad night
	for i := range all {
		if n > len(left) && !well(&all[i]) {
			left = append(left, all[i])
		}
	}
	return left
}

// well reports whether the pool is in the answers with every family that it has, and carries no more than its target.
func (p *Pool) well() bool { return p.Answers() && !p.Over() && (p.LoadStatus == nil || p.Keep >= 1) }

// Answers reports whether the pool is in the answers with every family that it has, and nobody has overridden it.
func (p *Pool) Answers() bool {
	out := p.Override != ""
	for _, f := range []steer.FamilyStatus{p.IPv4, p.IPv6, p.Names} {
		out = out || f.Total > 0 && !f.Available
	}
	return !out
}

// well reports whether no address of the endpoint is down, its hostname resolves, and nobody has overridden it.
func (e *Endpoint) well() bool {
	return e.Override == "" && (e.Hostname == nil || e.Hostname.Error == "") &&
		!slices.ContainsFunc(e.Addresses, func(a Address) bool { return a.Verdict == "down" })
}

// Says sums the votes on an address that is down up: how many of those that count say so, and the reason that most of
// them give: "3 of 3 vantages: connection refused".
func (a *Address) Says() string {
	reasons, best := map[string]int{}, ""
	for _, v := range a.Votes {
		if v.Counted && v.State == a.Verdict && v.Reason != "" {
			n := reasons[v.Reason] + 1
			if reasons[v.Reason] = n; n > reasons[best] || n == reasons[best] && v.Reason < best {
				best = v.Reason
			}
		}
	}
	if a.Verdict != "down" {
		return best
	}
	text := fmt.Sprintf("%d of %s", a.Down, counted(a.Up+a.Down, "vantage"))
	if best != "" {
		text += ": " + best
	}
	return text
}
