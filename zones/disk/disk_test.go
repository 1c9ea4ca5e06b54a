package disk

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// OpenIn never waits either, and does not leave its folder.
func TestOpenInStaysAndDoesNotWait(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "file")
	for _, file := range []string{filepath.Join(dir, "file"), outside} {
		if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"to-file": "file", "to-fifo": "fifo", "out": outside} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for path, says := range map[string]string{
		"file": "", "to-file": "", "fifo": "a FIFO", "to-fifo": "a FIFO",
		"out": "escapes", "../x": "escapes", ".": "a folder",
	} {
		within(t, path, func() {
			f, err := OpenIn(root, path)
			switch {
			case err == nil:
				f.Close()
				if says != "" {
					t.Errorf("%s is opened", path)
				}
			case says == "" || !strings.Contains(err.Error(), says):
				t.Errorf("%s: %v", path, err)
			}
		})
	}
}

// within fails the test if f does not return. These tests call what could wait for ever.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s has not returned", what)
	}
}

func TestOpenTakesRegularFilesOnly(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("file"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(at("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for link, target := range map[string]string{
		"to-file": "file", "to-fifo": "fifo", "to-zero": "/dev/zero",
		"loop": "loop",
	} {
		if err := os.Symlink(target, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ path, says string }{
		{at("file"), ""},
		{at("to-file"), ""},
		{at("fifo"), "a FIFO"},
		{at("to-fifo"), "a FIFO"},
		{at("socket"), "a socket"},
		{dir, "a folder"},
		{"/dev/zero", "a device"},
		{at("to-zero"), "a device"},
		{at("loop"), "too many levels"},
		{at("none"), "no such file"},
	} {
		within(t, c.path, func() {
			b, err := Read(c.path, 4)
			switch {
			case c.says == "" && (err != nil || string(b) != "text"):
				t.Errorf("%s: %q, %v; want its text", c.path, b, err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) ||
				!strings.Contains(err.Error(), c.path)):
				t.Errorf("%s: error %v; want one that names the path and says %q", c.path, err, c.says)
			case strings.HasPrefix(c.says, "a ") && !errors.Is(err, ErrNotRegular):
				t.Errorf("%s: %v does not wrap ErrNotRegular", c.path, err)
			}
		})
	}
}

// /proc/kmsg claims to be regular, and its reader waits for the kernel's next message. Reading takes that message away
// from others, so this is for machines that nobody else needs.
func TestRegularFilesThatBlock(t *testing.T) {
	if os.Getenv("CI") == "" {
		t.Skip("it takes the kernel's messages away: set CI")
	}
	within(t, "/proc/kmsg", func() {
		if _, err := Read("/proc/kmsg", 64<<20); err == nil {
			t.Error("it ends")
		}
	})
}

func TestReadIsBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := Read(file, 5); err != nil || string(b) != "12345" {
		t.Errorf("at the bound: %q, %v", b, err)
	}
	if _, err := Read(file, 4); !errors.Is(err, ErrTooLarge) {
		t.Errorf("above the bound: %v, want ErrTooLarge", err)
	}
	if err := os.Truncate(file, 1<<40); err != nil { // sparse
		t.Skipf("no sparse files here: %v", err)
	}
	if _, err := Read(file, 4); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a sparse file of a tebibyte: %v, want ErrTooLarge", err)
	}
	// A file that claims to have no octets may have some.
	if b, err := Read("/proc/self/status", 1<<20); err == nil && len(b) == 0 {
		t.Error("/proc/self/status is read as empty")
	}
}

// content returns the files of a folder: names and texts.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(b)
	}
	return all
}

func TestWriteIsWholeOrNotAtAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by [write]")
	file := filepath.Join(dir, "file")
	text := func(s string) func(*os.File) error {
		return func(f *os.File) error { _, err := f.WriteString(s); return err }
	}
	if err := Write(file, 0o640, text("one")); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left")
	err := Write(file, 0o640, func(f *os.File) error {
		_ = text("two, cut sh")(f)
		return full
	})
	if !errors.Is(err, full) {
		t.Errorf("error is %v, want that of the writer", err)
	}
	if got := content(t, dir); len(got) != 1 || got["file"] != "one" {
		t.Errorf("after a write that failed the folder holds %q, want the old file alone", got)
	}
	if status, err := os.Stat(file); err != nil || status.Mode() != 0o640 {
		t.Errorf("mode is %v, %v", status.Mode(), err)
	}

	// An error names the file and not the temporary one, whose name changes each time.
	err = Write(file, 0o640, func(f *os.File) error {
		f.Close()
		_, err := f.WriteString("x")
		return err
	})
	if err == nil || !strings.HasPrefix(err.Error(), "write "+file+": ") ||
		strings.Contains(err.Error(), ".new: file") {
		t.Errorf("error is %v, want one of %s", err, file)
	}
	in := filepath.Join(dir, "long"+strings.Repeat("x", 250)) // too long with the end that makes it a temporary name
	if err := Write(in, 0o640, text("x")); err == nil || !strings.HasPrefix(err.Error(), "open "+in+": ") {
		t.Errorf("error is %v, want one of %s", err, in)
	}

	// A crash leaves its temporary file. An old one is removed. A new one may belong to somebody who is writing now.
	old, fresh := filepath.Join(dir, ".file.1.new"), filepath.Join(dir, ".file.2.new")
	other := filepath.Join(dir, ".files.1.new")
	for _, name := range []string{old, fresh, other} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * leftover)
	for _, name := range []string{old, other} {
		if err := os.Chtimes(name, past, past); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(file, 0o640, text("two")); err != nil {
		t.Fatal(err)
	}
	got := content(t, dir)
	if _, there := got[".file.1.new"]; there || len(got) != 3 || got["file"] != "two" {
		t.Errorf("the folder holds %q, want the file, the fresh temporary file, and that of another", got)
	}
}

// A folder of very many files is not listed for each file that is written there.
func TestWriteInALargeFolder(t *testing.T) {
	dir := t.TempDir()
	for i := range manyFiles + 1 {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stale := filepath.Join(dir, ".file.1.new")
	write := func() (stays bool) {
		if err := os.WriteFile(stale, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		past := time.Now().Add(-2 * leftover)
		if err := os.Chtimes(stale, past, past); err != nil {
			t.Fatal(err)
		}
		if err := Write(filepath.Join(dir, "file"), 0o600, func(*os.File) error { return nil }); err != nil {
			t.Fatal(err)
		}
		_, err := os.Lstat(stale)
		return err == nil
	}
	if write() {
		t.Error("what a crash has left stays")
	}
	if !write() {
		t.Error("the folder was listed again at once")
	}
	listed.Store(dir, time.Now().Add(-2*listsAfter))
	if write() {
		t.Error("the folder is never listed again")
	}
}

func TestWriteReplacesALink(t *testing.T) {
	dir := t.TempDir()
	precious, file := filepath.Join(dir, "precious"), filepath.Join(dir, "file")
	if err := os.WriteFile(precious, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(precious, file); err != nil {
		t.Fatal(err)
	}
	if err := Write(file, 0o600, func(f *os.File) error { _, err := f.WriteString("new"); return err }); err != nil {
		t.Fatal(err)
	}
	if got := content(t, dir); got["precious"] != "keep" || got["file"] != "new" {
		t.Errorf("the folder holds %q", got)
	}
	if err := Write(dir, 0o600, func(*os.File) error { return nil }); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if _, err := os.Stat(filepath.Join(dir, "precious")); errors.Is(err, fs.ErrNotExist) {
		t.Error("what was in the folder is gone")
	}
}

// A file has another version once it was written, replaced, opened to others, or once a link leads elsewhere. Looking
// at a file does not change its version.
func TestStamp(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	at := time.Now().Add(-time.Hour)
	put := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link")
	lead := func(to string) {
		t.Helper()
		os.Remove(link)
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	lead(path)
	for _, step := range []struct {
		what string
		do   func()
		same bool
	}{
		{"nothing is there", func() {}, true},
		{"it is made", func() { put(path, "x") }, false},
		{"it is read", func() { _, _ = os.ReadFile(link) }, true},
		{"another size", func() { put(path, "xy") }, false},
		{"another time", func() { at = at.Add(time.Second); put(path, "xy") }, false},
		{"another file, alike", func() { put(other, "xy"); lead(other) }, false},
		{"others may open it", func() { _ = os.Chmod(other, 0o644) }, false},
		{"it goes", func() { os.Remove(other) }, false},
	} {
		before := Look(link)
		step.do()
		if now := Look(link); now.Same(before) != step.same || before.Same(now) != step.same {
			t.Errorf("%s: the same %v, want %v", step.what, now.Same(before), step.same)
		}
	}
}
