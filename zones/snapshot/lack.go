package snapshot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"leeward/zones"
	"leeward/zones/rr"
)

// If a zone's keys are elsewhere, its signatures come from there too, and may not have arrived.
//
// What is served then stays as it was. The exception is addresses that a policy could answer with: those without
// signatures are left out of signed answers. Whoever makes changes wait until everything is signed uses a separate
// Builder to find out what is lacking (Stage).

// lack says what in a zone has no signatures.
type lack struct {
	names []rr.Name // names with something unsigned
	sets  int       // number of unsigned sets
	vital int       // how many of these are vital for serving the zone: all but single addresses
	next  int       // number of sets without a signature for the next epoch
	keys  bool      // the zone is to be signed, but its keys are not known
}

func (l *lack) add(o lack) {
	l.names = append(l.names, o.names...)
	l.sets += o.sets
	l.vital += o.vital
}

// Edge says that zones are signed elsewhere. A zone whose keys are not known is then not served, rather than served
// unsigned.
func (b *Builder) Edge() { b.edge = true }

// Stage is Edge for a Builder that serves nothing. It keeps what is not signed, in order to say what is lacking.
func (b *Builder) Stage() { b.edge, b.stage = true, true }

// Arrived notes that signatures of a zone have come. The next Update looks for the ones that were lacking. Arrived
// reports whether any were.
func (b *Builder) Arrived(origin string) bool {
	_, lacks := b.lacking[origin]
	if lacks {
		b.came[origin] = true
	}
	return lacks
}

// Lacking returns, by origin, for how many sets a zone has no signatures. It leaves out zones that have all. -1 says
// that the zone's keys are not known.
func (b *Builder) Lacking() map[string]int {
	all := map[string]int{}
	for origin, l := range b.lacking {
		if all[origin] = l.sets; l.keys {
			all[origin] = -1
		}
	}
	return all
}

// Awaits notes what a zone waits for, in words for people. Each kind has its own text; "" says that it waits for
// nothing of that kind. The next Update lists it among the problems.
func (b *Builder) Awaits(origin, kind, what string) {
	if b.awaits[[2]string{origin, kind}] = what; what == "" {
		delete(b.awaits, [2]string{origin, kind})
	}
}

// awaited returns what zones wait for.
func (b *Builder) awaited() (all zones.Problems) {
	for of, what := range b.awaits {
		key := zones.KeyOf(zones.KindZone, of[0])
		all = append(all, zones.Problem{Key: key, Field: "dnssec", Warning: true, Message: what})
	}
	slices.SortFunc(all, func(a, b zones.Problem) int {
		return cmp.Or(strings.Compare(string(a.Key), string(b.Key)), strings.Compare(a.Message, b.Message))
	})
	return all
}

// takeSignatures has zones that lack signatures looked at again, if some have come.
func (u *update) takeSignatures() {
	for origin := range u.came {
		l, lacks := u.lacking[origin]
		switch {
		case !lacks || l.keys:
		case u.stage || l.vital == 0:
			u.again[origin] = true
		default:
			u.zones[origin] = true
		}
	}
	clear(u.came)
}

// lacked notes what in a zone has no signatures. It reports whether a zone that was served must stay as it was. If it
// was not served, as after a start, queries without DO are answered, and for signed sets all queries.
func (u *update) lacked(origin string, l lack, was bool) (stays bool) {
	key := zones.KeyOf(zones.KindZone, origin)
	if l.sets == 0 {
		if _, did := u.lacking[origin]; did {
			delete(u.lacking, origin)
			delete(u.problems, key)
		}
		return false
	}
	u.lacking[origin] = l
	stays = l.vital > 0 && !u.stage && was
	what := "these addresses are left out of answers with signatures"
	switch {
	case stays:
		what = "the zone stays as it was"
	case l.vital > 0:
		what = "queries for them with DO get SERVFAIL"
	}
	u.problems[key] = zones.Problem{
		Key: key, Field: "dnssec", Warning: true,
		Message: fmt.Sprintf("%d signatures have not come: %s; look after `leeward sign`", l.sets, what),
	}
	return stays
}
