//go:build linux

package capacity

import (
	"context"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"leeward/integration/lab"
)

// saidMetrics is what a server last reported about its pools in /metrics.
type saidMetrics struct {
	mu            sync.Mutex
	keep, offered map[string]float64 // by pool
}

// saidEvery is how often a server is asked.
const saidEvery = 500 * time.Millisecond

// followMetrics reads what a server reports about its pools, until the test ends.
func followMetrics(t testing.TB, s *lab.Server) *saidMetrics {
	m := &saidMetrics{}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	running.Go(func() {
		tick := time.NewTicker(saidEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			code, body, err := s.Get("/metrics")
			if err != nil || code != http.StatusOK {
				body = "" // it says nothing
			}
			keep, offered := poolGauge(body, "leeward_pool_keep"), poolGauge(body, "leeward_pool_offered")
			m.mu.Lock()
			m.keep, m.offered = keep, offered
			m.mu.Unlock()
		}
	})
	return m
}

// poolGauge reads a gauge with the label pool from a page of metrics; of several for one pool, the last.
func poolGauge(page, name string) map[string]float64 {
	all := map[string]float64{}
	for line := range strings.Lines(page) {
		rest, ok := strings.CutPrefix(line, name+"{")
		if !ok {
			continue
		}
		labels, value, ok := strings.Cut(rest, "} ")
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			continue
		}
		if _, after, ok := strings.Cut(labels, `pool="`); ok {
			pool, _, _ := strings.Cut(after, `"`)
			all[pool] = v
		}
	}
	return all
}

// agreed is the median of what servers report about a pool; NaN if none does.
func agreed(all []*saidMetrics, pool string) (keep, offered float64) {
	var keeps, offers []float64
	for _, m := range all {
		m.mu.Lock()
		if v, ok := m.keep[pool]; ok {
			keeps = append(keeps, v)
		}
		if v, ok := m.offered[pool]; ok {
			offers = append(offers, v)
		}
		m.mu.Unlock()
	}
	return middle(keeps), middle(offers)
}

// middle is the median; NaN of nothing.
func middle(all []float64) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}
