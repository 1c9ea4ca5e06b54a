package control_test

import (
	"testing"
	"testing/synctest"
	"time"

	"leeward/zones"
)

// Answers say that they may be old once the source has been cut off for an hour, until it is followed again.
func TestAnswersGoStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		stale := func() bool {
			synctest.Wait()
			return b.State().Stale
		}
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		b.Condition(zones.Condition{State: zones.Following, Since: time.Now(), Heard: time.Now()})
		time.Sleep(2 * time.Hour)
		if stale() {
			t.Error("stale while the source is followed")
		}
		b.Condition(zones.Condition{State: "cut off", Since: time.Now(), Heard: time.Now()})
		time.Sleep(time.Hour - time.Second)
		if stale() {
			t.Error("stale after less than an hour")
		}
		time.Sleep(time.Second)
		if !stale() {
			t.Error("not stale after an hour")
		}
		b.Condition(zones.Condition{State: zones.Following, Since: time.Now(), Heard: time.Now()})
		if stale() {
			t.Error("stale although the source is followed again")
		}
		if got := b.answer("www.example.test"); got != "192.0.2.1" {
			t.Errorf("the answer is %q", got)
		}
	})
}

// An answer from the copy on disk is as old as the copy.
func TestSavedCopyIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.Condition(zones.Condition{State: "saved copy", Since: time.Now(), Heard: time.Now().Add(-2 * time.Hour)})
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		synctest.Wait()
		if !b.State().Stale {
			t.Error("not stale")
		}
	})
}
