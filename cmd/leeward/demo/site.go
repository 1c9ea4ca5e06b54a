package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// site is the load balancers of one region: HTTP servers on loopback addresses, all on one port.
type site struct {
	region    string
	pool      string
	latitude  float64
	longitude float64
	addresses []netip.Addr
	port      uint16

	// said returns the load that an endpoint reports, and whether it works; nil: it reports none, and works.
	said func(endpoint int) (load string, works bool)

	mu      sync.Mutex
	servers []*http.Server // empty while the region is cut
}

// newSites returns the demo's regions, with two addresses each. Nothing listens yet.
func newSites() []*site {
	addresses := func(region byte) []netip.Addr {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, region, 1}), netip.AddrFrom4([4]byte{127, 0, region, 2})}
	}
	return []*site{
		{region: "eu-west", pool: "www-eu", latitude: 53.3, longitude: -6.3, addresses: addresses(1)},
		{region: "us-east", pool: "www-us", latitude: 39.0, longitude: -77.5, addresses: addresses(2)},
		{region: "ap-south", pool: "www-ap", latitude: 19.1, longitude: 72.9, addresses: addresses(3)},
	}
}

// startSites starts all regions, on a port that is free on all their addresses: a monitor has one port.
func startSites(sites []*site) error {
	var last error
	for _, port := range []uint16{8081, 8181, 18081, 28081, 0, 0, 0} {
		if port == 0 {
			l, err := net.Listen("tcp", netip.AddrPortFrom(sites[0].addresses[0], 0).String())
			if err != nil {
				return loopbackError(err)
			}
			port = l.Addr().(*net.TCPAddr).AddrPort().Port()
			l.Close()
		}
		last = nil
		for _, s := range sites {
			s.port = port
			if last = s.start(); last != nil {
				break
			}
		}
		if last == nil {
			return nil
		}
		for _, s := range sites {
			s.stop()
		}
	}
	return loopbackError(last)
}

// loopbackError says what to do on systems that have only 127.0.0.1.
func loopbackError(err error) error {
	if runtime.GOOS == "linux" || runtime.GOOS == "windows" {
		return fmt.Errorf("the demo's endpoints cannot listen on 127.0.1.1 to 127.0.3.2: %w", err)
	}
	return fmt.Errorf("the demo's endpoints need more loopback addresses; add them with: "+
		"for a in 127.0.{1,2,3}.{1,2}; do sudo ifconfig lo0 alias $a up; done: %w", err)
}

// start starts the region's servers, unless they run.
func (s *site) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.servers) > 0 {
		return nil
	}
	var listeners []net.Listener
	for _, a := range s.addresses {
		l, err := net.Listen("tcp", netip.AddrPortFrom(a, s.port).String())
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
			return err
		}
		listeners = append(listeners, l)
	}
	for i, l := range listeners {
		body := "ok: " + s.region + " " + s.pool + "/" + "lb-" + strconv.Itoa(i+1) + "\n"
		h := &http.Server{
			ReadHeaderTimeout: 5 * time.Second,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if s.said != nil {
					load, works := s.said(i)
					if w.Header().Set("endpoint-load-metrics", load); !works {
						w.WriteHeader(http.StatusServiceUnavailable)
					}
				}
				w.Write([]byte(body))
			}),
		}
		s.servers = append(s.servers, h)
		go h.Serve(l)
	}
	return nil
}

// stop cuts the region: its addresses refuse connections, and open ones end.
func (s *site) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.servers {
		h.Close()
	}
	s.servers = nil
}

// cut reports whether the region is stopped.
func (s *site) cut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.servers) == 0
}

// restart starts the region again. It tries for a while, because the port may not be free at once.
func (s *site) restart(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	for {
		err := s.start()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("region %s does not come back", s.region), err)
		}
	}
}

// holds reports whether the address is one of the region's.
func (s *site) holds(a netip.Addr) bool {
	for _, b := range s.addresses {
		if a == b {
			return true
		}
	}
	return false
}
