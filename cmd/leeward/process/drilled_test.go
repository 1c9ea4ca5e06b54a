//go:build !noembed

package process_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Every server reports how the last drill ended, even if nobody wrote that down, and nothing if it cannot be read.
func TestLastDrill(t *testing.T) {
	for _, tt := range []struct{ name, report, want string }{
		{
			"failed",
			`{"target": "region/eu-west", "outcome": "failed", "until": "2026-11-25T10:15:00Z", "ended": "2026-11-25T10:02:00Z"}`,
			`outcome="failed",target="region/eu-west"} 1.79560092e+09`,
		},
		{
			"nobody was left", `{"target": "pool/www-eu", "outcome": "running", "until": "2020-11-25T10:15:00Z"}`,
			`outcome="interrupted",target="pool/www-eu"} 1.60629`,
		},
		{"running", `{"target": "pool/www-eu", "outcome": "running", "until": "2120-11-25T10:15:00Z"}`, ""},
		{"broken", `{"target": `, ""},
		{"none", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCluster(t)
			c.put("meta/drills/2019-11-25T10:00:00Z",
				`{"target": "region/us-east", "outcome": "succeeded", "ended": "2019-11-25T10:02:00Z"}`)
			if tt.report != "" {
				c.put("meta/drills/2026-11-25T10:00:00Z", tt.report)
			} else {
				tt.want = `outcome="succeeded",target="region/us-east"} 1.57467`
			}
			c.putAll(resources)
			s := serve(t, settings("one", c))
			metric := func() (found string) {
				r, err := http.Get("http://" + s.Admin + "/metrics")
				if err != nil {
					t.Fatal(err)
				}
				defer r.Body.Close()
				b, _ := io.ReadAll(r.Body)
				for line := range strings.Lines(string(b)) {
					if rest, ok := strings.CutPrefix(line, "leeward_drill_last_ended_seconds{"); ok {
						found = rest
					}
				}
				return found
			}
			s.await("the metric is there", func() string {
				got := metric()
				if tt.want == "" && got == "" || tt.want != "" && strings.HasPrefix(got, tt.want) {
					return ""
				}
				return fmt.Sprintf("it is %q, want %s…", got, tt.want)
			})
		})
	}
}
