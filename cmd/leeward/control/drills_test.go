package control_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/health"
	"leeward/zones"
)

// A drill takes a region out and gives it back by the clock alone. Each kind of harm ends it here at once and for good,
// with nobody's help. What is not harm does not end it.
func TestDrillsAreGivenUp(t *testing.T) {
	follow := func(b *bench) {
		b.Condition(zones.Condition{State: zones.Following, Since: time.Now(), Heard: time.Now()})
	}
	for _, tt := range []struct {
		name string
		harm func(b *bench)
		why  string // "": the drill goes on
	}{
		{"nothing", func(*bench) {}, ""},
		{"another pool at its max", func(b *bench) {
			b.carry("www-us/lb-1", "192.0.2.2", 2*time.Second, func(time.Duration) float64 { return 120 })
		}, "pool www-us carries 120, and its max is 120"},
		{"another pool near its max", func(b *bench) {
			b.carry("www-us/lb-1", "192.0.2.2", 2*time.Second, func(time.Duration) float64 { return 110 })
		}, ""},
		{"an address of another pool", func(b *bench) {
			b.say("fra", "www-us/lb-1", "192.0.2.2", health.Down, 7)
			synctest.Wait()
			b.say("fra", "www-us/lb-1", "192.0.2.2", health.Up, 8)
		}, "192.0.2.2 of endpoint www-us/lb-1 is down"},
		{"an address of its own", func(b *bench) { b.say("fra", "www-eu/lb-1", "192.0.2.1", health.Down, 7) }, ""},
		{"an address of a pool that is nobody's", func(b *bench) {
			b.say("fra", "idle/lb-1", "192.0.2.3", health.Down, 7)
		}, ""},
		{"a vantage", func(*bench) { time.Sleep(40 * time.Second) }, "vantage lon is silent"},
		{"etcd", func(b *bench) {
			b.Condition(zones.Condition{State: "cut off", Since: time.Now(), Heard: time.Now()})
			time.Sleep(6 * time.Second)
			follow(b)
		}, "etcd has not been heard of for 5.0s, and nobody could call the drill off"},
		{"etcd for a moment", func(b *bench) {
			b.Condition(zones.Condition{State: "cut off", Since: time.Now(), Heard: time.Now()})
			time.Sleep(4 * time.Second)
			follow(b)
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t)
				now := time.Now().UTC()
				from, until := now.Add(10*time.Second).Format(time.RFC3339), now.Add(5*time.Minute).Format(time.RFC3339)
				drill := "---\nkind: Override\nname: region/eu-west\nstate: drain\ndrill: true\nramp: 20s\nfrom: " +
					from + "\nuntil: " + until + "\n"
				idle := "---\nkind: Pool\nname: idle\nregion: us-east\nmonitor: web\n---\nkind: Endpoint\nname: " +
					"idle/lb-1\naddresses: [192.0.2.3]\n"
				b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, loaded+idle+drill, 5)})
				follow(b)
				b.say("fra", "www-eu/lb-1", "192.0.2.1", health.Up, 1)
				b.say("fra", "www-us/lb-1", "192.0.2.2", health.Up, 2)
				beat := uint64(0)
				rest := func(span time.Duration) { // another vantage keeps sending heartbeats
					for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(time.Second) {
						beat++
						sequence := beat
						b.Health(func(now time.Time, board *health.Board) {
							board.Heartbeat(now, "lon", sequence, 30*time.Second)
						})
					}
				}
				expect := func(when, want string) {
					t.Helper()
					synctest.Wait()
					if got := b.answer("www.example.test"); got != want {
						t.Fatalf("%s: the answer is %q, want %q", when, got, want)
					}
				}
				expect("before it begins", "192.0.2.1")
				rest(60 * time.Second)
				expect("in the middle", "192.0.2.2")
				tt.harm(b)
				synctest.Wait()
				problems := ""
				if err := b.Do(t.Context(), func(i control.Inside) {
					for _, p := range i.Summary(time.Now()).Status().Problems {
						if p.Resource == "overrides/region/eu-west" {
							problems += p.Message
						}
					}
				}); err != nil {
					t.Fatal(err)
				}
				if tt.why == "" {
					if problems != "" {
						t.Fatalf("it was given up: %s", problems)
					}
					if !strings.Contains(tt.name, "of its own") {
						expect("after what is no harm", "192.0.2.2")
					}
					rest(time.Until(now.Add(5*time.Minute + time.Second)))
					b.say("fra", "www-eu/lb-1", "192.0.2.1", health.Up, 9)
					expect("at its end", "192.0.2.1")
					return
				}
				if !strings.HasSuffix(problems, ": "+tt.why) {
					t.Errorf("the status says %q, want …: %s", problems, tt.why)
				}
				expect("when it is given up", "192.0.2.1")
				rest(10 * time.Second)
				expect("ten seconds after", "192.0.2.1")
				b.Batch(zones.Batch{
					Revision: 6,
					Changes:  changes(t, strings.TrimPrefix(drill, "---\n")+"reason: again\n", 6),
				})
				follow(b)
				b.say("fra", "www-us/lb-1", "192.0.2.2", health.Up, 9)
				b.carry("www-us/lb-1", "192.0.2.2", 2*time.Second, func(time.Duration) float64 { return 10 })
				expect("when it is begun again", "192.0.2.2")
			})
		})
	}
}
