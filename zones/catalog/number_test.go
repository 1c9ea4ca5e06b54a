package catalog

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"leeward/zones"
	"leeward/zones/document"
)

// Too many addresses for a message are an error if an answer has them all, and a warning if only transfers have.
func TestTooManyAddresses(t *testing.T) {
	for _, c := range []struct {
		pick    string
		number  int
		want    string
		warning bool
	}{
		{"all", 200, "", false},
		{"all", zones.MostAddresses(4), "", false},
		{
			"all", zones.MostAddresses(4) + 1,
			"pool www-eu has 4001 IPv4 addresses, and one message holds 4000; pick weighted, or spread them over " +
				"more names", false,
		},
		{
			"weighted", zones.MostAddresses(4) + 1,
			"pool www-eu has 4001 IPv4 addresses, and one message holds 4000: a zone transfer has the first of them " +
				"only", true,
		},
	} {
		var text strings.Builder
		fmt.Fprintf(&text, "{kind: Zone, name: example.test, nameservers: [ns.elsewhere.test]}\n---\n{kind: Region, "+
			"name: eu}\n---\n{kind: Pool, name: www-eu, region: eu}\n")
		fmt.Fprintf(&text, "---\n{kind: Policy, name: www.example.test, pick: %s, rules: [{failover: [www-eu]}]}\n",
			c.pick)
		for i := range c.number {
			fmt.Fprintf(&text, "---\n{kind: Endpoint, name: www-eu/lb-%d, addresses: [10.0.%d.%d]}\n", i, i>>8, i&255)
		}
		docs, problems := document.Read("many.yaml", strings.NewReader(text.String()))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		problems = Check(docs)
		if got := fmt.Sprint(problems); c.want == "" && len(problems) > 0 || !strings.Contains(got, c.want) ||
			strings.Contains(got, "warning") != c.warning {
			t.Errorf("%d, pick %s: %s", c.number, c.pick, got)
		}
	}
}

// A step with a share of its weight is written as it was read.
func TestStepOfAShareIsKept(t *testing.T) {
	key := zones.KeyOf(zones.KindPolicy, "www.example.test")
	const value = `{"rules":[{"failover":[{"atLeast":"50%","canary":5,"stable":95},"us"]},{"answer":"nodata"}],"whenAllDown":"servfail"}`
	r, err := document.Decode(key, []byte(strings.Replace(value, `},{"answer"`, `,"when":{"countries":["US"]}},{"answer"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	again, err := zones.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	back, err := document.Decode(key, again)
	if err != nil || fmt.Sprintf("%+v", back.(*zones.Policy).Rules[0].Failover) != fmt.Sprintf("%+v",
		r.(*zones.Policy).Rules[0].Failover) {
		t.Errorf("%s: %v", again, err)
	}
	var step, same zones.Step
	if err := json.Unmarshal([]byte(`{"canary":5,"stable":95,"atLeast":"50%"}`), &step); err != nil || step.AtLeast != 50 || len(step.Pools) != 2 {
		t.Errorf("%+v: %v", step, err)
	}
	if text, _ := json.Marshal(step); json.Unmarshal(text, &same) != nil || fmt.Sprint(same) != fmt.Sprint(step) {
		t.Errorf("%s", text)
	}
}

// There is a warning if resolvers would understand something else than was meant, or if nobody may have meant it.
func TestPoliciesAreDoubted(t *testing.T) {
	const world = `{kind: Zone, name: example.test, nameservers: [ns.elsewhere.test]}
---
{kind: Region, name: eu}
---
{kind: Pool, name: both, region: eu}
---
{kind: Pool, name: four, region: eu}
---
{kind: Endpoint, name: both/one, addresses: [192.0.2.1, "2001:db8::1"]}
---
{kind: Endpoint, name: four/one, addresses: [192.0.2.2]}
---
{kind: Record, name: example.test/post/MX, data: [10 mail.elsewhere.test.]}
---
{kind: Policy, name: NAME.example.test, rules: RULES}
`
	for _, c := range []struct{ name, rules, want string }{
		{"www", "[{failover: [both]}]", ""},
		{"www", "[{failover: [four, both]}]", ""},
		{
			"www", "[{when: {countries: [US]}, failover: [four]}, {failover: [both]}]",
			"rules[0]: warning: its pools have no IPv6 address and those of rules[1] do",
		},
		{"www", "[{when: {countries: [US]}, failover: [both]}]", "rules: warning: no rule holds for everybody"},
		{"www", "[{when: {countries: [US]}, failover: [both]}, {answer: nodata}]", ""},
		{"www", "[{when: {countries: [US]}, failover: [both]}, {answer: nxdomain}]", ""},
		{
			"post", "[{when: {countries: [US]}, failover: [both]}, {answer: nxdomain}]",
			"rules[1].answer: records are at this name",
		},
		{"www", "[{answer: nodata}]", "no pool of the policy has an endpoint"},
		{"www", "[{when: {countries: [DE, XK]}, failover: [four]}, {failover: [four]}]", ""},
		{
			"www", "[{when: {countries: [DE, XX]}, failover: [four]}, {failover: [four]}]",
			"rules[0].when.countries[1]: warning: no country has the code XX",
		},
		{
			"www", "[{when: {countries: [ZZ]}, failover: [four]}, {failover: [four]}]",
			"rules[0].when.countries[0]: warning: no country has the code ZZ",
		},
		{
			"www",
			"[{when: {subdivisions: [US-CA, GB-ENG, GB-LND, JP-13, FR-75]}, failover: [four]}, {failover: [four]}]",
			"",
		},
		{
			"www", "[{when: {subdivisions: [US-CA, US-ZZ]}, failover: [four]}, {failover: [four]}]",
			"rules[0].when.subdivisions[1]: warning: ISO 3166-2 has no US-ZZ",
		},
		{
			"www", "[{when: {subdivisions: [XX-CA]}, failover: [four]}, {failover: [four]}]",
			"rules[0].when.subdivisions[0]: warning: ISO 3166-2 has no XX-CA",
		},
		{
			"www", "[{when: {subdivisions: [HK-A]}, failover: [four]}, {failover: [four]}]",
			"rules[0].when.subdivisions[0]: warning: ISO 3166-2 has no HK-A",
		},
	} {
		docs, problems := document.Read("doubt.yaml",
			strings.NewReader(strings.NewReplacer("NAME", c.name, "RULES", c.rules).Replace(world)))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		problems = Check(docs)
		if got := fmt.Sprint(problems); c.want == "" && len(problems) > 0 || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %q", c.rules, got, c.want)
		}
	}
}
