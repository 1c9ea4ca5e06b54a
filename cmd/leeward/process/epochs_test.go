package process

import (
	"testing"
	"testing/synctest"
	"time"

	"leeward/zones/dnssec"
)

// TestEpochsTurn: however far ahead the next day is prepared, and even if the process sleeps for hours or days, the
// signatures in use are today's at every look. Only today's and tomorrow's are made.
func TestEpochsTurn(t *testing.T) {
	for _, early := range []time.Duration{epochAhead, dnssec.EpochLength} {
		synctest.Test(t, func(t *testing.T) {
			key := signedZoneKey(t)
			begin(key.Origin())
			state, signer := signedZone(t, key, nil)
			e := newExpiring(t, state.Snapshot)
			e.early = early
			look := func(what string) {
				t.Helper()
				e.turn(t.Context())
				now, next := signer.Generations()
				today := dnssec.EpochAt(key.Origin(), time.Now())
				if now.Epoch != today {
					t.Fatalf("%s, %v ahead: in use is %d, and today is %d", what, early, now.Epoch.Number, today.Number)
				}
				if next != nil && next.Epoch != today.Next() {
					t.Fatalf("%s, %v ahead: %d is prepared on %d", what, early, next.Epoch.Number, today.Number)
				}
				if !now.IsWhole() || next != nil && !next.IsWhole() {
					t.Fatalf("%s, %v ahead: not all is signed", what, early)
				}
				if due := dnssec.EpochAt(key.Origin(), time.Now().Add(early)) != today; due != (next != nil) {
					t.Fatalf("%s, %v ahead: prepared: %v", what, early, next != nil)
				}
			}
			for range 3 * int(dnssec.EpochLength/time.Minute) {
				time.Sleep(time.Minute)
				look("always awake")
			}
			for _, hours := range []int{5, 23, 25, 49, 100, 1, 30, 7} {
				time.Sleep(time.Duration(hours) * time.Hour)
				look("after a sleep")
			}
		})
	}
}
