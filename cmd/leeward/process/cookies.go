package process

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"leeward/server/answer"
	"leeward/server/wire"
	"leeward/zones/etcd"
)

// Servers that share a secret accept each other's DNS cookies. The secret comes from a file or, without one, from etcd.
// Without either, each process uses a random secret, with which it starts in any case. A cookie shows only that an
// address is not forged, so all that a stolen secret allows is to flood somebody with answers.

// CookieSecretFile reads a file of cookie secrets, one to four lines of 32 hexadecimal digits. The first secret makes
// cookies, and all are accepted. A # begins a comment.
func CookieSecretFile(file string) ([]wire.CookieSecret, error) {
	all, err := secretLines(file, "cookie secret", len(wire.CookieSecret{}), answer.MaxCookieSecrets)
	var secrets []wire.CookieSecret
	for _, b := range all {
		secrets = append(secrets, wire.CookieSecret(b))
	}
	return secrets, err
}

// readCookieSecrets reads the file again, if there is one. If it is bad, the secrets stay as they are.
func (r *run) readCookieSecrets() {
	if r.CookieSecrets == "" || r.dns == nil {
		return
	}
	secrets, err := CookieSecretFile(r.CookieSecrets)
	if err == nil {
		err = r.answers.SetCookieSecrets(secrets...)
	}
	if err != nil {
		r.Log.Error("cookie secrets: going on with those that are in use", "err", err)
	}
}

// Times of the shared secrets.
const (
	cookieRoll  = 24 * time.Hour  // how long each secret makes cookies
	cookieLook  = 1 * time.Minute // how often a server checks whether they have been rolled
	cookieLimit = 5 * time.Second // how long etcd may take to answer
)

// sharedSecrets is the value of etcd.CookieSecret. Servers know the next secret a day before it makes cookies, and the
// previous one for a day after it made its last. So they accept each other's cookies without rolling at the same moment
// (RFC 9018 section 5).
type sharedSecrets struct {
	Next     string    `json:"next"`
	Current  string    `json:"current"`
	Previous string    `json:"previous"`
	Rolled   time.Time `json:"rolled"`
}

// secrets returns all three, beginning with the one that makes cookies.
func (s sharedSecrets) secrets() (all []wire.CookieSecret, err error) {
	for _, text := range []string{s.Current, s.Next, s.Previous} {
		b, err := parseSecret(text, "cookie secret", len(wire.CookieSecret{}))
		if err != nil {
			return nil, err
		}
		all = append(all, wire.CookieSecret(b))
	}
	return all, nil
}

// due reports whether it is time to roll. A time far in the future was written by a wrong clock.
func (s sharedSecrets) due(now time.Time) bool {
	age := now.Sub(s.Rolled)
	return age >= cookieRoll || age < -cookieRoll
}

// rolled returns the secrets after rolling. They are all new if there were none.
func (s sharedSecrets) rolled(now time.Time) sharedSecrets {
	fresh := func() string {
		var b [16]byte
		_, _ = rand.Read(b[:]) // it never fails
		return hex.EncodeToString(b[:])
	}
	if s.Next == "" {
		s.Next, s.Current = fresh(), fresh()
	}
	return sharedSecrets{Next: fresh(), Current: s.Next, Previous: s.Current, Rolled: now.UTC().Truncate(time.Second)}
}

// cookieSharing follows the secrets in etcd and rolls them when due. Without etcd it keeps what it has.
type cookieSharing struct {
	etcd *etcd.Conn
	now  func() time.Time
	use  func(...wire.CookieSecret) error
	log  *slog.Logger

	seen    int64  // revision of the value in use
	trouble string // the error that was logged last
}

func (c *cookieSharing) run(ctx context.Context) {
	for range turns(ctx, cookieLook) {
		err := c.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			c.trouble = ""
		case err.Error() != c.trouble:
			c.trouble = err.Error()
			c.log.Warn("cookie secrets are not shared through etcd: going on with those that are in use", "key",
				etcd.CookieSecret, "err", c.etcd.Due(err, "reads and writes", etcd.CookieSecret))
		}
	}
}

// look uses the secrets in etcd, and rolls them first if that is due. If several servers roll at once one succeeds, and
// the others then read what it has written.
func (c *cookieSharing) look(ctx context.Context) error {
	for {
		held, _, err := c.etcd.Get(ctx, etcd.CookieSecret)
		if err != nil {
			return err
		}
		var shared sharedSecrets
		var revision int64
		if held != nil {
			revision = held.Revision
			if err := json.Unmarshal(held.Value, &shared); err != nil {
				return fmt.Errorf("the value cannot be read; delete it and a new one is made: %w", err)
			}
			secrets, err := shared.secrets()
			if err != nil {
				return fmt.Errorf("the value is not good; delete it and a new one is made: %w", err)
			}
			if revision != c.seen {
				if err := c.use(secrets...); err != nil {
					return err
				}
				c.seen = revision
			}
			if !shared.due(c.now()) {
				return nil
			}
		}
		value, err := json.Marshal(shared.rolled(c.now()))
		if err != nil {
			return err
		}
		_, err = c.etcd.Begin().At(etcd.CookieSecret, revision).Put(etcd.CookieSecret, value, 0).Commit(ctx)
		if err != nil && !errors.Is(err, etcd.ErrConflict) {
			return err
		}
	}
}
