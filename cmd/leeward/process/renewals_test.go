package process

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"leeward/server/admin"
)

// A certificate that must be renewed is a problem early enough to renew it by day, and until that is done.
func TestRenewals(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	one := func(from, until time.Duration) *tls.Certificate {
		return &tls.Certificate{Leaf: &x509.Certificate{NotBefore: now.Add(from), NotAfter: now.Add(until)}}
	}
	broken := errors.New("cert.pem is half of a file")
	for _, c := range []struct {
		what  string
		pair  *tls.Certificate
		err   error // of a later reading
		want  string
		older bool
	}{
		{"it is new", one(-day, 89*day), nil, "", false},
		{"15 days are left", one(-75*day, 15*day), nil, "", false},
		{"13 days are left", one(-77*day, 13*day), nil, "expires at 2026-12-13T12:00:00Z", false},
		{"one of a day, and 9 hours are left", one(-15*time.Hour, 9*time.Hour), nil, "", false},
		{"one of a day, and 7 hours are left", one(-17*time.Hour, 7*time.Hour), nil, "2026-11-30T19:00:00Z", false},
		{"it has expired", one(-90*day, -time.Second), nil, "it expired at 2026-11-30T11:59:59Z", false},
		{"it is for tomorrow", one(day, 90*day), nil, "nobody trusts it before 2026-12-01T12:00:00Z", false},
		{"the next one is broken", one(-day, 89*day), broken, "half of a file", true},
		{"it was broken from the start", nil, broken, "half of a file", true},
		{"it expires, and the next one is broken", one(-77*day, 13*day), broken, "file; the certificate expires", true},
		{"it is none", nil, nil, "", false},
	} {
		var r renewals
		if c.pair != nil || c.err == nil {
			r.read(useAdmin, c.pair, nil)
		}
		if c.err != nil {
			r.read(useAdmin, nil, c.err)
		}
		ps := r.problems("servers/a", now)
		if c.want == "" {
			if len(ps) > 0 {
				t.Errorf("%s: %v", c.what, ps)
			}
			continue
		}
		if len(ps) != 1 || ps[0].Resource != "servers/a" || ps[0].Field != "--admin-tls-cert" ||
			!strings.Contains(ps[0].Message, c.want) || (ps[0].InService == admin.InServiceOlder) != c.older {
			t.Errorf("%s: %+v, want %s", c.what, ps, c.want)
		}
		r.read(useAdmin, one(-day, 89*day), nil)
		if ps := r.problems("servers/a", now); len(ps) > 0 {
			t.Errorf("%s, and then it is renewed: %v", c.what, ps)
		}
	}
}
