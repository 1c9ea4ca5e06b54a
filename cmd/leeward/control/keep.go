package control

import (
	"time"

	"leeward/zones"
)

// The last good resources are saved once changes have been quiet for saveQuiet, and at the latest saveLatest after a
// change. Saving takes at most one part in saveShare of the loop's time.
const (
	saveQuiet  = time.Second
	saveLatest = 10 * time.Second
	saveShare  = 50
)

// recallWait is how long after a verdict turned the verdicts are saved. So a region that fails causes only one write.
const recallWait = 100 * time.Millisecond

func (l *Loop) saveDue() time.Time {
	if l.o.Keep == nil || l.unsaved.IsZero() {
		return time.Time{}
	}
	quiet, latest := l.changed.Add(saveQuiet), l.unsaved.Add(max(saveLatest, l.gather*saveShare))
	if !l.kept { // the first copy is written soon, however many changes keep coming
		latest = l.unsaved.Add(saveQuiet)
	}
	if latest.Before(quiet) {
		return latest
	}
	return quiet
}

// save hands the resources in service to Keep when that is due, or at once if now is set.
func (l *Loop) save(now bool) {
	due := l.saveDue()
	if !now && (due.IsZero() || l.o.Now().Before(due)) || l.o.Keep == nil || l.snapshot == nil || l.aside {
		return
	}
	l.unsaved = time.Time{}
	began := l.o.Now()
	all := l.catalog.Freeze()
	l.gather = l.o.Now().Sub(began)
	l.o.Keep(l.catalog.Revision(), all)
	l.kept = true
}

// confirms reports whether the copy on disk is written again at the end although no resource has changed. Its time then
// tells the next start how old the copy is. If writing it would take seconds, the end does not wait for it.
func (l *Loop) confirms() bool {
	return l.condition.State == zones.Following && l.snapshot != nil && l.snapshot.Stats().Records < LargeBatch
}

// unremembered notes that what is known of health differs from what is on disk. It will be saved soon, but gathering it
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

// remember hands what is known of health to Recall when that is due, or at once if now is set.
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
