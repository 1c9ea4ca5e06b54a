package health

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestQuorumJSON(t *testing.T) {
	for _, c := range []struct {
		text string
		want Quorum
	}{{`"majority"`, Majority}, {`"any"`, Any}, {`"all"`, All}, {`2`, 2}} {
		var q Quorum
		if err := json.Unmarshal([]byte(c.text), &q); err != nil || q != c.want {
			t.Errorf("%s: got %v, %v, want %v", c.text, q, err, c.want)
		}
		if back, err := json.Marshal(q); err != nil || string(back) != c.text {
			t.Errorf("%v is written as %s, %v, want %s", q, back, err, c.text)
		}
	}
	for _, bad := range []string{`0`, `-1`, `1.5`, `"most"`, `null`, `{}`, `"2"`} {
		var q Quorum
		if err := json.Unmarshal([]byte(bad), &q); err == nil ||
			!strings.Contains(err.Error(), "majority, any, all or a number") {
			t.Errorf("%s: got %v, want an error that says what to write", bad, err)
		}
	}
	var m Monitor
	if text, err := json.Marshal(m); err != nil || string(text) != "{}" {
		t.Errorf("an empty monitor is written as %s, %v", text, err)
	}
}

func TestQuorumDown(t *testing.T) {
	for _, c := range []struct {
		quorum      Quorum
		down, votes int
		want        bool
	}{
		{Majority, 0, 0, false},
		{Majority, 1, 2, false},
		{Majority, 2, 3, true},
		{Majority, 1, 1, true},
		{Any, 1, 3, true},
		{Any, 0, 3, false},
		{All, 2, 3, false},
		{All, 3, 3, true},
		{All, 0, 0, false},
		{2, 1, 3, false},
		{2, 2, 3, true},
		{3, 2, 2, true},
		{3, 1, 2, false},
	} {
		if got := c.quorum.Down(c.down, c.votes); got != c.want {
			t.Errorf("quorum %s with %d of %d down: got %v", c.quorum, c.down, c.votes, got)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name, monitor string
		fields        string // of the errors, in order
	}{
		{"http with nothing", `{"http": {}}`, ""},
		{
			"as in the manual",
			`{"https": {"port": 443, "path": "/healthz", "host": "www.example.test", "status": "200-299", "body": "ok"}, "interval": "2s", "timeout": "1s", "fall": 3, "rise": 2, "quorum": "majority"}`,
			"",
		},
		{"a short interval takes a short timeout along", `{"tcp": {"port": 80}, "interval": "250ms"}`, ""},
		{"host with a port", `{"http": {"host": "www.example.test:8080"}}`, ""},
		{"host is an address", `{"https": {"host": "[2001:db8::1]"}}`, ""},
		{"no check", `{"interval": "2s"}`, ""},
		{"two checks", `{"http": {}, "tcp": {"port": 80}}`, "tcp"},
		{"too often", `{"http": {}, "interval": "50ms"}`, "interval"},
		{"timeout above interval", `{"http": {}, "interval": "1s", "timeout": "2s"}`, "timeout"},
		{"thresholds", `{"http": {}, "fall": -1, "rise": 101}`, "fall rise"},
		{"vantages", `{"http": {}, "vantages": 1001}`, "vantages"},
		{"a quorum of more than probe", `{"http": {}, "vantages": 2, "quorum": 3}`, "vantages"},
		{"a large quorum brings its vantages along", `{"http": {}, "quorum": 7}`, ""},
		{"no port", `{"tcp": {}}`, "tcp.port"},
		{"no port for tls and a bad name", `{"tls": {"serverName": "a b"}}`, "tls.port tls.serverName"},
		{"no port for grpc", `{"grpc": {"insecure": true}}`, "grpc.port grpc.insecure"},
		{"path", `{"http": {"path": "healthz"}}`, "http.path"},
		{"path with a space", `{"http": {"path": "/a b"}}`, "http.path"},
		{"status", `{"http": {"status": "200-"}}`, "http.status"},
		{"status the wrong way round", `{"http": {"status": "299-200"}}`, "http.status"},
		{"method", `{"http": {"method": "get"}}`, "http.method"},
		{"HEAD has no body", `{"http": {"method": "HEAD", "body": "ok"}}`, "http.body"},
		{
			"http verifies nothing", `{"http": {"serverName": "www.example.test", "insecure": true}}`,
			"http.serverName http.insecure",
		},
		{"host", `{"http": {"host": "http://www.example.test/"}}`, "http.host"},
		{"a method of tea pots", `{"http": {"method": "BREW"}}`, "http.method"},
		{"headers", `{"http": {"headers": {"X-Shard": "a", "x-probe": "b c"}, "redirects": 10, "protocol": "h2"}}`, ""},
		{
			"bad headers",
			`{"http": {"headers": {"A B": "", "Connection": "close", "Host": "x", "X": "a\r\nb", "x": "c"}}}`,
			"http.headers http.headers.Connection http.headers.Host http.headers.X http.headers.x",
		},
		{"redirects and protocol", `{"https": {"redirects": 11, "protocol": "h3"}}`, "https.redirects https.protocol"},
		{"dns", `{"dns": {"name": "a..b", "type": "NONE"}}`, "dns.name dns.type"},
		{"dns with a number", `{"dns": {"name": ".", "type": "TYPE65280"}}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m Monitor
			if err := json.Unmarshal([]byte(c.monitor), &m); err != nil {
				t.Fatal(err)
			}
			errs := m.Validate()
			var fields []string
			for _, e := range errs {
				fields = append(fields, e.Field)
				if e.Message == "" {
					t.Errorf("%s: no message", e.Field)
				}
			}
			if got := strings.Join(fields, " "); got != c.fields {
				t.Errorf("got errors for %q, want %q: %v", got, c.fields, errs)
			}
			if c.name == "no check" && len(errs) != 1 {
				t.Errorf("got %v, want that a check is missing", errs)
			}
		})
	}
}

func TestEffectiveSettings(t *testing.T) {
	m := Monitor{HTTP: &HTTP{}}
	if m.Check() != "http" || m.EffectiveInterval() != 2*time.Second || m.EffectiveTimeout() != time.Second ||
		m.EffectiveFall() != 3 || m.EffectiveRise() != 2 || m.DetectionTime() != 7*time.Second {
		t.Errorf("defaults are %s %s %s %d %d %s", m.Check(), m.EffectiveInterval(), m.EffectiveTimeout(),
			m.EffectiveFall(), m.EffectiveRise(), m.DetectionTime())
	}
	m.Interval = Duration(500 * time.Millisecond)
	if m.EffectiveTimeout() != 500*time.Millisecond {
		t.Errorf("the timeout is %s, longer than the interval", m.EffectiveTimeout())
	}
}

func TestParseStatus(t *testing.T) {
	got, err := ParseStatus("200, 204,301-302")
	if diff := cmp.Diff([]StatusRange{{200, 200}, {204, 204}, {301, 302}}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// A report turns exactly when the last results, without those that say nothing, are a full run of another state.
func TestTracker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := Tracker{Fall: rapid.IntRange(1, 4).Draw(t, "fall"), Rise: rapid.IntRange(1, 4).Draw(t, "rise")}
		var known []State
		want, blank, settled := Unknown, 0, false
		for range rapid.IntRange(1, 60).Draw(t, "results") {
			result := State(rapid.IntRange(0, 2).Draw(t, "result"))
			before, due := want, false
			if result == Unknown {
				if blank++; blank >= tr.Fall {
					known, want, due = nil, Unknown, !settled
				}
			} else {
				blank = 0
				known = append(known, result)
				n := tr.Fall
				if result == Up {
					n = tr.Rise
				}
				if len(known) >= n && allEqual(known[len(known)-n:]) {
					want, due = result, !settled
				}
			}
			due = due || want != before
			settled = settled || due
			if changed := tr.Observe(epoch, result); changed != due || tr.State() != want {
				t.Fatalf("after %v: got %v (due: %v), want %v (due: %v)", known, tr.State(), changed, want, due)
			}
		}
	})
}

func allEqual(s []State) bool {
	for _, x := range s {
		if x != s[0] {
			return false
		}
	}
	return true
}
