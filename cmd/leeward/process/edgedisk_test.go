package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOwnSecret: a secret is made once, and again if it has another size. A file that cannot be read is left as it is.
func TestOwnSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "secret")
	first, err := ownSecret(path)
	if err != nil || len(first) != 32 {
		t.Fatal(first, err)
	}
	if again, err := ownSecret(path); err != nil || string(again) != string(first) {
		t.Errorf("again: %x, %v", again, err)
	}
	if err := os.WriteFile(path, first[:7], 0o600); err != nil {
		t.Fatal(err)
	}
	if anew, err := ownSecret(path); err != nil || len(anew) != 32 || string(anew) == string(first) {
		t.Errorf("after it was cut short: %x, %v", anew, err)
	}
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ownSecret(path); err == nil || !strings.Contains(err.Error(), "repair the file") {
		t.Errorf("of a file that is too large: %v", err)
	}
	if f, err := os.Stat(path); err != nil || f.Size() != 1<<20 {
		t.Error("it was written over")
	}
	folder := t.TempDir()
	if _, err := ownSecret(folder); err == nil {
		t.Error("a folder is no secret")
	}
}
