//go:build linux

package measure

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// TestMeasureLargeDelete deletes very many records in one revision, puts one, and measures until two servers answer
// that one. The deletion itself is held back until it is accepted.
func TestMeasureLargeDelete(t *testing.T) {
	measuring(t)
	t.Log("| deleted | who deletes is told | etcd has it and the put | put answered by both after | cut off |" +
		" etcd's peak | servers' peak | accepted, gone from both after |")
	t.Log("|---:|---|---:|---:|---:|---:|---:|---:|")
	for _, n := range []int{1, 1_000, 100_000, 1_000_000} {
		t.Run(strconv.Itoa(n), func(t *testing.T) { measureLargeDelete(t, n) })
	}
}

func measureLargeDelete(t *testing.T, n int) {
	m := lab.StartEtcd(t)
	g := &lab.Gateway{URL: m.Client, HTTP: http.Client{Timeout: time.Minute}}
	filled := func(count int, key func(i int) (string, string)) {
		t.Helper()
		if err := g.Fill(count, key); err != nil {
			t.Fatal(err)
		}
	}
	filled(2, func(i int) (string, string) { return lab.Keys[i][0], lab.Keys[i][1] }) // the zone and its nameserver
	filled(n, func(i int) (string, string) {
		return fmt.Sprintf("records/example.test/h%d/A", i), fmt.Sprintf(`{"data":[%q]}`, policyEndpoint(i))
	})
	last := lab.Question{Name: fmt.Sprintf("h%d.example.test", n-1), Qtype: dns.TypeA}
	servers := []*lab.Server{lab.NewServer(t, "one", "--etcd", m.Client), lab.NewServer(t, "two", "--etcd", m.Client)}
	for _, s := range servers {
		firstAnswer(t, s, last)
		s.Ready(t)
	}
	var mark []int
	for _, s := range servers {
		mark = append(mark, len(s.Process.Out.String()))
	}

	began := time.Now()
	// Whoever asks is told after some seconds that it takes too long; etcd goes on with it all the same.
	o := m.Ctl(t, "", "--command-timeout=10m", "del", "--prefix", "/leeward/records/example.test/h")
	told := "its count"
	if o.Code != 0 {
		told = "a timeout"
	}
	lab.Until(t, 10*time.Minute, "etcd takes a put", func() error {
		o := m.Ctl(t, `{"data":["192.0.2.99"]}`, "--command-timeout=1m", "put", "/leeward/records/example.test/new/A")
		if o.Code != 0 {
			return fmt.Errorf("%v", o)
		}
		return nil
	})
	taken := time.Since(began)
	for _, s := range servers {
		lab.Expect(t, 10*time.Minute, s.DNS, lab.Question{Name: "new.example.test", Qtype: dns.TypeA}, "192.0.2.99")
	}
	answered := time.Since(began)
	cut := 0
	var memory []string
	for i, s := range servers {
		for line := range strings.Lines(s.Process.Out.String()[mark[i]:]) {
			if strings.Contains(line, "cut off") {
				cut++
			}
			if strings.Contains(line, "etcd: ") {
				t.Logf("%s: %s", s.Name, strings.TrimSpace(line))
			}
		}
		_, most := lab.RSS(t, s.Process)
		memory = append(memory, fmt.Sprintf("%.0f", most))
	}
	_, peak := lab.RSS(t, m.Process)

	gone := "not held back"
	began = time.Now()
	if n > 100 {
		if o := lab.Command(t, nil, "", lab.Binary, "accept", "--etcd", m.Client, "--force"); o.Code != 0 {
			t.Fatalf("leeward accept: %v", o)
		}
		for _, s := range servers {
			lab.Expect(t, 10*time.Minute, s.DNS, last, "NXDOMAIN")
		}
		gone = fmt.Sprintf("%.1f s", time.Since(began).Seconds())
	}
	t.Logf("| %d | %s | %.2f s | %.2f s | %d | %.0f MiB | %s MiB | %s |",
		n, told, taken.Seconds(), answered.Seconds(), cut, peak, strings.Join(memory, ", "), gone)
	for _, s := range servers {
		s.Process.Terminate(t)
	}
	m.Process.Kill()
}
