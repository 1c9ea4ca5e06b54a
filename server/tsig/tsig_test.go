package tsig

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/server/wire"
)

var (
	now    = time.Unix(1_800_000_000, 0)
	secret = []byte("0123456789abcdef0123456789abcdef")
)

func newKey(t testing.TB, name string, a Algorithm) *Key {
	t.Helper()
	k, err := NewKey(name, a, secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newRing(t testing.TB, keys ...*Key) *Ring {
	t.Helper()
	r, err := NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// generate signs a message as miekg/dns does.
func generate(t testing.TB, m *dns.Msg, a Algorithm, requestMAC string, timers bool, at time.Time) ([]byte, string) {
	t.Helper()
	m.SetTsig("Xfer.Example.", a.String()+".", 300, at.Unix())
	b, mac, err := dns.TsigGenerate(m, base64.StdEncoding.EncodeToString(secret), requestMAC, timers)
	if err != nil {
		t.Fatal(err)
	}
	return b, mac
}

func query() *dns.Msg { return new(dns.Msg).SetQuestion("www.Example.test.", dns.TypeA) }

// TestAgainstOracle: we accept requests that miekg/dns signs, and it accepts our replies, single ones and streams.
func TestAgainstOracle(t *testing.T) {
	text := base64.StdEncoding.EncodeToString(secret)
	for a := range algorithms {
		a := Algorithm(a)
		ring := newRing(t, newKey(t, "xfer.example.", a))
		request, mac := generate(t, query(), a, "", false, time.Now())
		before := bytes.Clone(request)
		session, fault := ring.Verify(request, time.Now())
		if fault != nil || session == nil {
			t.Fatalf("%s: %v", a, fault)
		}
		if !bytes.Equal(request, before) {
			t.Errorf("%s: Verify changed the message", a)
		}
		reply, err := new(dns.Msg).SetReply(query()).Pack()
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			unsigned := len(reply)
			signed := session.Sign(bytes.Clone(reply), time.Now())
			if len(signed) > unsigned+session.Room() {
				t.Errorf("%s: signing adds %d octets, more than Room says: %d", a, len(signed)-unsigned, session.Room())
			}
			var m dns.Msg
			if err := m.Unpack(signed); err != nil {
				t.Fatal(err)
			}
			if err := dns.TsigVerify(bytes.Clone(signed), text, mac, i > 0); err != nil {
				t.Errorf("%s: message %d of the stream: %v", a, i, err)
			}
			mac = m.IsTsig().MAC
		}
	}
}

// TestRequest: miekg/dns accepts our requests, and we accept its replies.
func TestRequest(t *testing.T) {
	for a := range algorithms {
		a := Algorithm(a)
		key := newKey(t, "xfer.example", a)
		packed, err := query().Pack()
		if err != nil {
			t.Fatal(err)
		}
		signed, answers := key.Request(packed, time.Now())
		if err := dns.TsigVerify(bytes.Clone(signed), base64.StdEncoding.EncodeToString(secret), "",
			false); err != nil {
			t.Errorf("%s: %v", a, err)
		}
		mac := hex.EncodeToString(answers.mac)
		for i := range 3 {
			var reply []byte
			reply, mac = generate(t, new(dns.Msg).SetReply(query()), a, mac, i > 0, time.Now())
			if err := answers.Next(reply, time.Now()); err != nil {
				t.Errorf("%s: reply %d: %v", a, i, err)
			}
		}
		if err := answers.End(); err != nil {
			t.Error(err)
		}
	}
}

// exchange returns a signed request and the two ends of the exchange.
func exchange(t testing.TB) (*Session, *Answers, []byte) {
	t.Helper()
	key := newKey(t, "xfer.example", SHA256)
	packed, err := query().Pack()
	if err != nil {
		t.Fatal(err)
	}
	request, answers := key.Request(packed, now)
	session, fault := newRing(t, key).Verify(request, now)
	if fault != nil {
		t.Fatal(fault)
	}
	reply, err := new(dns.Msg).SetReply(query()).Pack()
	if err != nil {
		t.Fatal(err)
	}
	return session, answers, reply
}

// TestUnsignedBetween: up to 99 messages of a stream may be unsigned, if the signature that follows covers them.
func TestUnsignedBetween(t *testing.T) {
	for _, between := range []int{0, 1, 99, 100} {
		session, answers, reply := exchange(t)
		if err := answers.Next(session.Sign(bytes.Clone(reply), now), now); err != nil {
			t.Fatal(err)
		}
		var unsigned []byte
		var failed error
		for range between {
			unsigned = append(unsigned, reply...)
			failed = errors.Join(failed, answers.Next(reply, now))
		}
		if between > 0 && answers.End() == nil {
			t.Error("a stream that ends unsigned is taken")
		}
		signed, _ := session.Key.sign(bytes.Clone(reply), append(prior(session.mac), unsigned...), true, now, 0, nil)
		failed = errors.Join(failed, answers.Next(signed, now), answers.End())
		if (failed == nil) != (between <= MaxUnsigned) {
			t.Errorf("%d messages between: %v", between, failed)
		}
	}
	_, answers, reply := exchange(t)
	if err := answers.Next(reply, now); !errors.Is(err, ErrUnsigned) {
		t.Errorf("a first answer without TSIG: %v", err)
	}
}

// TestFaults: every fault gets the code and the record in the reply that RFC 8945 section 5.2 asks for.
func TestFaults(t *testing.T) {
	key := newKey(t, "xfer.example", SHA256)
	packed, err := query().Pack()
	if err != nil {
		t.Fatal(err)
	}
	good, _ := key.Request(bytes.Clone(packed), now)
	other, _ := newKey(t, "other.example", SHA256).Request(bytes.Clone(packed), now)
	longer, _ := newKey(t, "xfer.example", SHA512).Request(bytes.Clone(packed), now)
	change := func(at int) []byte {
		b := bytes.Clone(good)
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 1
		return b
	}
	cut := func(size int) []byte {
		k := *key
		k.size = size
		b, _ := k.Request(bytes.Clone(packed), now)
		return b
	}
	for name, c := range map[string]struct {
		msg         []byte
		now         time.Time
		rcode, code uint16
		signed      bool
	}{
		"no such key":        {other, now, wire.RcodeNotAuth, BadKey, false},
		"another algorithm":  {longer, now, wire.RcodeNotAuth, BadKey, false},
		"a changed question": {change(20), now, wire.RcodeNotAuth, BadSig, false},
		"a changed MAC":      {change(-7), now, wire.RcodeNotAuth, BadSig, false},
		"a changed fudge":    {change(-6 - 32 - 3), now, wire.RcodeNotAuth, BadSig, false},
		"late":               {good, now.Add(Fudge + time.Second), wire.RcodeNotAuth, BadTime, true},
		"early":              {good, now.Add(-Fudge - time.Second), wire.RcodeNotAuth, BadTime, true},
		"cut to half":        {cut(16), now, wire.RcodeNotAuth, BadTrunc, true},
		"cut below half":     {cut(15), now, wire.RcodeFormErr, 0, false},
		"no MAC":             {cut(0), now, wire.RcodeNotAuth, BadSig, false},
		"cut off":            {good[:len(good)-1], now, wire.RcodeFormErr, 0, false},
		"two of them":        {(&Session{Key: key}).Sign(bytes.Clone(good), now), now, wire.RcodeFormErr, 0, false},
	} {
		session, fault := newRing(t, key).Verify(c.msg, c.now)
		if session != nil || fault == nil || fault.Rcode != c.rcode || fault.Code != c.code {
			t.Errorf("%s: %+v, want rcode %d and code %d", name, fault, c.rcode, c.code)
			continue
		}
		reply, err := new(dns.Msg).SetReply(query()).Pack()
		if err != nil {
			t.Fatal(err)
		}
		var m dns.Msg
		if err := m.Unpack(fault.Sign(reply, c.now)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		record := m.IsTsig()
		switch {
		case c.code == 0:
			if record != nil {
				t.Errorf("%s: the reply has %v", name, record)
			}
		case record == nil || record.Error != c.code || (record.MACSize > 0) != c.signed:
			t.Errorf("%s: the reply has %v", name, record)
		case c.code == BadTime && record.OtherLen != 6:
			t.Errorf("%s: the reply says no time: %v", name, record)
		}
	}
	for _, at := range []time.Time{now.Add(Fudge), now.Add(-Fudge)} {
		if _, fault := newRing(t, key).Verify(good, at); fault != nil {
			t.Errorf("at the edge of the fudge: %v", fault)
		}
	}
	if s, fault := newRing(t, key).Verify(packed, now); s != nil || fault != nil {
		t.Errorf("without TSIG: %v, %v", s, fault)
	}
	if _, fault := (*Ring)(nil).Verify(good, now); fault == nil || fault.Code != BadKey {
		t.Errorf("without keys: %v", fault)
	}
}

// TestRefusals: a requester learns why the other side refuses, and believes BADTIME only if it is signed.
func TestRefusals(t *testing.T) {
	key := newKey(t, "xfer.example", SHA256)
	packed, err := query().Pack()
	if err != nil {
		t.Fatal(err)
	}
	request, answers := key.Request(packed, now)
	reply, err := new(dns.Msg).SetReply(query()).Pack()
	if err != nil {
		t.Fatal(err)
	}
	_, fault := newRing(t, key).Verify(request, now.Add(time.Hour))
	if err := answers.Next(fault.Sign(bytes.Clone(reply), now.Add(time.Hour)), now); err == nil ||
		!strings.Contains(err.Error(), "BADTIME") {
		t.Errorf("late: %v", err)
	}
	_, fault = newRing(t).Verify(request, now)
	if err := answers.Next(fault.Sign(bytes.Clone(reply), now), now); err == nil ||
		!strings.Contains(err.Error(), "BADKEY") {
		t.Errorf("no key: %v", err)
	}
}

func TestParse(t *testing.T) {
	keys, err := Parse("keys", `
// two keys /* not
# yet */
key "xfer.Example." { algorithm HMAC-SHA256; secret "MDEyMzQ1Njc4OWFiY2RlZg=="; };
/* one that is
   cut */ key update { secret MDEyMzQ1Njc4OWFiY2RlZg==; algorithm hmac-sha512-256; };`)
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != 2 || keys[0].Name != "xfer.example" || keys[0].size != 32 || keys[1].Algorithm != SHA512 ||
		keys[1].size != 32 {
		t.Errorf("%+v", keys)
	}
	ring := newRing(t, keys...)
	if ring.Key("XFER.example.") != keys[0] || ring.Key("nobody") != nil || ring.Len() != 2 {
		t.Error("keys are not found by name")
	}
	for text, want := range map[string]string{
		"\n\nzone x {};": `f:3: "zone": a key file holds only`,
		`key x { algorithm hmac-md5; secret "AAAA"; };`:              `f:1: key "x": algorithm "hmac-md5" is too weak`,
		`key x { algorithm hmac-sha1; secret "AAAA"; };`:             "too weak",
		`key x { algorithm hmac-sha3; secret "AAAA"; };`:             "is unknown; take hmac-sha256",
		`key x { algorithm hmac-sha256-120; secret "AAAA"; };`:       "128 to 256 bits",
		"key x {\n algorithm hmac-sha256;\n secret \"A*\"; };":       "f:3: key \"x\": the secret is not base64",
		`key x { algorithm hmac-sha256; secret ""; };`:               "a secret is missing",
		`key x { secret "AAAA"; };`:                                  "no algorithm",
		`key x { algorithm hmac-sha256; };`:                          "no secret",
		`key x { algorithm hmac-sha256; secret "AAAA"; }`:            `a ";" is missing`,
		`key x { algorithm hmac-sha256 secret "AAAA"; };`:            `a ";" is missing`,
		`key x { algorithm hmac-sha256;`:                             "is not closed",
		`key { algorithm hmac-sha256;`:                               "the key's name is missing",
		`key "x`:                                                     "a string is not closed",
		`/* x`:                                                       "a comment is not closed",
		`key x { algorithm hmac-sha256; secret "AAAA"; server 1; };`: `"server" is unknown`,
		`key "a..b" { algorithm hmac-sha256; secret "AAAA"; };`:      "a label is empty",
		"key x { algorithm hmac-sha256; secret AAAA; };\nkey X { algorithm hmac-sha256; secret AAAA; };": "" +
			"f:2: key \"x\" is there already, in line 1",
	} {
		if _, err := Parse("f", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// FuzzVerify: any bytes are a fault, unsigned, or what was signed. Nothing panics, and Sign can answer whatever Verify
// accepts.
func FuzzVerify(f *testing.F) {
	key := newKey(f, "xfer.example", SHA256)
	packed, err := query().Pack()
	if err != nil {
		f.Fatal(err)
	}
	signed, _ := key.Request(bytes.Clone(packed), now)
	f.Add(signed)
	f.Add(packed)
	f.Add(signed[:len(signed)-20])
	ring := newRing(f, key)
	f.Fuzz(func(t *testing.T, msg []byte) {
		session, fault := ring.Verify(msg, now)
		if session != nil && fault != nil {
			t.Fatal("both a session and a fault")
		}
		reply := bytes.Clone(packed)
		if fault != nil {
			fault.Sign(reply, now)
		} else {
			session.Sign(reply, now)
		}
		_, answers := key.Request(bytes.Clone(packed), now)
		if answers.Next(msg, now) == nil {
			t.Fatal("an answer is taken that nobody with the key can have made")
		}
	})
}

// FuzzParse: any text gives keys, or an error that says where.
func FuzzParse(f *testing.F) {
	f.Add(`key "x" { algorithm hmac-sha256; secret "AAAA"; };`)
	f.Add("/* */ // #\nkey")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := Parse("f", text)
		if err != nil && (len(keys) > 0 || !strings.HasPrefix(err.Error(), "f:")) {
			t.Errorf("%d keys and %q", len(keys), err)
		}
	})
}
