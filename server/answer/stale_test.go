package answer

import (
	"testing"

	"github.com/miekg/dns"
)

// Queries with an OPT record are told that a state is stale. Nothing else changes, and a refusal keeps its own reason.
func TestStaleAnswers(t *testing.T) {
	s := newResponder(t)
	state := *s.state.Load()
	state.Stale = true
	s.Publish(state)
	for line, want := range map[string]int{
		"dig mail.example.test. A edns=1232":         int(dns.ExtendedErrorCodeStaleAnswer),
		"dig missing.example.test. A edns=1232":      int(dns.ExtendedErrorCodeStaleAnswer),
		"dig www.elsewhere.invalid. A edns=1232 tcp": int(dns.ExtendedErrorCodeNotAuthoritative),
		"dig mail.example.test. A":                   -1,
	} {
		q, err := readInquiry(line)
		if err != nil {
			t.Fatal(err)
		}
		got := -1
		if opt := ask(t, s.newWorker(q.proto), q).IsEdns0(); opt != nil {
			for _, o := range opt.Option {
				if e, ok := o.(*dns.EDNS0_EDE); ok {
					got = int(e.InfoCode)
				}
			}
		}
		if got != want {
			t.Errorf("%s: extended error %d, want %d", line, got, want)
		}
	}
}
