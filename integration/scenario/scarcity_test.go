//go:build linux

package scenario

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"leeward/integration/lab"
	"leeward/integration/script"
)

// crowd is TCP connections of clients that only hold them, and reconnect when one is closed.
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

// overTCP names the excuses for queries to a server over TCP.
func overTCP(server string) string { return server + " over TCP" }

func (x *scenario) crowdServers(a script.Args) error {
	for _, r := range x.regions(a.Text(1)) {
		x.excuse(overTCP(r.Name))
		c := newCrowd(x.w, r, a.Int(0))
		x.kept["crowd "+r.Name] = c
		x.t.Cleanup(func() {
			if x.kept["crowd "+r.Name] != nil {
				c.leave()
			}
		})
	}
	return nil
}

func (x *scenario) crowdLeaves(r *lab.Region, _ script.Args) error {
	c, ok := x.kept["crowd "+r.Name].(*crowd)
	if !ok {
		return errors.New("nobody crowds it")
	}
	c.leave()
	x.kept["crowd "+r.Name] = nil
	x.mu.Lock()
	defer x.mu.Unlock()
	ws := x.losses[overTCP(r.Name)]
	ws[len(ws)-1].Until = time.Now().Add(grace)
	return nil
}

func (x *scenario) burn(a script.Args) error {
	for range a.Int(0) {
		hog := exec.Command("sh", "-c", "while :; do :; done")
		hog.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := hog.Start(); err != nil {
			return err
		}
		hogs, _ := x.kept["hogs"].([]*exec.Cmd)
		x.kept["hogs"] = append(hogs, hog)
		x.t.Cleanup(func() { hog.Process.Kill(); hog.Wait() })
	}
	return nil
}

func (x *scenario) stopBurning(script.Args) error {
	hogs, _ := x.kept["hogs"].([]*exec.Cmd)
	for _, hog := range hogs {
		hog.Process.Kill()
	}
	return nil
}

// applyRecords applies that many records at once, with new data.
func (x *scenario) applyRecords(a script.Args) error {
	n := a.Int(0)
	round, _ := x.kept["round"].(int)
	x.kept["round"] = round + 1
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "---\nkind: Record\nname: example.test/r%d/TXT\ndata: ['\"%0200d\"']\n", i, round*n+i)
	}
	return x.run(b.String(), "apply -f -")
}
