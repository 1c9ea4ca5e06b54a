package control_test

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leeward/health"
	"leeward/server/answer"
	"leeward/zones"
)

// loaded has two pools of one endpoint and a capacity of 100 each.
var loaded = strings.NewReplacer(
	"monitor: web\n", "monitor: web\ncapacity: {target: 100, max: 120}\n",
	"tcp: {port: 80}", "http: {}",
	"ttl: 30s\n", "ttl: 4s\nspill: true\n",
).Replace(resources)

// carry plays probes of this process that measure a load at an address every quarter of a second.
func (b *bench) carry(endpoint, address string, span time.Duration, load func(at time.Duration) float64) {
	target := addressed(endpoint, address)
	for at := time.Duration(0); at < span; at += 250 * time.Millisecond {
		b.Loads([]health.Sample{{Target: target, Load: health.LoadOf(load(at))}})
		time.Sleep(250 * time.Millisecond)
	}
	synctest.Wait()
}

func addressed(endpoint, address string) health.Target {
	return health.Target{Endpoint: endpoint, Address: netip.MustParseAddr(address)}
}

// keeps returns the share of its clients that a pool keeps according to an explanation, 1 if it says nothing.
func (b *bench) keeps(pool string) float64 {
	b.t.Helper()
	synctest.Wait()
	e, err := answer.Explain(b.State(), "www.example.test", "A", "198.51.100.7")
	if err != nil {
		b.t.Fatal(err)
	}
	var percent float64
	for _, line := range e.Text {
		if _, err := fmt.Sscanf(strings.TrimSpace(line), "pool "+pool+" keeps %f", &percent); err == nil {
			return percent / 100
		}
	}
	return 1
}

// A pool passes on what it carries beyond its target, whole seconds after that is seen. While nobody reports, the
// offered load stays as it was.
func TestLoadIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, loaded, 5)})
		b.carry("www-us/lb-1", "192.0.2.2", 250*time.Millisecond, func(time.Duration) float64 { return 20 })
		b.carry("www-eu/lb-1", "192.0.2.1", time.Second, func(time.Duration) float64 { return 80 })
		if got := b.keeps("www-eu"); got != 1 {
			t.Fatalf("below its target it keeps %.2f", got)
		}
		b.carry("www-eu/lb-1", "192.0.2.1", 2*time.Second, func(time.Duration) float64 { return 160 })
		if got := b.keeps("www-eu"); math.Abs(got-0.625) > 0.05 {
			t.Fatalf("with 160 offered of 100 it keeps %.2f", got)
		}
		// It sheds: after a TTL it carries only 100 of the 160, and the offered load stays.
		for at := 0.; at < 20; at += 0.25 {
			passed := min(60*at/4, 60)
			b.Loads([]health.Sample{{Target: addressed("www-us/lb-1", "192.0.2.2"), Load: health.LoadOf(20 + passed)}})
			b.carry("www-eu/lb-1", "192.0.2.1", 250*time.Millisecond, func(time.Duration) float64 {
				return 160 - passed
			})
		}
		if got := b.keeps("www-eu"); math.Abs(got-0.625) > 0.1 {
			t.Errorf("while it sheds it keeps %.2f", got)
		}
		time.Sleep(time.Minute) // no reports
		if got := b.keeps("www-eu"); math.Abs(got-0.625) > 0.1 {
			t.Errorf("a minute after the last word of its load it keeps %.2f", got)
		}
	})
}

// A server that starts in a surge begins with what others report.
func TestStartInASurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		for _, vantage := range []string{"lon", "par"} {
			b.Health(func(now time.Time, board *health.Board) {
				board.Heartbeat(now, vantage, 1, time.Minute)
				board.Measure(health.Measure{
					Vantage: vantage, Pool: "www-eu", Load: health.LoadOf(100),
					Offered: health.LoadOf(160),
				})
				board.Measure(health.Measure{
					Vantage: vantage, Pool: "www-us", Load: health.LoadOf(80),
					Offered: health.LoadOf(80),
				})
			})
		}
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, loaded, 5)})
		if got := b.keeps("www-eu"); math.Abs(got-0.625) > 0.01 {
			t.Fatalf("it begins with %.2f, and others know that 0.625 is kept", got)
		}
		// Its own probes see the load while it sheds. That is no reason to take all clients back.
		for range 5 {
			b.carry("www-eu/lb-1", "192.0.2.1", time.Second, func(time.Duration) float64 { return 100 })
			if got := b.keeps("www-eu"); math.Abs(got-0.625) > 0.07 {
				t.Fatalf("it keeps %.2f", got)
			}
		}
	})
}

// An explanation says which share a pool keeps, and on which side of it the client stands.
func TestExplanationOfASpill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, loaded, 5)})
		b.carry("www-us/lb-1", "192.0.2.2", 250*time.Millisecond, func(time.Duration) float64 { return 20 })
		b.carry("www-eu/lb-1", "192.0.2.1", 2*time.Second, func(time.Duration) float64 { return 160 })
		b.keeps("www-eu")
		var all []string
		for _, client := range []string{"198.51.100.7", "203.0.113.9", "192.0.2.77", "10.1.2.3"} {
			e, err := answer.Explain(b.State(), "www.example.test", "A", client)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range e.Text {
				if strings.Contains(line, "keeps") {
					all = append(all, client+": "+strings.TrimSpace(line))
				}
			}
		}
		want := `198.51.100.7: pool www-eu keeps 59 % of its clients (168.2 of 100); this one stays
203.0.113.9: pool www-eu keeps 59 % of its clients (168.2 of 100); this one stays
192.0.2.77: pool www-eu keeps 59 % of its clients (168.2 of 100); this one goes on
10.1.2.3: pool www-eu keeps 59 % of its clients (168.2 of 100); this one stays`
		if got := strings.Join(all, "\n"); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}
