//go:build linux

package scenario

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"leeward/integration/lab"
)

// crowd is TCP connections from clients that only hold them, and come again when one is closed.
type crowd struct {
	stop    chan struct{}
	waiting sync.WaitGroup
}

// newCrowd holds n connections from each of the client host's addresses to a server until it is told to leave.
func newCrowd(w *lab.World, r *lab.Region, n int) *crowd {
	c := &crowd{stop: make(chan struct{})}
	from := []netip.Addr{netip.MustParseAddr("10.77.9.1")}
	for _, of := range w.Regions {
		from = append(from, of.ClientAddress())
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
					c.hold(w, a, r.Server.DNS)
				}
			})
		}
	}
	return c
}

// hold connects, and reads until the server closes or the crowd leaves.
func (c *crowd) hold(w *lab.World, from netip.Addr, to string) {
	pause := time.NewTimer(50 * time.Millisecond) // at least, from one try to the next
	defer func() { <-pause.C }()
	s, err := w.Client.Dial(net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}, "tcp", to)
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
				x.excuse(overTCP(r.Name))
				c := newCrowd(x.w, r, n)
				x.kept["crowd "+r.Name] = c
				x.t.Cleanup(func() {
					if x.kept["crowd "+r.Name] != nil {
						c.leave()
					}
				})
			}
			return err
		}},
		{pattern: "the crowd leaves server R", means: "all of them close", do: func(x *scenario, a []string) error {
			all, err := x.regionsOf(a[0])
			for _, r := range all {
				x.kept["crowd "+r.Name].(*crowd).leave()
				x.kept["crowd "+r.Name] = nil
				x.mu.Lock()
				ws := x.losses[overTCP(r.Name)]
				ws[len(ws)-1].Until = time.Now().Add(grace)
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
			o := lab.Command(x.t, x.w.Regions[0].Host, b.String(), lab.Binary, "apply", "--etcd", strings.Join(x.w.URLs, ","), "-f", "-")
			if o.Code != 0 {
				return fmt.Errorf("%v", o)
			}
			return nil
		}},
		{pattern: "server R lives", means: "its process does, and it is the one that was there at the start", check: func(x *scenario, a []string) error {
			all, err := x.regionsOf(a[0])
			for _, r := range all {
				if !r.Server.Process.Alive() {
					return fmt.Errorf("server %s has ended with %v", r.Name, r.Server.Process.Cmd.ProcessState)
				}
			}
			return err
		}},
	}
}
