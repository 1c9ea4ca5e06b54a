package answer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"leeward/server/rrl"
	"leeward/server/wire"
	"leeward/zones/snapshot"
)

// RateLimit bounds how many responses of one kind are sent to a network each second (package rrl). TCP clients, and
// clients that show a cookie of ours, are not limited: their address is not forged.
type RateLimit struct {
	Rate int // responses per second, prefix and kind, for all workers together; 0: no limit
	// one in so many limited responses is sent truncated, or as BADCOOKIE if the query had a client cookie
	Slip   int
	Exempt []netip.Prefix // clients that are not limited
}

// newLimiter returns the limiter that workers share, or nil if nothing is limited.
func newLimiter(r RateLimit) (*rrl.Limiter, error) {
	if r.Rate == 0 {
		return nil, nil
	}
	return rrl.New(rrl.Options{Rate: r.Rate, Slip: r.Slip, Exempt: r.Exempt})
}

// cookieSecrets are the secrets in use. The first makes cookies, and all of them are accepted (RFC 9018 section 5).
type cookieSecrets []wire.CookieSecret

// MaxCookieSecrets is how many there may be: the next, the current and the previous one, and one more.
const MaxCookieSecrets = 4

// SetCookieSecrets replaces the secrets of server cookies. The first makes cookies, and all of them are accepted.
// Servers that have one in common accept each other's cookies. It may be called at any time.
func (r *Responder) SetCookieSecrets(secrets ...wire.CookieSecret) error {
	if len(secrets) == 0 {
		return errors.New("cookie secrets: there is none; give one at least")
	}
	if len(secrets) > MaxCookieSecrets {
		return fmt.Errorf("cookie secrets: %d are too many; give at most %d", len(secrets), MaxCookieSecrets)
	}
	c := append(cookieSecrets(nil), secrets...)
	r.cookies.Store(&c)
	return nil
}

// moment is the time as a worker sees it: that of the present batch of requests.
type moment struct {
	unix  uint32        // seconds
	taken time.Duration // time since the Responder was made, when Look was last called
	limit rrl.Time      // in the form of the limiter
}

// clockEvery is how old the seconds may be by which cookies are made and judged.
const clockEvery = 100 * time.Millisecond

// Look reads the clock. With a batch of requests, it is called once for all of them. Reading the wall clock costs as
// much again, so that is done less often.
func (w *Worker) Look() {
	since := time.Since(w.responder.start)
	if since-w.now.taken >= clockEvery || w.now.unix == 0 {
		w.now.unix, w.now.taken = uint32(time.Now().Unix()), since
	}
	if l := w.responder.limiter; l != nil {
		w.now.limit = l.At(since)
	}
}

// standing is what a request's cookie says about the client.
type standing uint8

const (
	stranger standing = iota // no cookie
	newcomer                 // only a client cookie
	imposter                 // a server cookie that is not ours, is too old, or is another client's
	familiar                 // a server cookie from us, or from another server with our secret
)

// taste looks at the request's cookie, and makes the response carry a valid one (RFC 7873 section 5.2).
func (w *Worker) taste(client netip.Addr) standing {
	is, fresh := w.judge(client)
	if is == stranger {
		return is
	}
	cookie := w.query.Cookie
	w.tally[cookies+int(is)]++
	if !fresh {
		secrets := *w.responder.cookies.Load()
		secrets[0].MakeCookie(&w.cookie, cookie[:wire.ClientCookieSize], client, w.now.unix)
		cookie = w.cookie[:]
	}
	w.build.SetCookie(cookie)
	return is
}

// judge returns what the request's cookie says about the client. fresh says that the cookie can be sent back as it is.
func (w *Worker) judge(client netip.Addr) (is standing, fresh bool) {
	cookie := w.query.Cookie
	switch {
	case cookie == nil:
		return stranger, false
	case len(cookie) == wire.ClientCookieSize:
		return newcomer, false
	}
	secrets := *w.responder.cookies.Load()
	for i := range secrets {
		if valid, fresh := secrets[i].CheckCookie(cookie, client, w.now.unix); valid {
			return familiar, fresh && i == 0
		}
	}
	return imposter, false
}

// subject is what the rate limit counts a response as: its kind, and a hash of a name.
type subject struct {
	kind rrl.Kind
	name uint64
}

// subjectOf returns the subject of a look-up's result. Names that are unlimited in number share one: those below a
// wildcard or a DNAME, and all names of a zone that do not exist.
func subjectOf(found *snapshot.Answer, name []byte) subject {
	switch found.Outcome {
	case snapshot.Refused, snapshot.Unready, snapshot.Outdated, snapshot.Unusable, snapshot.Missed:
		return subject{}
	case snapshot.Referral:
		return subject{rrl.Referral, found.HashOf(name[found.Authority.Owner:])}
	case snapshot.NoData, snapshot.NameError:
		return subject{rrl.Negative, found.ZoneHash()}
	}
	if above := max(found.Encloser, found.Answer.Owner); above > 0 {
		return subject{rrl.Answer, found.HashOf(name[above:])}
	}
	return subject{rrl.Answer, found.Hash}
}

// limit checks a response to a client whose address may be forged against the limit of the client's network. It returns
// the RCODE, which may have become BADCOOKIE, and whether anything is sent.
func (w *Worker) limit(client netip.Addr, is standing, rcode uint16) (uint16, bool) {
	if w.responder.limiter == nil || is == familiar || w.over.Stream {
		return rcode, true
	}
	switch fate := w.responder.fate(w.now.limit, client, w.subject, &w.random); fate {
	case unlimited:
		return rcode, true
	case limitExempt, limitDropped:
		w.tally[fate]++
		return rcode, fate == limitExempt
	}
	w.ours = false
	w.build.Truncate()
	w.build.SetAuthoritative(false)
	if is == stranger {
		w.tally[limitSlipped]++
		return rcode, true
	}
	// A client that sends cookies asks again with the one in this response. It is then not limited, and needs no TCP.
	w.build.Bare()
	w.tally[limitCookie]++
	return wire.RcodeBadCookie, true
}

// unlimited is the fate of a response that is within the limit.
const unlimited = -1

// fate charges a response to the client's network, and returns what happens to it: unlimited, limitExempt, limitDropped
// or limitSlipped.
func (r *Responder) fate(now rrl.Time, client netip.Addr, of subject, random rand.Source) int {
	l := r.limiter
	switch {
	case l.Allow(now, client, of.kind, of.name):
		return unlimited
	case l.Exempt(client):
		return limitExempt
	case !l.Slip(random.Uint64()):
		return limitDropped
	}
	return limitSlipped
}
