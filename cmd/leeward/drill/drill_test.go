package drill

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/cmd/leeward/control"
	"leeward/zones/steer"
)

var update = flag.Bool("update", false, "write the golden files anew")

var begin = time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)

// sample is a drill of one region of three, watched through one resolver.
func sample(outcome Outcome, why string) *Report {
	r := &Report{
		ID: "2026-11-25T09:59:58Z", Target: "region/eu-west", Reason: "Q4 <game> day", By: "ann@ops", From: begin,
		Until: begin.Add(15 * time.Minute),
		Ended: begin.Add(15*time.Minute + 31*time.Second), Ramp: 120, Outcome: outcome, Why: why,
		Preflight: &control.Forecast{Forecast: &steer.Forecast{Pools: []steer.PoolForecast{{
			Pool:     "www-us",
			Measured: true, Then: 141.2, Error: 6.4, Max: 200,
		}}}},
	}
	r.event(begin.Add(-2*time.Second), "written at revision 45")
	r.event(begin, "begins: region/eu-west loses its clients")
	r.event(r.Ended, string(outcome))
	for s := 0; s <= 930; s++ {
		if at := float64(s); r.Course.due(at) {
			away := max(0, 1-at/120, (at-780)/120)
			away = min(away, 1)
			r.Course.add(at, []Pool{
				{
					Pool: "www-eu", Region: "eu-west", Away: true, Target: 100, Max: 120, Load: []float64{80 * away},
					Queries: []float64{800 * away}, Up: []float64{2},
				},
				{
					Pool: "www-us", Region: "us-east", Target: 160, Max: 200, Load: []float64{140 - 80*away},
					Queries: []float64{1400 - 800*away}, Up: []float64{4},
				},
				{Pool: "www-ap", Region: "ap-south", Load: nil, Queries: []float64{200}, Up: []float64{2}},
			}, map[[2]string]float64{{"www.example.test", "192.0.2.53:53"}: map[bool]float64{true: 1}[s < 140 ||
				s > 790]})
		}
	}
	return r
}

// The reports of each outcome, as text and as a page, compared with golden files.
func TestReports(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    *Report
	}{
		{"succeeded", sample(Succeeded, "")},
		{"failed", sample(Failed, "192.0.2.2 of endpoint www-us/lb-1 is down")},
		{"gone", sample(Running, "")},
		{"unfit", &Report{
			ID: "2026-11-25T09:59:58Z", Target: "region/eu-west", By: "ann@ops", From: begin,
			Until: begin.Add(time.Minute), Outcome: Unfit,
			Why: "pool www-us would carry 230, and its max is 200",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var text, page strings.Builder
			if err := tt.r.Text(&text, begin.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			if err := tt.r.HTML(&page, begin.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			for ext, got := range map[string]string{"txt": text.String(), "html": page.String()} {
				if ext == "html" && tt.name != "succeeded" {
					continue // one page is enough to look at
				}
				file := filepath.Join("testdata", tt.name+"."+ext)
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("%s differs; go test ./cmd/leeward/drill -update writes it anew:\n%s", file, got)
				}
			}
			for line := range strings.Lines(text.String()) {
				if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
					t.Errorf("%d columns: %s", n, line)
				}
			}
			if strings.Contains(page.String(), "<game>") {
				t.Error("what an operator wrote is in the page as it is")
			}
		})
	}
}

// A course stays bounded. Its times are evenly apart, its series have the same length, and nothing is made up: every
// figure was put in at its time, to four digits.
func TestCourse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5000).Draw(t, "seconds")
		late := rapid.IntRange(0, n).Draw(t, "late pool from")
		var c Course
		figure := func(s int) float64 { return 1 + math.Abs(math.Sin(float64(s)))*1e5 }
		for s := range n {
			at := float64(s)
			if !c.due(at) {
				continue
			}
			pools := []Pool{{Pool: "a", Load: []float64{figure(s)}}}
			if s >= late {
				pools = append(pools, Pool{Pool: "b", Queries: []float64{figure(s)}})
			}
			c.add(at, pools, nil)
		}
		if len(c.Seconds) > mostSeen {
			t.Fatalf("%d times", len(c.Seconds))
		}
		if n > mostSeen && len(c.Seconds) < mostSeen/2-1 {
			t.Fatalf("%d times of %d s are few", len(c.Seconds), n)
		}
		for i := 2; i < len(c.Seconds)-1; i++ {
			if was, is := c.Seconds[i-1]-c.Seconds[i-2], c.Seconds[i]-c.Seconds[i-1]; math.Abs(was-is) > 1.01 {
				t.Fatalf("times are %g and %g apart: %v", was, is, c.Seconds)
			}
		}
		for _, p := range c.Pools {
			for name, s := range map[string][]float64{"load": p.Load, "queries": p.Queries} {
				if len(s) > len(c.Seconds) {
					t.Fatalf("%s of %s has %d figures of %d times", name, p.Pool, len(s), len(c.Seconds))
				}
				for i, v := range s {
					want := figure(int(c.Seconds[i]))
					if v >= 0 && math.Abs(v-want) > want*1e-3 {
						t.Fatalf("%s of %s at %g s is %g, want %g", name, p.Pool, c.Seconds[i], v, want)
					}
				}
			}
		}
		if b, err := json.Marshal(&c); err != nil || len(b) > 60*mostSeen*len(c.Pools) {
			t.Fatalf("%d octets, %v", len(b), err)
		}
	})
}

// The report says when a resolver last named the target, and when it did so again.
func TestSeen(t *testing.T) {
	for _, tt := range []struct {
		away       []float64
		last, back float64
		gone       bool
	}{
		{[]float64{1, 1, .5, 0, 0, 0, .5, 1}, 2, 6, true},
		{[]float64{1, 1, 1}, 2, -1, false},
		{[]float64{0, 0, 1}, -1, 2, true},
		{[]float64{1, -1, 0, -1, -1}, 0, -1, true},
		{nil, -1, -1, false},
	} {
		n := Name{Away: tt.away}
		c := Course{Seconds: []float64{0, 1, 2, 3, 4, 5, 6, 7}}
		if last, back, gone := n.seen(&c); last != tt.last || back != tt.back || gone != tt.gone {
			t.Errorf("%v: %g, %g, %v; want %g, %g, %v", tt.away, last, back, gone, tt.last, tt.back, tt.gone)
		}
	}
}
