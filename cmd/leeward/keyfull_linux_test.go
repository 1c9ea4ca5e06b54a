package main

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestKeysOnAFullDisk: the disk gets full at any write of a verb that changes keys. The verb leaves all files as they
// were, says so, and does its work once there is room.
func TestKeysOnAFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root mounts disks")
	}
	folder, away := t.TempDir(), t.TempDir()
	if err := syscall.Mount("keys", folder, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("this machine mounts nothing:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(folder, "filler")
	command := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		status := run(t.Context(), append([]string{"key"}, args...), nil, strings.NewReader(""), &out, &errs)
		return status, out.String() + errs.String()
	}
	files := func() map[string]string {
		t.Helper()
		all := map[string]string{}
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(folder, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if e.Name() != "filler" {
				all[e.Name()] = string(text)
			}
		}
		return all
	}
	// fill leaves that many pages free.
	fill := func(pages int) {
		t.Helper()
		if err := os.Remove(filler); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		var disk syscall.Statfs_t
		if err := syscall.Statfs(folder, &disk); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filler, make([]byte, (int(disk.Bavail)-pages)*int(disk.Bsize)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reset := func(to map[string]string) {
		t.Helper()
		for name := range files() {
			if err := os.Remove(filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
		}
		for name, text := range to {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if status, out := command("generate", "other.test", "--keys", away); status != 0 {
		t.Fatal(out)
	}
	imported, err := filepath.Glob(filepath.Join(away, "*.private"))
	if err != nil || len(imported) != 1 {
		t.Fatal(imported, err)
	}
	if status, out := command("generate", "example.test", "--split", "--keys", folder); status != 0 {
		t.Fatal(out)
	}
	before := files()
	for _, args := range [][]string{
		{"generate", "new.test"},
		{"generate", "new.test", "--split"},
		{"import", "other.test", imported[0]},
		{"roll", "example.test", "--role", "zsk"},
		{"roll", "example.test", "--role", "ksk"},
		{"roll", "example.test", "--algorithm", "15"},
	} {
		failed := 0
		for pages := 0; ; pages++ {
			os.Remove(filler)
			reset(before)
			fill(pages)
			status, out := command(append(args, "--keys", folder)...)
			after := files()
			if status == 0 {
				if maps.Equal(before, after) {
					t.Errorf("%q with %d pages: nothing is written\n%s", args, pages, out)
				}
				break
			}
			failed++
			if !maps.Equal(before, after) {
				t.Errorf("%q with %d pages: there were\n%q\nand are\n%q\n%s", args, pages,
					slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)), out)
			}
			if !strings.Contains(out, "no space left on device") || !strings.Contains(out, folder) {
				t.Errorf("%q with %d pages: %s", args, pages, out)
			}
			if pages > 50 {
				t.Fatalf("%q does not end: %s", args, out)
			}
		}
		if failed == 0 {
			t.Errorf("%q: the disk was never full", args)
		}
	}
}
