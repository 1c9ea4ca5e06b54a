//go:build linux

package lab

import (
	endian "encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// This file gives a server a wall clock of its own. The machine's clock belongs to everybody, and a time namespace has
// only the monotonic clocks. A preloaded library does not work either, because a static Go binary asks the kernel. So
// the binary is built once more, from the same sources but for one line of the standard library: time.Now adds the
// seconds in a file. The file is mapped, so a step takes effect at once. The monotonic clock goes on, as it does when a
// clock is set. Nothing of this is in the product.

const (
	clockVariable = "CLOCK_SHIFT_FILE"
	clockLine     = "\tsec, nsec, mono := runtimeNow()\n"
	clockSource   = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var shifted = func() *int64 {
	path, _ := syscall.Getenv("` + clockVariable + `")
	if path == "" {
		return new(int64)
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("` + clockVariable + `: " + err.Error())
	}
	page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("` + clockVariable + `: " + err.Error())
	}
	return (*int64)(unsafe.Pointer(&page[0]))
}()

func shift() int64 { return atomic.LoadInt64(shifted) }
`
)

// shiftable builds the binary whose clock can be set, once.
var shiftable = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(workshop, "clock")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	library := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	text, err := os.ReadFile(filepath.Join(library, "time.go"))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), clockLine); n != 1 {
		return "", fmt.Errorf("time.Now of %s is not what it was: %d lines are %q", runtime.Version(), n, clockLine)
	}
	now, shift, overlay := filepath.Join(dir, "time.go"), filepath.Join(dir, "shift.go"),
		filepath.Join(dir, "overlay.json")
	replaced, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(library, "time.go"):  now,
		filepath.Join(library, "shift.go"): shift,
	}})
	if err != nil {
		return "", err
	}
	for file, content := range map[string]string{
		now:     strings.Replace(string(text), clockLine, clockLine+"\tsec += shift()\n", 1),
		shift:   clockSource,
		overlay: string(replaced),
	} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, "leeward")
	build := exec.Command("nice", "-n", "19", "go", "build", "-tags", "noembed", "-overlay", overlay, "-o", path,
		"leeward/cmd/leeward")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", build, err, out)
	}
	return path, nil
})

// wallClock is a server's clock that can be set.
type wallClock struct{ file string }

// GiveClock makes the server start with a clock of its own from now on. The file says how far off that is. Servers may
// share one.
func (s *Server) GiveClock(t testing.TB, file string) {
	path, err := shiftable()
	if err != nil {
		t.Fatal(err)
	}
	s.Clock = &wallClock{file}
	s.Argv[0] = path
	if err := s.Clock.Set(0); err != nil {
		t.Fatal(err)
	}
}

// Set sets the clock that far from the machine's, in whole seconds.
func (c *wallClock) Set(off time.Duration) error {
	f, err := os.OpenFile(c.file, os.O_RDWR|os.O_CREATE, 0o644) // in place, as it is mapped
	if err != nil {
		return err
	}
	defer f.Close()
	var b [8]byte
	endian.NativeEndian.PutUint64(b[:], uint64(off/time.Second))
	_, err = f.WriteAt(b[:], 0)
	return err
}
