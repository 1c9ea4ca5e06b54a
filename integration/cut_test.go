//go:build linux

package integration

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// TestYardCuts holds the yard itself: a test that cuts a region off proves nothing if the cut lets anything through.
func TestYardCuts(t *testing.T) {
	y := newYard(t)
	a := y.host(t, "a", netip.MustParsePrefix("10.77.1.1/16"), netip.MustParsePrefix("fd77::1:1/64"))
	b := y.host(t, "b", netip.MustParsePrefix("10.77.2.1/16"), netip.MustParsePrefix("fd77::2:1/64"))
	c := y.host(t, "c", netip.MustParsePrefix("10.77.3.1/16"))
	targets := []string{"10.77.1.1:80"}
	if y.ipv6 {
		targets = append(targets, "[fd77::1:1]:80")
	}
	for _, target := range targets {
		startEndpoint(t, a, target)
	}
	startEndpoint(t, c, "10.77.3.1:80")
	asks := func(from *host, target string) error {
		client := http.Client{Timeout: 500 * time.Millisecond, Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
				return from.dial(net.Dialer{Timeout: 500 * time.Millisecond}, network, address)
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
	y.cut(t, a)
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
	y.heal(t, a)
	for _, target := range targets {
		until(t, 10*time.Second, target+" is back", func() error { return asks(b, target) })
	}
}
