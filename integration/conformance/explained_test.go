//go:build linux

package conformance

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

var differExplain = flag.Int("differ.explain", 10,
	"of how many questions of the differential test one is explained as well; 1: all, 0: none")

// explained compares the server's explanation of a question with its answer, and returns the difference, "" if there is
// none. Only the header of a truncated answer is known, and so it is not compared: explanations are as over TCP.
func explained(client *http.Client, admin string, p probe, r *reply) (string, error) {
	if r.fault != "" || r.tc {
		return "", nil
	}
	page := "http://" + admin + "/api/v1/explain?client=127.0.0.1&name=" + url.QueryEscape(p.name) + "&type=" +
		typeName(p.qtype)
	got, err := client.Get(page)
	if err != nil {
		return "", err
	}
	defer got.Body.Close()
	var e struct {
		Rcode             string
		Answer, Authority []string
		Text              []string
		Error             string
	}
	if err := json.NewDecoder(got.Body).Decode(&e); err != nil || got.StatusCode != http.StatusOK {
		return fmt.Sprintf("%s: %s %s", page, got.Status, e.Error), err
	}
	var differ []string
	if want := dns.RcodeToString[r.rcode]; e.Rcode != want || len(e.Text) == 0 {
		differ = append(differ, fmt.Sprintf("rcode %s, explained as %s: %q", want, e.Rcode, e.Text))
	}
	for _, section := range []struct {
		name string
		got  []string
		want []string
	}{{"answer", e.Answer, r.answer}, {"authority", e.Authority, r.authority}} {
		var records []dns.RR
		for _, text := range section.got {
			rr, err := dns.NewRR(text)
			if err != nil {
				return "", fmt.Errorf("%s explains %s %q: %w", page, section.name, text, err)
			}
			records = append(records, rr)
		}
		if got := lines(records); !slices.Equal(got, section.want) {
			differ = append(differ, fmt.Sprintf("%s\n  %s\nexplained as\n  %s", section.name,
				strings.Join(section.want, "\n  "),
				strings.Join(got, "\n  ")))
		}
	}
	return strings.Join(differ, "\n"), nil
}
