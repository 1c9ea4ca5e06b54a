package process

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Files that have changed in any way are read again once nobody is writing them any more.
func TestWatchFiles(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write("plain", "1")
	write("beside", "1")
	must(os.Mkdir(at("v1"), 0o700))
	must(os.Mkdir(at("v2"), 0o700))
	write("v1/secret", "1")
	write("v2/secret", "2")
	must(os.Symlink("v1", at("..data")))
	must(os.Symlink("..data/secret", at("secret")))
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var read []string
		see := func(name string) func() {
			return func() {
				text, _ := os.ReadFile(at(name))
				mu.Lock()
				defer mu.Unlock()
				read = append(read, name+" "+string(text))
			}
		}
		ctx := t.Context()
		go watchFiles(ctx, time.Second,
			[]credential{{[]string{at("plain"), at("beside")}, see("plain")}, {[]string{at("secret")}, see("secret")}})
		expect := func(what string, want ...string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(read, want) {
				t.Errorf("%s: read %q, want %q", what, read, want)
			}
			read = nil
		}
		rest := func(n int) {
			time.Sleep(time.Duration(n)*time.Second + time.Millisecond)
			synctest.Wait()
		}
		rest(3)
		expect("nothing has changed")
		write("plain", "half")
		rest(1)
		write("plain", "half and half")
		rest(1)
		expect("while it is written")
		rest(2)
		expect("written", "plain half and half")
		write("beside", "22")
		rest(3)
		expect("the file beside it", "plain half and half")
		must(os.Symlink("v2", at("next")))
		must(os.Rename(at("next"), at("..data")))
		rest(3)
		expect("a folder behind a link", "secret 2")
		must(os.Remove(at("plain")))
		rest(3)
		expect("it is gone", "plain ")
		write("plain", "3")
		rest(3)
		expect("it is there again", "plain 3")
	})
}
