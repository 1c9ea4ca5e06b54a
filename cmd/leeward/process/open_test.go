package process

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"leeward/server/admin"
)

// A policy is logged once when it begins to fail open, and once when it stops. A storm is counted.
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
		{nil, mostOpenTold + 1, 0, "without a pool"},
	} {
		var log bytes.Buffer
		o.tell(slog.New(slog.NewTextHandler(&log, nil)), poolless{open: slices.Clone(step.now)})
		if got := strings.Count(log.String(), "\n"); got != step.lines || !strings.Contains(log.String(), step.says) {
			t.Errorf("%d policies: %d lines, want %d with %q:\n%s", len(step.now), got, step.lines, step.says,
				log.String())
		}
		if got := testutil.CollectAndCount(o); got != step.named {
			t.Errorf("%d policies: the metric names %d, want %d", len(step.now), got, step.named)
		}
	}
}

// A policy whose whenAllDown is set does not fail open: neither the log nor the metric says that it does.
func TestDenyingIsNotOpen(t *testing.T) {
	o := newOpened()
	var log bytes.Buffer
	denied := []admin.Denied{{Policy: "a.test", Says: "NODATA"}}
	o.tell(slog.New(slog.NewTextHandler(&log, nil)), poolless{denied: denied})
	if text := log.String(); !strings.Contains(text, "get NODATA") || strings.Contains(text, "open") {
		t.Errorf("the log says %s", text)
	}
	if n := testutil.CollectAndCount(o, "leeward_policy_failing_open"); n != 0 {
		t.Errorf("the metric says that %d fail open", n)
	}
	if n := testutil.CollectAndCount(o, "leeward_policy_denying"); n != 1 {
		t.Errorf("the metric names %d that deny, want 1", n)
	}
}
