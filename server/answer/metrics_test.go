package answer

import (
	"strings"
	"testing"
)

func TestOptionsOutOfRange(t *testing.T) {
	if _, err := New(Options{ID: strings.Repeat("x", 129)}); err == nil || !strings.HasPrefix(err.Error(), "ID") {
		t.Errorf("a long ID: %v", err)
	}
}
