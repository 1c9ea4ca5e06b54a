package zones

import (
	"net/netip"
	"strings"
	"testing"
)

// TestTransferHolds: an address, a key, or both are let in as configured.
func TestTransferHolds(t *testing.T) {
	transfer := &Transfer{Allow: []string{"192.0.2.0/24", "2001:db8::1", "key Xfer.", "198.51.100.7 key near"}}
	for _, c := range []struct {
		from, key string
		want      bool
	}{
		{"192.0.2.200", "", true},
		{"192.0.2.200", "any", true},
		{"2001:db8::1", "", true},
		{"2001:db8::2", "", false},
		{"203.0.113.1", "xfer", true},
		{"203.0.113.1", "near", false},
		{"198.51.100.7", "near", true},
		{"198.51.100.7", "", false},
	} {
		if got := transfer.Holds(netip.MustParseAddr(c.from), c.key); got != c.want {
			t.Errorf("%s with key %q: %v, want %v", c.from, c.key, got, c.want)
		}
	}
	if (*Transfer)(nil).Holds(netip.MustParseAddr("192.0.2.1"), "xfer") ||
		(&Transfer{}).Holds(netip.MustParseAddr("192.0.2.1"), "") {
		t.Error("nobody is named, and somebody is let in")
	}
}

func TestParseServer(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.53":                  "192.0.2.53:53",
		"192.0.2.53:5353 key Xfer":    "192.0.2.53:5353 key xfer",
		"2001:db8::53":                "[2001:db8::53]:53",
		"[2001:db8::53]:5353 key a.b": "[2001:db8::53]:5353 key a.b",
		"::ffff:192.0.2.53":           "192.0.2.53:53",
		"192.0.2.53 key New key old":  "192.0.2.53:53 key new key old",
	} {
		if p, err := ParseServer(text); err != nil || p.String() != want {
			t.Errorf("%s: %s, %v, want %s", text, p, err, want)
		}
	}
}

// TestParseServerKeys: an error says what is wrong with several keys.
func TestParseServerKeys(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.53 key":                           "\"key\" is followed by the name of one key",
		"192.0.2.53 key a key":                     "\"key\" is followed by the name of one key",
		"192.0.2.53 key a key a":                   "key a is there twice",
		"192.0.2.53 key a b":                       "\"key\" is followed by the name of one key",
		"192.0.2.53 key a key b key c key d key e": "at most 4 keys",
		"192.0.2.53 key a..b key c":                "a..b",
		"192.0.2.53 key a key b 192.0.2.54 key c":  "\"key\" is followed by the name of one key",
		"key a key b":                              "is not the address of a server",
	} {
		if p, err := ParseServer(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v, want %s", text, p, err, want)
		}
	}
}
