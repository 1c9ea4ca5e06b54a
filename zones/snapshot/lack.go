package snapshot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"leeward/zones"
	"leeward/zones/rr"
)

// Where a zone's keys are elsewhere, its signatures come from elsewhere too, and may not be here yet.
//
// What is served then stays as it was, but for addresses that a policy could answer with: those that are not signed are
// left out of what is answered with signatures. Whoever has changes wait until all is signed has a Builder by itself
// find out what is lacking (Stage).

// lack is what a zone has without signatures.
type lack struct {
	names []rr.Name // at which there is something
	sets  int       // how many
	vital int       // of these, without which the zone cannot be served: all but single addresses
	next  int       // how many have none for the next epoch
	keys  bool      // the zone is to be signed, and its keys are not known
}

func (l *lack) add(o lack) {
	l.names = append(l.names, o.names...)
	l.sets += o.sets
	l.vital += o.vital
}

// Edge tells that zones are signed elsewhere: one whose keys are not known is not served, as it would be without
// signatures.
func (b *Builder) Edge() { b.edge = true }

// Stage is Edge for a Builder that nothing is served from. It keeps what is not signed, to tell what is lacking.
func (b *Builder) Stage() { b.edge, b.stage = true, true }

// Arrived notes that signatures of a zone have come. The next Update looks for those that were lacking. It reports
// whether any were.
func (b *Builder) Arrived(origin string) bool {
	_, lacks := b.lacking[origin]
	if lacks {
		b.came[origin] = true
	}
	return lacks
}

// Lacking returns of how many sets each zone has no signatures, by origin, without those that have all. -1: the zone's
// keys are not known.
func (b *Builder) Lacking() map[string]int {
	all := map[string]int{}
	for origin, l := range b.lacking {
		if all[origin] = l.sets; l.keys {
			all[origin] = -1
		}
	}
	return all
}

// Awaits notes what a zone waits for, of some kind, for people; "": for nothing of that kind. The next Update has it
// among the problems.
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

// takeSignatures has zones looked at again that lack signatures, where some have come.
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

// lacked takes note of what a zone has without signatures. It reports whether the zone is to stay as it was, where it
// was served. Where it was not, as after a start, who asks without DO is answered, and of what is signed whoever asks.
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
		what = "who asks for them with DO is told SERVFAIL"
	}
	u.problems[key] = zones.Problem{
		Key: key, Field: "dnssec", Warning: true,
		Message: fmt.Sprintf("%d signatures have not come: %s; look after `leeward sign`", l.sets, what),
	}
	return stays
}
