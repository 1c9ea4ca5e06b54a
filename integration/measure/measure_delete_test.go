//go:build linux

package measure

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// TestMeasureLargeDelete deletes very many records in one revision, puts one, and measures until two servers answer
// that one, with the installed etcd and with the one in go.mod. The deletion itself is held back until it is accepted.
// Meanwhile the test reads the status of both servers all the time. How long did one claim to follow at a revision
// before that of the put, once etcd had the put?
func TestMeasureLargeDelete(t *testing.T) {
	measuring(t)
	ways := []struct {
		name  string
		start func(*testing.T) *lab.Member
	}{
		{"installed", func(t *testing.T) *lab.Member { return lab.StartEtcd(t) }},
		{"go.mod's", func(t *testing.T) *lab.Member { return lab.StartEtcdOf(t, latestEtcd(t)) }},
	}
	t.Log("| etcd | deleted | who deletes is told | etcd has it and the put | put answered by both after | cut off |" +
		" said to follow, and did not | etcd's CPU | etcd's peak | servers' peak | accepted, gone from both after |")
	t.Log("|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, w := range ways {
		for _, n := range []int{1, 10_000, 100_000, 1_000_000} {
			t.Run(fmt.Sprintf("%s/%d", w.name, n), func(t *testing.T) { measureLargeDelete(t, w.start(t), n) })
		}
	}
}

// latestEtcd builds the etcd that go.mod names.
func latestEtcd(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "etcd")
	lab.Must(t, nil, "go", "build", "-o", path, "go.etcd.io/etcd/server/v3")
	return path
}

// claim is what a server said about itself at a time.
type claim struct {
	at        time.Time
	revision  int64
	following bool
}

// claims reads the status of a server until it is told to end, and then returns what the server said.
func claims(s *lab.Server) (end func() []claim) {
	ended, all := make(chan struct{}), make(chan []claim)
	go func() {
		var said []claim
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				all <- said
				return
			case <-tick.C:
			}
			var page lab.StatusPage
			if s.Status(&page) != nil {
				continue
			}
			for _, of := range page.Servers {
				if of.ID == s.Name {
					said = append(said, claim{time.Now(), of.Revision, of.Source.State == "following"})
				}
			}
		}
	}()
	return func() []claim { close(ended); return <-all }
}

// untrue returns the longest time in one piece for which a server claimed to follow, although etcd was at a revision
// that it did not have.
func untrue(said []claim, since time.Time, revision int64) (longest time.Duration) {
	var from time.Time
	for _, c := range said {
		if !c.at.After(since) || !c.following || c.revision >= revision {
			from = time.Time{}
			continue
		}
		if from.IsZero() {
			from = c.at
		}
		longest = max(longest, c.at.Sub(from))
	}
	return longest
}

func measureLargeDelete(t *testing.T, m *lab.Member, n int) {
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

	var said []func() []claim
	for _, s := range servers {
		said = append(said, claims(s))
	}
	worked := lab.CPU(t, m.Process)
	began := time.Now()
	// After some seconds the client is told that it takes too long, but etcd goes on with it.
	o := m.Ctl(t, "", "--command-timeout=10m", "del", "--prefix", "/leeward/records/example.test/h")
	told := "its count"
	if o.Code != 0 {
		told = "a timeout"
	}
	var answer struct {
		Header struct{ Revision int64 }
	}
	lab.Until(t, 10*time.Minute, "etcd takes a put", func() error {
		o := m.Ctl(t, `{"data":["192.0.2.99"]}`, "--command-timeout=1m", "-w", "json", "put",
			"/leeward/records/example.test/new/A")
		if o.Code != 0 {
			return fmt.Errorf("%v", o)
		}
		return json.Unmarshal([]byte(o.Stdout), &answer)
	})
	takenAt := time.Now()
	taken := takenAt.Sub(began)
	for _, s := range servers {
		lab.Expect(t, 10*time.Minute, s.DNS, lab.Question{Name: "new.example.test", Qtype: dns.TypeA}, "192.0.2.99")
	}
	answered := time.Since(began)
	worked = lab.CPU(t, m.Process) - worked
	var lie time.Duration
	for _, end := range said {
		lie = max(lie, untrue(end(), takenAt, answer.Header.Revision))
	}
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
	t.Logf("| %s | %d | %s | %.2f s | %.2f s | %d | %.1f s | %.1f s | %.0f MiB | %s MiB | %s |",
		filepath.Base(m.Argv[0]), n, told, taken.Seconds(), answered.Seconds(), cut, lie.Seconds(), worked.Seconds(),
		peak, strings.Join(memory, ", "), gone)
	for _, s := range servers {
		s.Process.Terminate(t)
	}
	m.Process.Kill()
}
