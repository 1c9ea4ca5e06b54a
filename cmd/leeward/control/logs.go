package control

import (
	"time"

	"leeward/health"
	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/catalog"
)

// mostLogged is how many turned verdicts, or new problems, are logged one by one. If there are more, only their number
// is logged.
const mostLogged = 20

// logVerdicts logs verdicts that have turned.
func (l *Loop) logVerdicts(turned []health.Target) {
	if len(turned) > mostLogged {
		down := 0
		for _, t := range turned {
			if l.board.State(t) == health.Down {
				down++
			}
		}
		l.o.Log.Warn("verdicts turned", "addresses", len(turned), "down", down)
		return
	}
	for _, t := range turned {
		v := l.board.Verdict(t)
		l.o.Log.Info("verdict", "endpoint", t.Endpoint, "address", t.Address, "state", v.State.String(), "why", v.Why)
	}
}

// logProblems logs the problems that are new, or that there are none any more.
func (l *Loop) logProblems(found, before zones.Problems) {
	switch {
	case len(found) > mostLogged:
		l.o.Log.Warn("resources have problems, see the status", "new", len(found), "problems", len(l.wrong))
	case len(l.wrong) == 0 && len(before) > 0:
		l.o.Log.Info("no resource has a problem any more")
	default:
		for i := range found {
			p := &found[i]
			l.o.Log.Warn("a resource has a problem", "resource", string(p.Key), "field", p.Field, "message", p.Message,
				"in service", l.inService(p), "revision", p.Revision)
		}
	}
}

// inService says which version of the resource is in service while its newest version has that problem.
func (l *Loop) inService(p *zones.Problem) string {
	switch {
	case p.Code == zones.CodeStray:
		return admin.InServiceNone
	case p.Key.Kind() == "": // a file that cannot be read
		return admin.InServiceOlder
	}
	switch l.catalog.VersionOf(p.Key) {
	case 0:
		return admin.InServiceNone
	case p.Revision:
		return admin.InServiceNewest
	}
	return admin.InServiceOlder
}

// logHeld logs that the guard has begun to hold something back, or that it holds back nothing any more. first is the
// first key that is new, or nil.
func (l *Loop) logHeld(first *catalog.Held, before int) {
	switch {
	case first != nil && l.held > 0:
		l.o.Log.Warn("removals are held back until leeward accept",
			"held", l.held, "first", string(first.Key), "why", first.Why)
	case l.held == 0 && before > 0:
		l.o.Log.Info("nothing is held back any more")
	}
}

// staleSince returns since when the snapshot may not be the newest, or the zero time if it is the newest.
func (l *Loop) staleSince() time.Time {
	switch {
	case l.condition.State == zones.Following:
		return time.Time{}
	case l.current.IsZero():
		return l.condition.Since
	}
	return l.current
}

// staleAt reports whether answers are stale at the time now.
func (l *Loop) staleAt(now time.Time) bool {
	since := l.staleSince()
	return !since.IsZero() && !now.Before(since.Add(staleAfter))
}

// logUnwatched logs that no vantage reports on some addresses, or that all addresses have reports again. before is the
// number of addresses without reports at the last turn.
func (l *Loop) logUnwatched(before int) {
	switch n := l.board.Unwatched(); {
	case n > 0 && before == 0:
		l.o.Log.Warn("no vantage reports some addresses, although there was time to find out; all vantages "+
			"probe them",
			"addresses", n)
	case n == 0 && before > 0:
		l.o.Log.Info("vantages report all addresses again")
	}
}
