package console

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"leeward/server/admin"
)

// Drill is the report of one rehearsal of an outage.
type Drill struct {
	ID, Target, By, Outcome string
	Well, Ended             bool // it succeeded; it is over
	From                    time.Time
	Headline                string
	Facts                   [][2]string
	Pools                   []DrillPool
	Events                  []DrillEvent
	Seconds                 []float64 // of the course; since the drill began
	Course                  []Line    // where clients went: percent, by region
}

// DrillPool says what a pool carried during a drill.
type DrillPool struct {
	Pool, Region                              string
	Away                                      bool // it belonged to the target
	Before, Foretold, Most, Target, Max, Lost string
}

// DrillEvent is something that happened during a drill. Seconds count from its beginning.
type DrillEvent struct {
	Seconds float64
	Text    string
}

// At returns in words when it happened.
func (e DrillEvent) At() string { return fmt.Sprintf("%+.1f s", e.Seconds) }

// State returns the shape that shows how the drill went.
func (d *Drill) State() string {
	switch {
	case d.Well:
		return "up"
	case d.Ended:
		return "out"
	}
	return "drained"
}

// reports keeps the reports for a moment: they come from elsewhere, and may not come.
type reports struct {
	mu  sync.Mutex // held during reading: others wait and get the same
	at  time.Time
	all []Drill
	err error
}

const (
	reportsFor  = 5 * time.Second
	reportsMost = 2 * time.Second // how long reading may take
)

func (c *console) reports(ctx context.Context) ([]Drill, error) {
	x := &c.drilled
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.at.IsZero() || time.Since(x.at) >= reportsFor {
		limited, stop := context.WithTimeout(context.WithoutCancel(ctx), reportsMost)
		defer stop()
		all, err := c.Drills(limited)
		if x.err = err; err == nil || all != nil {
			x.all = all
		}
		x.at = time.Now()
	}
	return x.all, x.err
}

// drillList lists the drills, newest first, or shows one of them.
type drillList struct {
	Rows    []Drill
	Of      *Drill
	Problem string // why they cannot be shown
	Course  *lineChart
	Command string
}

func (c *console) drillList(r *http.Request, _ *admin.Status) (string, any, error) {
	if _, err := pageOf(r); err != nil {
		return "", nil, err
	}
	out := &drillList{Command: "leeward drill region/REGION --for 15m --dry-run"}
	all, err := c.reports(r.Context())
	if err != nil {
		out.Problem = err.Error()
	}
	id := r.PathValue("id")
	if id == "" {
		out.Rows = all[:min(len(all), perPage)]
		return "Drills", out, nil
	}
	for i := range all {
		if d := &all[i]; d.ID == id {
			out.Of = d
			out.Course = plot("Where clients were led, percent by region", " %", d.Seconds, d.Course, 100,
				func(x float64) string { return fmt.Sprintf("%.0f s", x) })
			out.Command = command("leeward", "drills", d.ID)
			return "Drill of " + d.Target, out, nil
		}
	}
	if err != nil {
		return "Drills", out, nil
	}
	return "", nil, &missing{fmt.Sprintf("There is no drill %q; the last 50 are kept.", id)}
}
