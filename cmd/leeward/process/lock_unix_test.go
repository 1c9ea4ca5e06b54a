//go:build unix

package process

import (
	"strings"
	"testing"
)

// A --state folder belongs to one server until that one has ended.
func TestOneServerAState(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockFolder(dir); err == nil || !strings.Contains(err.Error(), "in use by another leeward") {
		t.Errorf("a second server: %v", err)
	}
	unlock()
	again, err := lockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
