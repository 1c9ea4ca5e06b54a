//go:build linux

package lab

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestYardCuts tests the yard itself. A test that cuts a region off proves nothing if the cut lets anything through.
func TestYardCuts(t *testing.T) {
	t.Run("switch", func(t *testing.T) { yardCuts(t, NewYard(t)) })
	t.Run("forwarder", func(t *testing.T) { yardCuts(t, newForwardedYard(t, 1)) })
}

func yardCuts(t *testing.T, y *Yard) {
	a := y.Host(t, "a", netip.MustParsePrefix("10.77.1.1/16"), netip.MustParsePrefix("fd77::1:1/64"))
	b := y.Host(t, "b", netip.MustParsePrefix("10.77.2.1/16"), netip.MustParsePrefix("fd77::2:1/64"))
	c := y.Host(t, "c", netip.MustParsePrefix("10.77.3.1/16"))
	targets := []string{"10.77.1.1:80"}
	if y.IPv6 {
		targets = append(targets, "[fd77::1:1]:80")
	}
	for _, target := range targets {
		startEndpoint(t, a, target)
	}
	startEndpoint(t, c, "10.77.3.1:80")
	asks := func(from *Host, target string) error {
		client := http.Client{Timeout: 500 * time.Millisecond, Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
				return from.Dial(net.Dialer{Timeout: 500 * time.Millisecond}, network, address)
			},
		}}
		r, err := client.Get("http://" + target + "/healthz")
		if err == nil {
			r.Body.Close()
		}
		return err
	}
	for _, target := range targets {
		if err := asks(b, target); err != nil {
			t.Fatalf("before the cut: %v", err)
		}
	}
	y.Cut(t, a)
	for _, target := range targets {
		if err := asks(b, target); !isTimeout(err) {
			t.Errorf("%s is reached, or refuses, through the cut: %v", target, err)
		}
		if err := asks(a, target); err != nil {
			t.Errorf("inside, %s is gone: %v", target, err)
		}
	}
	if err := asks(b, "10.77.3.1:80"); err != nil {
		t.Errorf("the cut takes others with it: %v", err)
	}
	y.Heal(t, a)
	for _, target := range targets {
		Until(t, 10*time.Second, target+" is back", func() error { return asks(b, target) })
	}
}

// TestForwarder tests the weather of links. A cut of one direction stops only that one. As many packets are lost as
// should be, the same ones each time, and delayed packets arrive that much later.
func TestForwarder(t *testing.T) {
	lost := func(seed uint64) (numbers []byte) {
		y := newForwardedYard(t, seed)
		a := y.Host(t, "a", netip.MustParsePrefix("10.77.1.1/16"))
		b := y.Host(t, "b", netip.MustParsePrefix("10.77.2.1/16"))
		inbox := b.ListenPacket(t, "10.77.2.1:99")
		defer inbox.Close()
		c, err := a.Dial(net.Dialer{}, "udp", "10.77.2.1:99")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		buffer := make([]byte, 10)
		crosses := func(i byte) bool {
			t.Helper()
			if _, err := c.Write([]byte{i}); err != nil {
				t.Fatal(err)
			}
			// What is not carried was dropped. The forwarder's own count says so, so that the test does not wait in
			// vain.
			for before := i; ; {
				y.Forwarder.mu.Lock()
				l := y.Forwarder.link("a", "b")
				carried, dropped := l.carried, l.dropped
				y.Forwarder.mu.Unlock()
				if carried+dropped > int(before) {
					break
				}
				time.Sleep(time.Millisecond)
			}
			y.Forwarder.mu.Lock()
			dropped := y.Forwarder.link("a", "b").dropped
			y.Forwarder.mu.Unlock()
			if dropped > len(numbers) {
				return false
			}
			if n, from, err := inbox.ReadFrom(buffer); err != nil || n != 1 || buffer[0] != i {
				t.Fatalf("packet %d: %d octets from %v, %v: %v", i, n, from, err, buffer)
			}
			return true
		}
		y.Forwarder.Set("a", "b", func(w *Weather) { w.Loss = 0.3 })
		for i := range byte(200) {
			if !crosses(i) {
				numbers = append(numbers, i)
			}
		}
		if len(numbers) < 30 || len(numbers) > 90 {
			t.Errorf("%d of 200 packets were lost, at 30 %%", len(numbers))
		}
		y.Forwarder.Set("a", "b", func(w *Weather) { *w = Weather{Delay: 150 * time.Millisecond} })
		y.Forwarder.Set("b", "a", func(w *Weather) { w.Cut = true }) // not their direction
		began := time.Now()
		if !crosses(200) {
			t.Error("a packet is lost on a link that only delays")
		}
		if took := time.Since(began); took < 150*time.Millisecond {
			t.Errorf("a packet that is delayed by 150ms came after %v", took)
		}
		return numbers
	}
	one, again, two := lost(1), lost(1), lost(2)
	if !slices.Equal(one, again) {
		t.Errorf("with one seed these were lost: %v, then %v", one, again)
	}
	if slices.Equal(one, two) {
		t.Errorf("with two seeds the same were lost: %v", one)
	}
}
