package control_test

import (
	"testing"
	"testing/synctest"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/health"
	"leeward/zones"
)

// The status says where the clients of a region that is out are led, which names fail open, and which do not.
func TestMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources, 5)})
		b.Batch(zones.Batch{Revision: 6, Changes: changes(t, "kind: Policy\nname: shut.example.test\n"+
			"rules: [{failover: [www-eu, www-us]}]\nwhenAllDown: servfail\n", 6)})
		headline := func() string {
			t.Helper()
			synctest.Wait()
			var s *control.Summary
			if err := b.Do(t.Context(), func(i control.Inside) { s = i.Summary(time.Now()) }); err != nil {
				t.Fatal(err)
			}
			return s.Status().Say()
		}
		step := func(eu, us health.State, sequence uint64, want string) {
			t.Helper()
			b.say("fra", "www-eu/lb-1", "192.0.2.1", eu, sequence)
			b.say("fra", "www-us/lb-1", "192.0.2.2", us, sequence)
			if got := headline(); got != want {
				t.Errorf("it says\n%s\nnot\n%s", got, want)
			}
			time.Sleep(time.Minute)
		}
		step(health.Up, health.Up, 1, "Both regions answer.")
		step(health.Down, health.Up, 2, "eu-west is out since 00:01 UTC (1 of 1 vantage). Its clients go to us-east.")
		step(health.Up, health.Down, 3, "us-east is out since 00:02 UTC (1 of 1 vantage).") // nobody is led there first
		step(health.Down, health.Down, 4, "eu-west is out since 00:03 UTC (1 of 1 vantage). us-east is out since "+
			"00:02 UTC (1 of 1 vantage). "+
			"1 name fails open: www.example.test. 1 name says SERVFAIL: shut.example.test.")
		step(health.Up, health.Up, 5, "Both regions answer.")
	})
}
