package control

import (
	"time"

	"leeward/zones"
)

// Times of keeping the last good snapshot on disk: after this much quiet, and at the latest this long after a change,
// but never more often than that it takes one part in saveShare of the loop's time.
const (
	saveQuiet  = time.Second
	saveLatest = 10 * time.Second
	saveShare  = 50
)

// recallWait is how long after a verdict turned what is known of health is put on disk: a region that fails is one file.
const recallWait = 100 * time.Millisecond

func (l *Loop) saveDue() time.Time {
	if l.o.Keep == nil || l.unsaved.IsZero() {
		return time.Time{}
	}
	quiet, latest := l.changed.Add(saveQuiet), l.unsaved.Add(max(saveLatest, l.gather*saveShare))
	if !l.kept { // the first of all is soon there, however many changes come meanwhile
		latest = l.unsaved.Add(saveQuiet)
	}
	if latest.Before(quiet) {
		return latest
	}
	return quiet
}

// save gives away what is in service to be kept on disk, when that is due; now: whether it is due or not.
func (l *Loop) save(now bool) {
	due := l.saveDue()
	if !now && (due.IsZero() || l.o.Now().Before(due)) || l.o.Keep == nil || l.snapshot == nil {
		return
	}
	l.unsaved = time.Time{}
	began := l.o.Now()
	all := l.catalog.Freeze()
	l.gather = l.o.Now().Sub(began)
	l.o.Keep(l.catalog.Revision(), all)
	l.kept = true
}

// confirms reports whether the copy on disk is to be written at the end although nothing in it is new: its time tells how
// old it is at the next start. Where that takes seconds, the end does not wait for it.
func (l *Loop) confirms() bool {
	return l.condition.State == zones.Following && l.snapshot != nil && l.snapshot.Stats().Records < LargeBatch
}

// unremembered says that what is known of health may be another than on disk: it is put there soon, but gathering it
// takes at most one part in saveShare of the loop's time.
func (l *Loop) unremembered(now time.Time) {
	if l.o.Recall == nil || !l.recall.IsZero() {
		return
	}
	l.recall = now.Add(recallWait)
	if at := l.recalled.Add(l.recalling * saveShare); l.recall.Before(at) {
		l.recall = at
	}
}

// remember gives away what is known of health to be kept on disk, when that is due; now: whether it is due or not.
func (l *Loop) remember(now bool) {
	if l.o.Recall == nil || l.snapshot == nil || !now && (l.recall.IsZero() || l.o.Now().Before(l.recall)) {
		return
	}
	l.recall = time.Time{}
	l.recalled = l.o.Now()
	past := l.board.Past()
	l.recalling = l.o.Now().Sub(l.recalled)
	l.o.Recall(past)
}
