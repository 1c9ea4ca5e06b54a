package wire

import (
	"testing"

	"github.com/miekg/dns"
)

// Every RCODE that has a name here has the name that RFC 6895 gives it.
func TestRcodeName(t *testing.T) {
	for rcode := range uint16(30) {
		name := RcodeName(rcode)
		want := dns.RcodeToString[int(rcode)]
		if rcode == RcodeBadVers {
			want = "BADVERS" // the oracle knows 16 as TSIG's BADSIG
		}
		if name != "" && name != want {
			t.Errorf("RCODE %d is called %s, want %s", rcode, name, want)
		}
	}
	if RcodeName(RcodeBadCookie) == "" || RcodeName(11) != "" || RcodeName(1<<15) != "" {
		t.Error("a name is missing, or there is one too many")
	}
}
