//go:build linux

package scenario

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"leeward/integration/lab"
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

// puts returns how many keys have been written to etcd since the member started, which has applied what all have.
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

// massWords are about very many endpoints at once.
func massWords() []word {
	of := func(x *scenario) (*mass, error) {
		m, ok := x.kept["mass"].(*mass)
		if !ok {
			return nil, fmt.Errorf("say first: 10000 more endpoints are configured")
		}
		return m, nil
	}
	return []word{
		{pattern: "N more endpoints are configured", means: "in pools of ten of a region `mass` that no policy names; tcp, every 10 s, timeout 2 s, fall 2, rise 2, no hold", do: func(x *scenario, a []string) error {
			n, err := strconv.Atoi(a[0])
			if err != nil {
				return err
			}
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
			fmt.Fprintf(&b, "kind: Region\nname: mass\n---\nkind: Monitor\nname: mass\ntcp: {port: %s}\ninterval: 10s\ntimeout: 2s\nfall: 2\nrise: 2\nhold: 0s\n", massPort)
			for i := range n {
				if i%10 == 0 {
					fmt.Fprintf(&b, "---\nkind: Pool\nname: mass-%d\nregion: mass\nmonitor: mass\n", i/10)
				}
				fmt.Fprintf(&b, "---\nkind: Endpoint\nname: mass-%d/lb-%d\naddresses: [127.1.%d.%d]\n", i/10, i%10, i>>8, i&255)
			}
			args := slices.Concat([]string{lab.Binary, "apply", "--etcd", strings.Join(x.w.URLs, ","), "-f", "-"})
			if o := lab.Command(x.t, x.w.Regions[0].Host, b.String(), args...); o.Code != 0 {
				return fmt.Errorf("%v", o)
			}
			return nil
		}},
		{pattern: "the more endpoints fail", means: "all of them at once: nothing listens there", do: func(x *scenario, _ []string) error {
			m, err := of(x)
			if err == nil {
				m.close()
			}
			return err
		}},
		{pattern: "the more endpoints are well", means: "all of them at once", do: func(x *scenario, _ []string) error {
			m, err := of(x)
			if err == nil {
				err = m.open()
			}
			return err
		}},
		{pattern: "the writes of etcd are counted", means: "from now on, by its own metric", quiet: true, do: func(x *scenario, _ []string) error {
			n, err := puts(x.w.Regions[0].Etcd)
			x.kept["writes"] = n
			return err
		}},
		{pattern: "etcd was written N times at most", means: "since they are counted: keys, of which one holds all that a vantage says of a pool", check: func(x *scenario, a []string) error {
			most, err := strconv.ParseFloat(a[0], 64)
			if err != nil {
				return err
			}
			n, err := puts(x.w.Regions[0].Etcd)
			if err != nil {
				return err
			}
			from, _ := x.kept["writes"].(float64)
			if n-from > most {
				return fmt.Errorf("it was written %.0f times", n-from)
			}
			x.t.Logf("etcd was written %.0f times", n-from)
			return nil
		}},
	}
}
