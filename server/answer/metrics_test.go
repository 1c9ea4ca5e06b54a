package answer

import (
	"maps"
	"strings"
	"testing"
)

func TestOptionsOutOfRange(t *testing.T) {
	if _, err := New(Options{ID: strings.Repeat("x", 129)}); err == nil || !strings.HasPrefix(err.Error(), "ID") {
		t.Errorf("a long ID: %v", err)
	}
}

// The number of pools with a series is bounded. A pool keeps its series, and together the series count every answer.
func TestPoolSeriesAreBounded(t *testing.T) {
	c := &collector{pools: map[string]bool{}}
	for _, tt := range []struct{ answers, want map[string]uint64 }{
		{map[string]uint64{"a": 1, "b": 0}, map[string]uint64{"a": 1, "b": 0}},
		{map[string]uint64{"a": 1, "b": 0, "c": 5, "d": 7}, map[string]uint64{"a": 1, "b": 0, "d": 7, "": 5}},
		{map[string]uint64{"a": 2, "b": 1, "c": 90, "d": 8, "e": 9}, map[string]uint64{"a": 2, "b": 1, "d": 8, "": 99}},
	} {
		if got := c.bounded(tt.answers, 3); !maps.Equal(got, tt.want) {
			t.Errorf("%v: got %v, want %v", tt.answers, got, tt.want)
		}
	}
}
