//go:build unix

package history

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// A sync that hangs holds up no reader. There is at most one sync a second, and it may take as long as the disk needs.
func TestReadWhileSyncing(t *testing.T) {
	j := Open(Options{Folder: filepath.Join(t.TempDir(), "history"), Now: func() time.Time { return noon }})
	j.all((*book).open)
	j.book.keep(Event{Kind: Server, Text: "the first", Time: noon})
	path := j.book.path(1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil { // opening it waits for a writer
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); j.all((*book).sync) }()
	for text := make([]byte, 1<<20); !bytes.Contains(text[:runtime.Stack(text, true)], []byte("(*book).sync(")); {
		time.Sleep(time.Millisecond)
	}
	if got := all(t, j, Query{}); len(got) != 1 {
		t.Errorf("while the disk syncs a page has %+v", got)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	<-done
}
