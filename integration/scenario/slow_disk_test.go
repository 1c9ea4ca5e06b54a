//go:build linux

package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"leeward/integration/lab"
)

// slowDiskWords are about the disks under etcd. A tracer (strace) holds up each call that has what was written brought
// to the disk, as a disk that is slow or overloaded does, and nothing else of the process.
func slowDiskWords() []word {
	return []word{
		{
			pattern: "disk under etcd R takes D",
			means: "each time that these members bring to disk what they have written (fsync), it takes that much longer; " +
				"members are as in `kill etcd R`",
			do: func(x *scenario, a []string) error {
				delay, err := time.ParseDuration(a[1])
				if err != nil {
					return err
				}
				return x.slowDisk(a[0], delay)
			},
		},
		{
			pattern: "disk under etcd R is quick",
			means:   "again",
			do:      func(x *scenario, a []string) error { return x.slowDisk(a[0], 0) },
		},
	}
}

// slowDisk has each fsync of members take so much longer; 0: as long as it takes.
func (x *scenario) slowDisk(which string, delay time.Duration) error {
	members, err := x.members(which)
	if err != nil {
		return err
	}
	for _, r := range members {
		name := r.Etcd.Name
		as := "strace of etcd " + name
		if before, _ := x.kept[as].(*lab.Process); before != nil {
			// It lets go of the process that it traces, which goes on.
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
			"-e", "trace=fsync,fdatasync", "-e", fmt.Sprintf("inject=fsync,fdatasync:delay_enter=%d", delay.Microseconds()),
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
