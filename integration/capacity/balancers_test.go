//go:build linux

package capacity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"leeward/integration/lab"
)

// balancer is an endpoint with a load. Its requests are in the model. The probes that it answers are real, and its
// answers report its load as the ORCA header endpoint-load-metrics.
//
// It can hold max requests a second, times its warmth, times what its leak has left of it. Above that it is slow. Above
// limit × that, it loses requests, and those clients wait until they give up. After too long above its limit, it
// breaks: nothing listens there for a while, and clients go on to the next address. Then it starts, cold.
type balancer struct {
	plan     *plan
	region   int // its number in the loop
	name     string
	address  string
	endpoint *lab.Endpoint

	dead   bool          // its region is dead: nothing answers
	broken time.Duration // until then it is down; 0: it is not
	since  time.Duration // it started
	leak   line          // what it can hold, as a share
	above  time.Duration // how long it has been over its limit

	arrives float64 // requests a second in this tick
	mean    float64 // of plan.span
	loses   float64 // share of what arrives
	says    atomic.Pointer[string]
}

// longAgo is when endpoints that are warm at the beginning started.
const longAgo = -time.Hour

func newBalancer(t testing.TB, plan *plan, region int, name, address string) *balancer {
	b := &balancer{plan: plan, region: region, name: name, address: address, since: longAgo, leak: level(1)}
	b.say(b.holds(0))
	b.endpoint = lab.NewEndpoint(t, nil, address)
	b.endpoint.Says(func(h http.Header) { h.Set("endpoint-load-metrics", *b.says.Load()) })
	return b
}

// up says whether it accepts requests at all.
func (b *balancer) up() bool { return !b.dead && b.broken == 0 }

// holds is the load that it can hold, in requests a second.
func (b *balancer) holds(now time.Duration) float64 {
	if !b.up() {
		return 0
	}
	warm := 1.0
	if b.plan.warming > 0 {
		warm = min(1, b.plan.cold+(1-b.plan.cold)*(now-b.since).Seconds()/b.plan.warming.Seconds())
	}
	return b.plan.max * warm * b.leak.at(now)
}

// longestStep is the most that one tick brings an endpoint nearer to breaking, so that no endpoint breaks because the
// machine stood still.
const longestStep = 100 * time.Millisecond

// step moves it from one tick to the next, under the load that arrives. It says whether the endpoint broke.
func (b *balancer) step(now, dt time.Duration) (broke bool, err error) {
	if b.broken > 0 && now >= b.broken {
		b.broken = 0
		if !b.dead {
			err = b.start(now)
		}
	}
	holds := b.holds(now)
	b.loses = 0
	if limit := b.plan.limit * holds; holds > 0 {
		if b.arrives > limit {
			b.loses = 1 - limit/b.arrives
			b.above += min(dt, longestStep)
		} else {
			b.above = 0
		}
	}
	b.mean += (b.arrives - b.mean) * (1 - math.Exp(-dt.Seconds()/b.plan.span.Seconds()))
	b.say(holds)
	if b.above > b.plan.endures {
		b.above, b.mean, b.loses = 0, 0, 0
		b.broken = now + b.plan.down
		return true, b.endpoint.Turn(lab.Gone, lab.Pace{})
	}
	return false, err
}

// die is the end of its region: connections are accepted, and nothing answers.
func (b *balancer) die() error {
	b.dead, b.broken, b.above, b.mean = true, 0, 0, 0
	return b.endpoint.Turn(lab.Hanging, lab.Pace{})
}

// start brings it up, cold.
func (b *balancer) start(now time.Duration) error {
	b.dead, b.since, b.above, b.mean, b.leak = false, now, 0, 0, level(1)
	return b.endpoint.Turn(lab.Well, lab.Pace{})
}

// say prepares the header of its next answers.
func (b *balancer) say(holds float64) {
	load := b.mean
	if strings.HasSuffix(b.plan.field, "_utilization") {
		load /= max(holds, 1)
	}
	text, err := loadHeader(b.plan.field, max(0, load*(1+b.plan.noise*rand.NormFloat64())))
	if err == nil {
		b.says.Store(&text)
	}
}

// loadHeader is the value of endpoint-load-metrics that says a load in the field that a monitor reads, among others.
func loadHeader(field string, load float64) (string, error) {
	switch {
	case field == "rps_fractional":
		return fmt.Sprintf("TEXT rps_fractional=%.2f, mem_utilization=0.31", load), nil
	case field == "application_utilization", field == "cpu_utilization":
		return fmt.Sprintf("TEXT %s=%.4f, mem_utilization=0.31", field, load), nil
	case strings.HasPrefix(field, "named_metrics.") && len(field) > len("named_metrics."):
		return fmt.Sprintf("TEXT named_metrics.queue=3, %s=%.2f", field, load), nil
	}
	return "", fmt.Errorf("no monitor reads a load %q", field)
}

// line is a value that moves evenly from one level to another.
type line struct {
	from, to     float64
	begins, ends time.Duration
}

func level(v float64) line { return line{from: v, to: v} }

func (l line) at(now time.Duration) float64 {
	if now >= l.ends {
		return l.to
	}
	if now <= l.begins {
		return l.from
	}
	return l.from + (l.to-l.from)*(now-l.begins).Seconds()/(l.ends-l.begins).Seconds()
}

// towards is the line that leaves this one now, and is at v after d.
func (l line) towards(v float64, now, d time.Duration) line {
	return line{from: l.at(now), to: v, begins: now, ends: now + d}
}
