package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The examples of docs/autoscaling.md are YAML of the kinds that they name, and the metrics that the page names exist.
func TestAutoscalingExamples(t *testing.T) {
	page, err := os.ReadFile("../../docs/autoscaling.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"kind", "rules", "kind"}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) != len(want) {
		t.Fatalf("%d examples, want %d", len(blocks), len(want))
	}
	for i, b := range blocks {
		var doc map[string]any
		if err := yaml.Unmarshal(b[1], &doc); err != nil {
			t.Errorf("example %d: %v", i+1, err)
		}
		if doc[want[i]] == nil {
			t.Errorf("example %d has no %s: %v", i+1, want[i], doc)
		}
	}
	source, err := os.ReadFile("control/loadmetrics.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`leeward_pool_[a-z_]+`).FindAllString(string(page), -1) {
		if !strings.Contains(string(source), `"`+name+`"`) {
			t.Errorf("there is no metric %s", name)
		}
	}
}
