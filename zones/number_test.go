package zones

import (
	"fmt"
	"strings"
	"testing"
)

// What no message holds is an error where all of it would be said, and a warning where transfers alone would say it.
func TestTooManyAddresses(t *testing.T) {
	for _, c := range []struct {
		pick    string
		number  int
		want    string
		warning bool
	}{
		{"all", 200, "", false},
		{"all", MostAddresses(4), "", false},
		{"all", MostAddresses(4) + 1, "pool www-eu has 4001 IPv4 addresses, and one message holds 4000; pick weighted, or spread them over more names", false},
		{"weighted", MostAddresses(4) + 1, "pool www-eu has 4001 IPv4 addresses, and one message holds 4000: a zone transfer has the first of them only", true},
	} {
		var text strings.Builder
		fmt.Fprintf(&text, "{kind: Zone, name: example.test, nameservers: [ns.elsewhere.test]}\n---\n{kind: Region, name: eu}\n---\n{kind: Pool, name: www-eu, region: eu}\n")
		fmt.Fprintf(&text, "---\n{kind: Policy, name: www.example.test, pick: %s, rules: [{failover: [www-eu]}]}\n", c.pick)
		for i := range c.number {
			fmt.Fprintf(&text, "---\n{kind: Endpoint, name: www-eu/lb-%d, addresses: [10.0.%d.%d]}\n", i, i>>8, i&255)
		}
		docs, problems := ReadDocuments("many.yaml", strings.NewReader(text.String()))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		problems = Check(docs)
		if got := fmt.Sprint(problems); c.want == "" && len(problems) > 0 || !strings.Contains(got, c.want) || strings.Contains(got, "warning") != c.warning {
			t.Errorf("%d, pick %s: %s", c.number, c.pick, got)
		}
	}
}
