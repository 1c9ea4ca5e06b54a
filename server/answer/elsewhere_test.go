package answer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// TestElsewhere is about a zone of another primary. Before the first transfer it is SERVFAIL with Not Ready, then its
// answers, and once it has expired SERVFAIL with Invalid Data (RFC 8914 section 4.25). Policies are ours, and go on
// answering.
func TestElsewhere(t *testing.T) {
	f := newFixture(t)
	f.apply(t, `
kind: Zone
name: their.test
transfer: {primaries: [192.0.2.1]}
---
{kind: Pool, name: laid, region: eu-west}
---
{kind: Endpoint, name: laid/a, addresses: [192.0.2.66]}
---
{kind: Policy, name: www.their.test, rules: [{failover: [laid]}]}
---
{kind: Record, name: example.test/to-their-www/CNAME, data: [www.their.test.]}
---
{kind: Record, name: example.test/to-their-mail/CNAME, data: [mail.their.test.]}
`)
	apex, err := rr.ParseName("their.test")
	if err != nil {
		t.Fatal(err)
	}
	edition := snapshot.NewEdition(apex)
	for _, line := range []string{
		"@ SOA ns. host. 7 3600 600 86400 60", "@ NS ns", "mail A 192.0.2.25",
		"www A 192.0.2.80",
	} {
		err := rr.ReadMaster(strings.NewReader(strings.Replace(line, " ", " 300 IN ", 1)+"\n"), apex, "zone", nil,
			func(r rr.RR) error {
				x := rr.Record{Owner: r.Owner, Type: r.Type, Class: 1, TTL: r.TTL, Data: r.Data}
				if x.Type == rr.TypeSOA {
					return edition.SetSOA(x)
				}
				return edition.Add(x)
			}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	version, err := edition.Finish()
	if err != nil {
		t.Fatal(err)
	}
	s := newResponder(t)
	const ready, notReady, invalid = -1, int(dns.ExtendedErrorCodeNotReady), int(dns.ExtendedErrorCodeInvalidData)
	for _, stage := range []struct {
		name string
		is   snapshot.Transferred
		want map[string]string
	}{
		{"before the first transfer", snapshot.Transferred{}, map[string]string{
			"www.their.test. A":             fmt.Sprint("SERVFAIL ", notReady, " aa=false"),
			"their.test. SOA":               fmt.Sprint("SERVFAIL ", notReady, " aa=false"),
			"nowhere.their.test. A":         fmt.Sprint("SERVFAIL ", notReady, " aa=false"),
			"to-their-www.example.test. A":  fmt.Sprint("SERVFAIL ", notReady, " aa=false"),
			"to-their-mail.example.test. A": fmt.Sprint("SERVFAIL ", notReady, " aa=false"),
		}},
		{"transferred", snapshot.Transferred{Version: version}, map[string]string{
			"www.their.test. A":             fmt.Sprint("NOERROR ", ready, " aa=true 192.0.2.66"),
			"www.their.test. AAAA":          fmt.Sprint("NOERROR ", ready, " aa=true"),
			"mail.their.test. A":            fmt.Sprint("NOERROR ", ready, " aa=true 192.0.2.25"),
			"nowhere.their.test. A":         fmt.Sprint("NXDOMAIN ", ready, " aa=true"),
			"to-their-www.example.test. A":  fmt.Sprint("NOERROR ", ready, " aa=true 192.0.2.66"),
			"to-their-mail.example.test. A": fmt.Sprint("NOERROR ", ready, " aa=true 192.0.2.25"),
		}},
		{"expired", snapshot.Transferred{Version: version, Expired: true}, map[string]string{
			"www.their.test. A":             fmt.Sprint("NOERROR ", ready, " aa=true 192.0.2.66"),
			"www.their.test. AAAA":          fmt.Sprint("SERVFAIL ", invalid, " aa=false"),
			"www.their.test. TXT":           fmt.Sprint("SERVFAIL ", invalid, " aa=false"),
			"mail.their.test. A":            fmt.Sprint("SERVFAIL ", invalid, " aa=false"),
			"nowhere.their.test. A":         fmt.Sprint("SERVFAIL ", invalid, " aa=false"),
			"to-their-www.example.test. A":  fmt.Sprint("NOERROR ", ready, " aa=true 192.0.2.66"),
			"to-their-mail.example.test. A": fmt.Sprint("SERVFAIL ", invalid, " aa=false"),
		}},
	} {
		f.builder.Transferred("their.test", stage.is)
		f.apply(t, "{kind: Pool, name: unused, region: eu-west}")
		s.Publish(f.state())
		for question, want := range stage.want {
			q, err := readInquiry("dig " + question + " edns=1232")
			if err != nil {
				t.Fatal(err)
			}
			m := ask(t, s.newWorker(q.proto), q)
			code := ready
			for _, o := range m.IsEdns0().Option {
				if e, ok := o.(*dns.EDNS0_EDE); ok {
					code = int(e.InfoCode)
				}
			}
			got := fmt.Sprintf("%s %d aa=%v", dns.RcodeToString[m.Rcode], code, m.Authoritative)
			for _, r := range m.Answer {
				if a, ok := r.(*dns.A); ok {
					got += " " + a.A.String()
				}
			}
			if got != want {
				t.Errorf("%s: %s: %s, want %s", stage.name, question, got, want)
			}
		}
	}
}
