//go:build linux

package capacity

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"leeward/integration/lab"
)

// foretold is what leeward simulate says about a pool.
type foretold struct {
	Pools []struct {
		Region                    string
		Measured                  bool
		Load, Then, Error, Target float64
	}
	Doubts []string
}

// TestCapacityForetold asks for a forecast without a region, takes the region's endpoints away for good, and waits
// until resolvers have forgotten them. Then it compares the load of the others with the forecast: each must be within a
// tenth. It plays a world in which everybody has room, and one in which the two other regions have not and pass clients
// on.
func TestCapacityForetold(t *testing.T) {
	if *capacityDir == "" {
		t.Skip("make capacity plays it")
	}
	for _, c := range []struct {
		name, gone string
		demand     string
	}{
		{"with room", "eu", "clients of all ask 2000 times a second"},
		{
			"in a region's rush", "us",
			"clients of eu ask 3600 times a second\nclients of us ask 1500 times a second\nclients of ap ask 1000 " +
				"times a second",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := parsePlan("foretold.txt", fmt.Sprintf("title a region is gone\nlasts 40s\n%s\nat 0s\n  region "+
				"%s dies\n",
				c.demand, c.gone))
			if err != nil {
				t.Fatal(err)
			}
			p.warmUp = 50 * time.Second    // servers report who asks every half a minute
			said := make(chan foretold, 8) // one for each time that it is played
			const before = -3 * time.Second
			l := steadily(t, func(t testing.TB) *closedLoop {
				return playWith(t, p, true, func(l *closedLoop) {
					time.AfterFunc(p.warmUp+before, func() {
						o := lab.Command(t, nil, "", lab.Binary, "simulate", "--etcd", l.etcd.Client, "--down",
							"region/"+c.gone, "-o",
							"json")
						var f foretold
						if err := json.Unmarshal([]byte(o.Stdout), &f); err != nil {
							t.Errorf("simulate: %v: %v", err, o)
						}
						said <- f
					})
				})
			})
			if l == nil {
				return
			}
			var f foretold
			for len(said) > 0 {
				f = <-said // the last
			}
			text := ""
			for r, region := range l.regions {
				if region.Name == c.gone {
					continue
				}
				var load, target, n float64
				for _, k := range l.meter.ticks {
					if k.at > p.lasts-15*time.Second {
						load, target, n = load+k.load[r], target+k.target[r], n+1
					}
				}
				for _, pool := range f.Pools {
					if pool.Region != region.Name {
						continue
					}
					want, got := pool.Then/pool.Target, load/target
					text += fmt.Sprintf("%s: %.3f of its target was foretold (± %.3f), %.3f came\n", region.Name, want,
						pool.Error/pool.Target, got)
					if !pool.Measured || math.Abs(got-want) > 0.1*got {
						t.Errorf("%s carries %.3f of its target, and %.3f was foretold", region.Name, got, want)
					}
				}
			}
			t.Logf("%s%s", text, strings.Join(f.Doubts, "\n"))
			if strings.Count(text, "\n") != 2 {
				t.Errorf("not of all that are left something is foretold: %+v", f)
			}
		})
	}
}
