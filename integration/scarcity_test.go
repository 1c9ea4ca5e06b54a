//go:build linux

package integration

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// group is a control group for memory, of version 1 or 2, whichever the machine has.
type group struct{ dir, mount string }

// newGroup makes one with so many MiB; it goes when the test ends, after what runs in it.
func newGroup(t testing.TB, name string, mib int) *group {
	t.Helper()
	limit := strconv.Itoa(mib << 20)
	for _, c := range []struct{ mount, file, again string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory && mount -t cgroup -o memory none /sys/fs/cgroup/memory"},
		{"/sys/fs/cgroup", "memory.max", "mount -t cgroup2 none /sys/fs/cgroup"},
	} {
		dir := filepath.Join(c.mount, name)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		if c.file == "memory.max" {
			os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", []byte("+memory"), 0) // it may be there already
		}
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte(limit), 0); err != nil {
			os.Remove(dir)
			continue
		}
		t.Cleanup(func() {
			for range 50 { // until the kernel has let go of the processes
				if os.Remove(dir) == nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
		return &group{dir, c.again}
	}
	missing(t, "no control group with a memory limit can be made here")
	return nil
}

// enter is the command that puts what follows it into the group and becomes it. "ip netns exec" has hidden the groups
// behind a /sys of its own; they are mounted there again.
func (g *group) enter() []string {
	return []string{"sh", "-c", g.mount + ` && echo $$ > "$0"/cgroup.procs && exec "$@"`, g.dir}
}

// crowd is TCP connections from clients that only hold them, and come again when one is closed.
type crowd struct {
	stop    chan struct{}
	waiting sync.WaitGroup
}

// newCrowd holds n connections from each of the client host's addresses to a server until it is told to leave.
func newCrowd(w *world, r *region, n int) *crowd {
	c := &crowd{stop: make(chan struct{})}
	from := []netip.Addr{netip.MustParseAddr("10.77.9.1")}
	for _, of := range w.regions {
		from = append(from, of.clientAddress())
	}
	for _, a := range from {
		for range n {
			c.waiting.Go(func() {
				for {
					select {
					case <-c.stop:
						return
					default:
					}
					c.hold(w, a, r.server.dns)
				}
			})
		}
	}
	return c
}

// hold connects, and reads until the server closes or the crowd leaves.
func (c *crowd) hold(w *world, from netip.Addr, to string) {
	pause := time.NewTimer(50 * time.Millisecond) // at least, from one try to the next
	defer func() { <-pause.C }()
	s, err := w.client.dial(net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}, "tcp", to)
	if err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		select {
		case <-c.stop:
		case <-done:
		}
		s.Close()
	}()
	s.Read(make([]byte, 1))
	close(done)
}

func (c *crowd) leave() { close(c.stop); c.waiting.Wait() }

// overTCP is what excuses queries to a server are noted under that come over TCP.
func overTCP(server string) string { return server + " over TCP" }

// scarcityWords are about what servers have to share: descriptors, memory, the processor.
func scarcityWords() []word {
	return []word{
		{pattern: "N idle clients crowd server R", means: "from each of four addresses so many TCP connections, which say nothing and come again when they are closed; until they leave, queries to it over TCP need not be answered", do: func(x *scenario, a []string) error {
			n, err := strconv.Atoi(a[0])
			if err != nil {
				return err
			}
			all, err := x.regionsOf(a[1])
			for _, r := range all {
				x.excuse(overTCP(r.name))
				c := newCrowd(x.w, r, n)
				x.kept["crowd "+r.name] = c
				x.t.Cleanup(func() {
					if x.kept["crowd "+r.name] != nil {
						c.leave()
					}
				})
			}
			return err
		}},
		{pattern: "the crowd leaves server R", means: "all of them close", do: func(x *scenario, a []string) error {
			all, err := x.regionsOf(a[0])
			for _, r := range all {
				x.kept["crowd "+r.name].(*crowd).leave()
				x.kept["crowd "+r.name] = nil
				x.mu.Lock()
				ws := x.losses[overTCP(r.name)]
				ws[len(ws)-1].until = time.Now().Add(grace)
				x.mu.Unlock()
			}
			return err
		}},
		{pattern: "N busy loops run beside", means: "processes of the same priority that want all of the processor", do: func(x *scenario, a []string) error {
			n, err := strconv.Atoi(a[0])
			for range n {
				hog := exec.Command("sh", "-c", "while :; do :; done")
				hog.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
				if err := hog.Start(); err != nil {
					return err
				}
				hogs, _ := x.kept["hogs"].([]*exec.Cmd)
				x.kept["hogs"] = append(hogs, hog)
				x.t.Cleanup(func() { hog.Process.Kill(); hog.Wait() })
			}
			return err
		}},
		{pattern: "the busy loops end", means: "all of them", do: func(x *scenario, _ []string) error {
			hogs, _ := x.kept["hogs"].([]*exec.Cmd)
			for _, hog := range hogs {
				hog.Process.Kill()
			}
			return nil
		}},
		{pattern: "N records are applied", means: "one leeward apply of so many TXT records of 200 octets, r0.example.test and so on, which were others before", do: func(x *scenario, a []string) error {
			n, err := strconv.Atoi(a[0])
			if err != nil {
				return err
			}
			round, _ := x.kept["round"].(int)
			x.kept["round"] = round + 1
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, "---\nkind: Record\nname: example.test/r%d/TXT\ndata: ['\"%0200d\"']\n", i, round*n+i)
			}
			o := command(x.t, x.w.regions[0].host, b.String(), binary, "apply", "--etcd", strings.Join(x.w.urls, ","), "-f", "-")
			if o.code != 0 {
				return fmt.Errorf("%v", o)
			}
			return nil
		}},
		{pattern: "server R lives", means: "its process does, and it is the one that was there at the start", check: func(x *scenario, a []string) error {
			all, err := x.regionsOf(a[0])
			for _, r := range all {
				if !r.server.process.alive() {
					return fmt.Errorf("server %s has ended with %v", r.name, r.server.process.cmd.ProcessState)
				}
			}
			return err
		}},
	}
}
