//go:build linux

package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"leeward/integration/lab"
	"leeward/integration/script"
)

// mass is very many endpoints that fail and return together: addresses of 127.0.0.0/8 behind one listener in each
// region's namespace, so that every vantage finds them itself.
type mass struct {
	hosts     []*lab.Host
	mu        sync.Mutex
	listeners []net.Listener
}

const massPort = "8081"

func (m *mass) open() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.hosts {
		var l net.Listener
		err := h.Do(func() (err error) { l, err = net.Listen("tcp4", "0.0.0.0:"+massPort); return err })
		if err != nil {
			return err
		}
		m.listeners = append(m.listeners, l)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		}()
	}
	return nil
}

func (m *mass) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.listeners {
		l.Close()
	}
	m.listeners = nil
}

// puts returns how many keys have been written to etcd since the member started, by the count of that member.
func puts(m *lab.Member) (float64, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return m.Host.Dial(net.Dialer{Timeout: 2 * time.Second}, network, address)
		},
	}}
	defer client.CloseIdleConnections()
	r, err := client.Get(m.Client + "/metrics")
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	page, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(page), "\n") {
		if text, ok := strings.CutPrefix(line, "etcd_mvcc_put_total "); ok {
			return strconv.ParseFloat(text, 64)
		}
	}
	return 0, fmt.Errorf("this etcd does not count its writes")
}

func (x *scenario) configureMass(a script.Args) error {
	m := &mass{}
	for _, r := range x.w.Regions {
		m.hosts = append(m.hosts, r.Host)
	}
	if err := m.open(); err != nil {
		return err
	}
	x.t.Cleanup(m.close)
	x.kept["mass"] = m
	var b strings.Builder
	fmt.Fprintf(&b, "kind: Region\nname: mass\n---\nkind: Monitor\nname: mass\ntcp: {port: %s}\n"+
		"interval: 10s\ntimeout: 2s\nfall: 2\nrise: 2\nhold: 0s\n", massPort)
	for i := range a.Int(0) {
		if i%10 == 0 {
			fmt.Fprintf(&b, "---\nkind: Pool\nname: mass-%d\nregion: mass\nmonitor: mass\n", i/10)
		}
		fmt.Fprintf(&b, "---\nkind: Endpoint\nname: mass-%d/lb-%d\naddresses: [127.1.%d.%d]\n", i/10, i%10, i>>8, i&255)
	}
	return x.run(b.String(), "apply -f -")
}

// mass returns the endpoints that have been configured.
func (x *scenario) mass() (*mass, error) {
	m, ok := x.kept["mass"].(*mass)
	if !ok {
		return nil, errors.New("say first: 10000 more endpoints are configured")
	}
	return m, nil
}

func (x *scenario) failMass(script.Args) error {
	m, err := x.mass()
	if err == nil {
		m.close()
	}
	return err
}

func (x *scenario) healMass(script.Args) error {
	m, err := x.mass()
	if err == nil {
		err = m.open()
	}
	return err
}

func (x *scenario) countWrites(script.Args) error {
	n, err := puts(x.w.Regions[0].Etcd)
	x.kept["writes"] = n
	return err
}

func (x *scenario) writtenAtMost(a script.Args) error {
	n, err := puts(x.w.Regions[0].Etcd)
	if err != nil {
		return err
	}
	from, _ := x.kept["writes"].(float64)
	if n-from > a.Number(0) {
		return fmt.Errorf("it was written %.0f times", n-from)
	}
	x.t.Logf("etcd was written %.0f times", n-from)
	return nil
}
