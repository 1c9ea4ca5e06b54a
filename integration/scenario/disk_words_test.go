//go:build linux

package scenario

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"leeward/integration/lab"
)

// diskWords are about the copies of the last good snapshot under --state.
func diskWords() []word {
	each := func(f func(x *scenario, folder string, a []string) error) func(*scenario, []string) error {
		return func(x *scenario, a []string) error {
			of, err := x.regionsOf(a[0])
			for _, r := range of {
				if err := f(x, x.w.State(r), a); err != nil {
					return fmt.Errorf("state of %s: %w", r.Name, err)
				}
			}
			return err
		}
	}
	mount := func(options string) func(*scenario, []string) error {
		return each(func(x *scenario, folder string, _ []string) error {
			if o := lab.Command(x.t, nil, "", "mount", "-o", "remount,"+options, folder); o.Code != 0 {
				return fmt.Errorf("%v", o)
			}
			return nil
		})
	}
	spoil := func(f func([]byte) ([]byte, error)) func(*scenario, []string) error {
		return each(func(_ *scenario, folder string, _ []string) error {
			file := filepath.Join(folder, "last-good")
			b, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if b, err = f(b); err != nil {
				return err
			}
			return os.WriteFile(file, b, 0o644)
		})
	}
	return []word{
		{pattern: "disk of R is full", means: "the file system of their copies has no room left; needs the setting `disk small`", quiet: true, do: each(func(_ *scenario, folder string, _ []string) error {
			f, err := os.Create(filepath.Join(folder, "filler"))
			if err != nil {
				return err
			}
			defer f.Close()
			for _, size := range []int{4096, 1} {
				for {
					if _, err := f.Write(make([]byte, size)); err != nil {
						break
					}
				}
			}
			return nil
		})},
		{pattern: "disk of R has room", means: "again", quiet: true, do: each(func(_ *scenario, folder string, _ []string) error {
			return os.Remove(filepath.Join(folder, "filler"))
		})},
		{pattern: "disk of R is read-only", means: "remounted so", quiet: true, do: mount("ro")},
		{pattern: "disk of R is writable", means: "again", quiet: true, do: mount("rw")},
		{pattern: "state of R is cut short", means: "half of the copy is missing", quiet: true, do: spoil(func(b []byte) ([]byte, error) { return b[:len(b)/2], nil })},
		{pattern: "state of R has a flipped bit", means: "in the middle of the copy", quiet: true, do: spoil(func(b []byte) ([]byte, error) {
			b[len(b)/2] ^= 4
			return b, nil
		})},
		{pattern: "state of R is of a newer version", means: "the copy says that it has a format that this Leeward does not know, and is whole otherwise", quiet: true, do: spoil(newer)},
		{pattern: "state of R holds …", means: "their copies have this text in them", check: each(func(_ *scenario, folder string, a []string) error {
			b, err := os.ReadFile(filepath.Join(folder, "last-good"))
			if err != nil {
				return err
			}
			text, err := unzip(b)
			if err == nil && !strings.Contains(string(text), a[1]) {
				err = fmt.Errorf("it has no %q", a[1])
			}
			return err
		})},
	}
}

func unzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// newer makes a copy of one that has another number as its format, with the right sum below it.
func newer(b []byte) ([]byte, error) {
	text, err := unzip(b)
	if err != nil {
		return nil, err
	}
	head, rest, _ := bytes.Cut(text, []byte("\n"))
	changed := bytes.Replace(head, []byte(`"format":`), []byte(`"format":9`), 1)
	if bytes.Equal(changed, head) {
		return nil, fmt.Errorf("its first line names no format: %s", head)
	}
	lines := bytes.SplitAfter(append(append(changed, '\n'), rest...), []byte("\n"))
	for len(lines[len(lines)-1]) == 0 {
		lines = lines[:len(lines)-1]
	}
	body := bytes.Join(lines[:len(lines)-1], nil) // the last line is the sum of those before
	sum := sha256.Sum256(body)
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	fmt.Fprintf(z, "%s%s\n", body, hex.EncodeToString(sum[:]))
	err = z.Close()
	return out.Bytes(), err
}
