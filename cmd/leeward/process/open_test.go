package process

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// What begins to fail open, and what does not any more, is told once; a storm is counted.
func TestOpenedTells(t *testing.T) {
	o := newOpened()
	var many []string
	for i := range mostOpen + 5 {
		many = append(many, fmt.Sprintf("p%04d.example.test", i))
	}
	for _, step := range []struct {
		now          []string
		lines, named int
		says         string
	}{
		{nil, 0, 0, ""},
		{[]string{"a.test", "c.test"}, 2, 2, "fails open"},
		{[]string{"a.test", "c.test"}, 0, 2, ""},
		{[]string{"b.test", "c.test"}, 2, 2, "policy=b.test"},
		{[]string{"b.test"}, 1, 1, "has an available pool again, or is gone"},
		{many, mostOpenTold + 2, mostOpen, fmt.Sprintf("more=%d", len(many)-mostOpenTold)},
		{nil, mostOpenTold + 1, 0, "failing open"},
	} {
		var log bytes.Buffer
		o.tell(slog.New(slog.NewTextHandler(&log, nil)), slices.Clone(step.now))
		if got := strings.Count(log.String(), "\n"); got != step.lines || !strings.Contains(log.String(), step.says) {
			t.Errorf("%d policies: %d lines, want %d with %q:\n%s", len(step.now), got, step.lines, step.says,
				log.String())
		}
		if got := testutil.CollectAndCount(o); got != step.named {
			t.Errorf("%d policies: the metric names %d, want %d", len(step.now), got, step.named)
		}
	}
}
