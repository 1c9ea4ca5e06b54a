//go:build linux

package measure

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"leeward/integration/lab"
)

// probed is a port that answers on all of 127.0.0.0/8, and can be closed and opened again.
type probed struct {
	port     int
	http     bool
	listener net.Listener
}

func (p *probed) open(t *testing.T) {
	t.Helper()
	lab.Until(t, time.Minute, "the port is free", func() (err error) {
		p.listener, err = net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", p.port))
		return err
	})
	p.port = p.listener.Addr().(*net.TCPAddr).Port
	if p.http {
		go (&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter,
			_ *http.Request,
		) {
			fmt.Fprintln(w, "ok")
		})}).Serve(p.listener)
		return
	}
	go func(l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}(p.listener)
}

// probedAt is the i-th probed address, from 127.1.0.0 on.
func probedAt(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(1 + i>>16), byte(i >> 8), byte(i)})
}

// vantageOf describes a `leeward probe`.
func vantageOf(t *testing.T, id, region string, m *lab.Member) *lab.Server {
	s := lab.ServerAt(nil, id, "", fmt.Sprintf("127.0.0.1:%d", lab.LoopbackPort(t)))
	s.Argv = []string{lab.Binary, "probe", "--id", id, "--region", region, "--admin", s.Admin, "--etcd", m.Client}
	return s
}

// TestMeasureChecks measures the cost for a vantage of 10,000 checks of endpoints on loopback that are up.
func TestMeasureChecks(t *testing.T) {
	measuring(t)
	const endpoints = 10_000
	t.Log("| check | checks a second | CPU of 10,000 checks | memory (RSS) | left out |")
	t.Log("|---|---:|---:|---:|---:|")
	for _, check := range []string{"tcp", "http"} {
		target := &probed{http: check == "http"}
		target.open(t)
		m := lab.StartEtcd(t)
		g := &lab.Gateway{URL: m.Client, HTTP: http.Client{Timeout: time.Minute}}
		entries := [][2]string{
			{"regions/eu", `{"latitude":53.3,"longitude":-6.3}`},
			{"monitors/web", fmt.Sprintf(`{%q:{"port":%d},"interval":"4s","timeout":"2s"}`, check, target.port)},
		}
		for i := range endpoints {
			if i%10 == 0 {
				entries = append(entries, [2]string{fmt.Sprintf("pools/p%d", i/10), `{"region":"eu","monitor":"web"}`})
			}
			entries = append(entries, [2]string{
				fmt.Sprintf("endpoints/p%d/lb-%d", i/10, i%10),
				fmt.Sprintf(`{"addresses":[%q]}`, probedAt(i)),
			})
		}
		if err := g.Fill(len(entries), func(i int) (string, string) {
			return entries[i][0], entries[i][1]
		}); err != nil {
			t.Fatal(err)
		}
		v := vantageOf(t, "fra", "eu", m)
		v.Start(t)
		v.Ready(t)
		lab.Until(t, 5*time.Minute, "every endpoint is probed twice", func() error {
			if n := v.Metric(t, "leeward_probe_total", ""); n < 2*endpoints {
				return fmt.Errorf("%v probes", n)
			}
			return nil
		})
		n, took, left, begin := v.Metric(t, "leeward_probe_total", ""), lab.CPU(t, v.Process),
			v.Metric(t, "leeward_probe_skipped_total", ""), time.Now()
		<-time.After(20 * time.Second)
		n, took, left = v.Metric(t, "leeward_probe_total", "")-n, lab.CPU(t, v.Process)-took,
			v.Metric(t, "leeward_probe_skipped_total", "")-left
		now, _ := lab.RSS(t, v.Process)
		t.Logf("| %s | %.0f | %.2f s | %.0f MiB | %.0f |", check, n/time.Since(begin).Seconds(),
			took.Seconds()*10_000/n, now,
			left)
		v.Process.Terminate(t)
		m.Process.Kill()
		target.listener.Close()
	}
}

// TestMeasureScale measures 100,000 endpoints under three vantages, two of which probe each: what it costs, how long
// one failed endpoint goes unnoticed, and how long 10,000 that fail at once, and how much is written meanwhile.
func TestMeasureScale(t *testing.T) {
	measuring(t)
	const (
		endpoints = 100_000
		doomed    = 10_000
	)
	fine, mass, single := &probed{}, &probed{}, &probed{}
	for _, p := range []*probed{fine, mass, single} {
		p.open(t)
	}
	m := lab.StartEtcd(t)
	g := &lab.Gateway{URL: m.Client, HTTP: http.Client{Timeout: time.Minute}}
	monitor := func(p *probed, interval, timeout string, rise int) string {
		return fmt.Sprintf(`{"tcp":{"port":%d},"interval":%q,"timeout":%q,"fall":2,"rise":%d,"hold":"0s","vantages":2}`,
			p.port, interval, timeout, rise)
	}
	entries := [][2]string{
		{"regions/fine", `{}`},
		{"regions/mass", `{}`},
		{"regions/single", `{}`},
		{"monitors/fine", monitor(fine, "120s", "5s", 1)},
		{"monitors/mass", monitor(mass, "10s", "2s", 2)},
		{"monitors/single", monitor(single, "10s", "2s", 2)},
	}
	for i := range endpoints + 10 {
		region := "fine"
		switch {
		case i < doomed:
			region = "mass"
		case i >= endpoints:
			region = "single"
		}
		if i%10 == 0 {
			entries = append(entries, [2]string{
				fmt.Sprintf("pools/p%d", i/10),
				fmt.Sprintf(`{"region":%q,"monitor":%q}`, region, region),
			})
		}
		if i <= endpoints {
			entries = append(entries, [2]string{
				fmt.Sprintf("endpoints/p%d/lb-%d", i/10, i%10),
				fmt.Sprintf(`{"addresses":[%q]}`, probedAt(i)),
			})
		}
	}
	if err := g.Fill(len(entries), func(i int) (string, string) { return entries[i][0], entries[i][1] }); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	all := []*lab.Server{
		lab.NewServer(t, "one", "--etcd", m.Client, "--region", "eu"), vantageOf(t, "two", "us", m),
		vantageOf(t, "three", "ap", m),
	}
	for _, s := range all {
		s.Start(t)
		s.HTTP.Timeout = 30 * time.Second
	}
	for _, s := range all {
		s.Ready(t)
	}
	sum := func(name string) (n float64) {
		for _, s := range all {
			n += s.Metric(t, name, "")
		}
		return n
	}
	lab.Until(t, 15*time.Minute, "two vantages probe each endpoint, and have probed it", func() error {
		if n := sum("leeward_probe_targets"); n != 2*(endpoints+1) {
			return fmt.Errorf("%v targets", n)
		}
		for _, s := range all {
			if n, of := s.Metric(t, "leeward_probe_total", ""), s.Metric(t, "leeward_probe_targets", ""); n < 2.2*of {
				return fmt.Errorf("%v probes of %v targets by %s", n, of, s.Name)
			}
		}
		return nil
	})
	t.Logf("%d endpoints in %d pools, three vantages, two an endpoint: all known %.0f s after the start, with %.0f "+
		"writes of pools",
		endpoints, endpoints/10, time.Since(begin).Seconds(), sum("leeward_vantage_writes_total"))
	t.Log("| vantage | endpoints | checks a second | CPU, cores | memory (RSS) | left out |")
	t.Log("|---|---:|---:|---:|---:|---:|")
	type figures struct {
		probes, left float64
		cpu          time.Duration
	}
	take := func(s *lab.Server) figures {
		return figures{
			s.Metric(t, "leeward_probe_total", ""), s.Metric(t, "leeward_probe_skipped_total", ""),
			lab.CPU(t, s.Process),
		}
	}
	var before []figures
	for _, s := range all {
		before = append(before, take(s))
	}
	begin = time.Now()
	<-time.After(60 * time.Second)
	for i, s := range all {
		f, seconds := take(s), time.Since(begin).Seconds()
		now, _ := lab.RSS(t, s.Process)
		t.Logf("| %s | %.0f | %.0f | %.2f | %.0f MiB | %.0f |", s.Name, s.Metric(t, "leeward_probe_targets", ""),
			(f.probes-before[i].probes)/seconds,
			(f.cpu-before[i].cpu).Seconds()/seconds, now, f.left-before[i].left)
	}

	t.Log("interval 10 s, timeout 2 s, fall 2, rise 2: the bound is 22 s; verdict on all three servers")
	t.Log("| endpoints | fail → down | writes | return → up | writes |")
	t.Log("|---:|---:|---:|---:|---:|")
	turn := func(region string, want float64) (time.Duration, float64) {
		begin, written := time.Now(), sum("leeward_vantage_writes_total")
		lab.Until(t, 5*time.Minute, "the verdicts turn", func() error {
			for _, s := range all {
				if n := s.Metric(t, "leeward_verdict_down", fmt.Sprintf(`region=%q`, region)); n != want {
					return fmt.Errorf("%v are down on %s", n, s.Name)
				}
			}
			return nil
		})
		return time.Since(begin), sum("leeward_vantage_writes_total") - written
	}
	for _, x := range []struct {
		region string
		n      int
		port   *probed
	}{{"single", 1, single}, {"mass", doomed, mass}} {
		x.port.listener.Close()
		out, outWrites := turn(x.region, float64(x.n))
		x.port.open(t)
		back, backWrites := turn(x.region, 0)
		t.Logf("| %d | %.1f s | %.0f | %.1f s | %.0f |", x.n, out.Seconds(), outWrites, back.Seconds(), backWrites)
	}
	for _, s := range all {
		t.Logf("%s: %.0f probes left out, peak memory %.0f MiB", s.Name, s.Metric(t, "leeward_probe_skipped_total", ""),
			func() float64 { _, most := lab.RSS(t, s.Process); return most }())
	}
}
