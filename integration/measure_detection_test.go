//go:build linux

package integration

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
)

// trials is how often TestMeasureDetection takes each thing away. The worst of so many is what it prints beside the
// median.
const trials = 30

// TestMeasureDetection measures how long three servers answer a region whose endpoints fail in the same instant as
// etcd's leader, or 2 s after etcd has run out of space: until the last of them has left it out.
func TestMeasureDetection(t *testing.T) {
	measuring(t)
	for _, c := range []struct {
		name   string
		before time.Duration // that etcd fails before the endpoints do
		fail   func(leader *member) error
		heal   func(t *testing.T, leader *member) error
	}{
		{
			"nothing else fails", 0,
			func(*member) error { return nil },
			func(*testing.T, *member) error { return nil },
		},
		{
			"the leader is killed", 0,
			func(m *member) error { m.process.kill(); return nil },
			func(t *testing.T, m *member) error { m.start(t); return nil },
		},
		{
			"the leader stands still", 0,
			func(m *member) error { return m.process.cmd.Process.Signal(syscall.SIGSTOP) },
			func(_ *testing.T, m *member) error { return m.process.cmd.Process.Signal(syscall.SIGCONT) },
		},
		{
			"etcd is out of space", 2 * time.Second,
			func(m *member) error { return m.noSpace(true) },
			func(_ *testing.T, m *member) error { return m.noSpace(false) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, usual)
			var all []time.Duration
			for n := range trials {
				for _, r := range w.regions {
					until(t, time.Minute, r.name+" is calm", func() error { return w.calm(r) })
				}
				// Probes and heartbeats are anywhere in their turns.
				time.Sleep(time.Duration(rand.Int64N(int64(2 * time.Second))))
				leader := w.leader(t)
				if err := c.fail(leader); err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.before)
				began := time.Now()
				for _, e := range w.regions[0].endpoints {
					if err := e.turn(failing, pace{}); err != nil {
						t.Fatal(err)
					}
				}
				left := func(answer string) bool { return !strings.HasPrefix(answer, "10.77.1.") }
				each := w.until(t, began, left)
				t.Logf("%s, %d: %v", c.name, n+1, each)
				all = append(all, slices.Max(each))
				for _, e := range w.regions[0].endpoints {
					if err := e.turn(well, pace{}); err != nil {
						t.Fatal(err)
					}
				}
				if err := c.heal(t, leader); err != nil {
					t.Fatal(err)
				}
				for _, r := range w.regions {
					r.etcd.wait(t)
				}
			}
			slices.Sort(all)
			detection := time.Duration(usual.fall)*usual.every + usual.timeout
			t.Logf("%s, slowest of three servers, %d trials: median %v, 9 of 10 %v, worst %v; detection %v",
				c.name, len(all), all[len(all)/2], all[len(all)*9/10], all[len(all)-1], detection)
		})
	}
}

// calm says whether the region's server has everything up and hears everybody.
func (w *world) calm(r *region) error {
	var p statusPage
	if err := r.server.status(&p); err != nil {
		return err
	}
	for _, e := range p.Endpoints {
		for _, a := range e.Addresses {
			for _, v := range a.Votes {
				if v.State != "up" || !v.Fresh {
					return fmt.Errorf("%s says %s of %v", v.Vantage, v.State, a.Address)
				}
			}
			if a.Verdict != "up" || len(a.Votes) != len(w.regions) {
				return fmt.Errorf("%v is %s by %d votes", a.Address, a.Verdict, len(a.Votes))
			}
		}
	}
	return nil
}

// leader is the member of etcd that leads.
func (w *world) leader(t testing.TB) (m *member) {
	until(t, 30*time.Second, "etcd has a leader", func() error {
		i := slices.IndexFunc(w.regions, func(r *region) bool { return r.etcd.leads(t) })
		if i < 0 {
			return fmt.Errorf("none of %d members leads", len(w.regions))
		}
		m = w.regions[i].etcd
		return nil
	})
	return m
}

// until asks all servers without a pause until their answers are what is waited for, and returns how long each took.
func (w *world) until(t testing.TB, began time.Time, met func(answer string) bool) []time.Duration {
	each := make([]time.Duration, len(w.regions))
	var running sync.WaitGroup
	for i, r := range w.regions {
		running.Go(func() {
			address := net.JoinHostPort(r.ip(1), "53")
			q := new(dns.Msg)
			q.SetQuestion("www.example.test.", dns.TypeA)
			client := dns.Client{Timeout: time.Second}
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for ; time.Since(began) < time.Minute; <-tick.C {
				c, err := w.client.dial(net.Dialer{Timeout: time.Second}, "udp", address)
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
			t.Errorf("%s still answers otherwise after a minute", r.name)
		})
	}
	running.Wait()
	return each
}
