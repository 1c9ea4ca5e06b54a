//go:build linux

package measure

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// trials is how often TestMeasureDetection repeats each failure. It prints the worst result beside the median.
const trials = 30

// TestMeasureDetection measures how long three servers still answer with a region whose endpoints fail at the same time
// as etcd's leader, or 2 s after etcd has run out of space. It waits for the last server to leave the region out.
func TestMeasureDetection(t *testing.T) {
	measuring(t)
	for _, c := range []struct {
		name   string
		before time.Duration // that etcd fails before the endpoints do
		fail   func(leader *lab.Member) error
		heal   func(t *testing.T, leader *lab.Member) error
	}{
		{
			"nothing else fails", 0,
			func(*lab.Member) error { return nil },
			func(*testing.T, *lab.Member) error { return nil },
		},
		{
			"the leader is killed", 0,
			func(m *lab.Member) error { m.Process.Kill(); return nil },
			func(t *testing.T, m *lab.Member) error { m.Start(t); return nil },
		},
		{
			"the leader stands still", 0,
			func(m *lab.Member) error { return m.Process.Cmd.Process.Signal(syscall.SIGSTOP) },
			func(_ *testing.T, m *lab.Member) error { return m.Process.Cmd.Process.Signal(syscall.SIGCONT) },
		},
		{
			"etcd is out of space", 2 * time.Second,
			func(m *lab.Member) error { return m.NoSpace(true) },
			func(_ *testing.T, m *lab.Member) error { return m.NoSpace(false) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := lab.NewWorld(t, lab.Usual)
			var all []time.Duration
			for n := range trials {
				for _, r := range w.Regions {
					lab.Until(t, time.Minute, r.Name+" is calm", func() error { return calmAt(w, r) })
				}
				// Probes and heartbeats may be at any point of their turns.
				time.Sleep(time.Duration(rand.Int64N(int64(2 * time.Second))))
				leader := w.Leader(t)
				if err := c.fail(leader); err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.before)
				began := time.Now()
				for _, e := range w.Regions[0].Endpoints {
					if err := e.Turn(lab.Failing, lab.Pace{}); err != nil {
						t.Fatal(err)
					}
				}
				left := func(answer string) bool { return !strings.HasPrefix(answer, "10.77.1.") }
				each := untilEach(t, w, began, left)
				t.Logf("%s, %d: %v", c.name, n+1, each)
				all = append(all, slices.Max(each))
				for _, e := range w.Regions[0].Endpoints {
					if err := e.Turn(lab.Well, lab.Pace{}); err != nil {
						t.Fatal(err)
					}
				}
				if err := c.heal(t, leader); err != nil {
					t.Fatal(err)
				}
				for _, r := range w.Regions {
					r.Etcd.Wait(t)
				}
			}
			slices.Sort(all)
			detection := time.Duration(lab.Usual.Fall)*lab.Usual.Every + lab.Usual.Timeout
			t.Logf("%s, slowest of three servers, %d trials: median %v, 9 of 10 %v, worst %v; detection %v",
				c.name, len(all), all[len(all)/2], all[len(all)*9/10], all[len(all)-1], detection)
		})
	}
}

// calmAt says whether the region's server has everything up and hears from everybody.
func calmAt(w *lab.World, r *lab.Region) error {
	var p lab.StatusPage
	if err := r.Server.Status(&p); err != nil {
		return err
	}
	for _, e := range p.Endpoints {
		for _, a := range e.Addresses {
			for _, v := range a.Votes {
				if v.State != "up" || !v.Fresh {
					return fmt.Errorf("%s says %s of %v", v.Vantage, v.State, a.Address)
				}
			}
			if a.Verdict != "up" || len(a.Votes) != len(w.Regions) {
				return fmt.Errorf("%v is %s by %d votes", a.Address, a.Verdict, len(a.Votes))
			}
		}
	}
	return nil
}

// untilEach asks all servers without a pause until their answers are as wanted, and returns how long each took.
func untilEach(t testing.TB, w *lab.World, began time.Time, met func(answer string) bool) []time.Duration {
	each := make([]time.Duration, len(w.Regions))
	var running sync.WaitGroup
	for i, r := range w.Regions {
		running.Go(func() {
			address := net.JoinHostPort(r.IP(1), "53")
			q := new(dns.Msg)
			q.SetQuestion("www.example.test.", dns.TypeA)
			client := dns.Client{Timeout: time.Second}
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for ; time.Since(began) < time.Minute; <-tick.C {
				c, err := w.Client.Dial(net.Dialer{Timeout: time.Second}, "udp", address)
				if err != nil {
					continue
				}
				answer, _, err := client.ExchangeWithConn(q, &dns.Conn{Conn: c})
				c.Close()
				if err != nil || len(answer.Answer) == 0 {
					continue
				}
				if a, ok := answer.Answer[0].(*dns.A); ok && met(a.A.String()) {
					each[i] = time.Since(began).Round(time.Millisecond)
					return
				}
			}
			t.Errorf("%s still answers otherwise after a minute", r.Name)
		})
	}
	running.Wait()
	return each
}
