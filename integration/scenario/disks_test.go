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
	"strconv"
	"strings"
	"syscall"
	"time"

	"leeward/integration/lab"
	"leeward/integration/script"
)

// fillDisk fills the disk where a server keeps its copy.
func (x *scenario) fillDisk(r *lab.Region, _ script.Args) error {
	f, err := os.Create(filepath.Join(x.w.State(r), "filler"))
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
}

func (x *scenario) freeDisk(r *lab.Region, _ script.Args) error {
	return os.Remove(filepath.Join(x.w.State(r), "filler"))
}

func (x *scenario) protectDisk(r *lab.Region, _ script.Args) error   { return x.remount(r, "ro") }
func (x *scenario) unprotectDisk(r *lab.Region, _ script.Args) error { return x.remount(r, "rw") }

func (x *scenario) remount(r *lab.Region, options string) error {
	if o := lab.Command(x.t, nil, "", "mount", "-o", "remount,"+options, x.w.State(r)); o.Code != 0 {
		return fmt.Errorf("%v", o)
	}
	return nil
}

// spoil changes a server's copy on disk.
func (x *scenario) spoil(r *lab.Region, change func([]byte) ([]byte, error)) error {
	file := filepath.Join(x.w.State(r), "last-good")
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if b, err = change(b); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}

func (x *scenario) cutState(r *lab.Region, _ script.Args) error {
	return x.spoil(r, func(b []byte) ([]byte, error) { return b[:len(b)/2], nil })
}

func (x *scenario) flipState(r *lab.Region, _ script.Args) error {
	return x.spoil(r, func(b []byte) ([]byte, error) {
		b[len(b)/2] ^= 4
		return b, nil
	})
}

func (x *scenario) newerState(r *lab.Region, _ script.Args) error { return x.spoil(r, newer) }

func (x *scenario) stateHolds(r *lab.Region, a script.Args) error {
	b, err := os.ReadFile(filepath.Join(x.w.State(r), "last-good"))
	if err != nil {
		return err
	}
	text, err := unzip(b)
	if err == nil && !strings.Contains(string(text), a.Text(1)) {
		err = fmt.Errorf("its copy has no %q", a.Text(1))
	}
	return err
}

func unzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// newer makes a copy with another number as its format, with the right sum below it.
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
	body := bytes.Join(lines[:len(lines)-1], nil) // the last line is the sum of the lines before
	sum := sha256.Sum256(body)
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	fmt.Fprintf(z, "%s%s\n", body, hex.EncodeToString(sum[:]))
	err = z.Close()
	return out.Bytes(), err
}

func (x *scenario) slowDisk(a script.Args) error  { return x.delayDisk(a.Text(0), a.Duration(1)) }
func (x *scenario) quickDisk(a script.Args) error { return x.delayDisk(a.Text(0), 0) }

// delayDisk makes each fsync of members of etcd take that much longer; 0: as long as it takes. A tracer (strace) delays
// each call that writes to the disk, like a slow or overloaded disk, and nothing else of the process.
func (x *scenario) delayDisk(which string, delay time.Duration) error {
	members, err := x.members(which)
	if err != nil {
		return err
	}
	for _, r := range members {
		name := r.Etcd.Name
		as := "strace of etcd " + name
		if before, _ := x.kept[as].(*lab.Process); before != nil {
			// It detaches from the process that it traces, which goes on.
			if err := before.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
				return err
			}
			<-before.Gone
			delete(x.kept, as)
		}
		if delay == 0 {
			continue
		}
		lab.Need(x.t, "strace")
		tracer := lab.Start(x.t, nil, as, "strace", "-f", "-o", "/dev/null",
			"-e", "trace=fsync,fdatasync", "-e",
			fmt.Sprintf("inject=fsync,fdatasync:delay_enter=%d", delay.Microseconds()),
			"-p", strconv.Itoa(r.Etcd.Process.Cmd.Process.Pid))
		x.kept[as] = tracer
		lab.Until(x.t, 10*time.Second, "etcd "+name+" is traced", func() error {
			if !strings.Contains(tracer.Out.String(), "attached") {
				return fmt.Errorf("strace says %q", tracer.Out.Tail(3))
			}
			return nil
		})
	}
	return nil
}
