//go:build linux

package conformance

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// TestClients: dig and kdig ask as people do, over UDP and TCP, with cookies, NSID, client subnet, DNSSEC's DO, unknown
// options, other EDNS versions, and several questions on one connection. testdata/clients.txt has what they print,
// except for what differs each time.
func TestClients(t *testing.T) {
	lab.Need(t, "dig", "kdig")
	dir := t.TempDir()
	lab.Write(t, filepath.Join(dir, "example.test.zone"), ednsZone())
	lab.Write(t, filepath.Join(dir, "policy.yaml"), ednsPolicy)
	s := lab.Serve(t, "lee", append([]string{"--files", dir}, withoutRateLimit(t)...)...)
	lab.Expect(t, time.Minute, s.DNS, lab.Question{Name: "steered.example.test", Qtype: dns.TypeA}, "192.0.2.10")
	host, port, _ := net.SplitHostPort(s.DNS)

	const file = "testdata/clients.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	asked := 0
	for block := range strings.SplitSeq(strings.TrimRight(string(text), "\n"), "\n\n") {
		if asked > 0 {
			out.WriteString("\n")
		}
		asked++
		for line := range strings.Lines(block + "\n") {
			if line[0] == '#' || line[0] == '$' {
				out.WriteString(line)
			}
			if line[0] == '$' {
				argv := strings.Fields(line)[1:]
				argv = append([]string{argv[0], "@" + host, "-p", port}, argv[1:]...)
				o := lab.Command(t, nil, "", argv...)
				out.WriteString(asEachTime(o.Stdout))
				if o.Code != 0 || o.Stderr != "" {
					t.Errorf("%s: %v", strings.TrimSpace(line), o)
				}
			}
		}
	}
	if asked < 10 {
		t.Errorf("only %d commands in %s", asked, file)
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, got := strings.Split(string(text), "\n"), strings.Split(out.String(), "\n")
	for i := range want {
		if i >= len(got) || want[i] != got[i] {
			t.Fatalf("%s:%d differs; from there on it is\n%s", file, i+1,
				strings.Join(got[min(i, len(got)):min(i+12, len(got))], "\n"))
		}
	}
}

var changing = []struct {
	re *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`id: \d+`), "id: N"},
	{regexp.MustCompile(`(?i)COOKIE: [0-9a-f]{48}`), "COOKIE: (24 octets)"},
	{
		regexp.MustCompile(
			`(?m)^(; <<>>|;; global options|; \(1 server found|;; Got answer|;; Query time|;; WHEN|;; Time|;; WARNING: recursion).*\n`,
		), "",
	},
	{regexp.MustCompile(`(?m)^;; From [^(]*(\(.*\)).*`), ";; From $1"},
	{regexp.MustCompile(`(?m)^;; SERVER: .* (\(.*\))`), ";; SERVER: $1"},
	{regexp.MustCompile(`\n{2,}`), "\n"},
	{regexp.MustCompile(`^\n+`), ""},
}

// asEachTime returns what a client printed, without what differs each time, and without empty lines.
func asEachTime(s string) string {
	for _, c := range changing {
		s = c.re.ReplaceAllString(s, c.by)
	}
	return s
}
