package zones_test

import (
	"strings"
	"testing"

	"leeward/zones"
	"leeward/zones/document"
	"leeward/zones/rr"
)

func TestGrant(t *testing.T) {
	for _, c := range []struct {
		names, owner string
		allowed      bool
	}{
		{"@", "@", true},
		{"@", "www", false},
		{"_acme-challenge", "_acme-challenge", true},
		{"_acme-challenge", "_acme-challenge.www", false},
		{"_acme-challenge.*", "_acme-challenge.www", true},
		{"_acme-challenge.*", "_acme-challenge", false},
		{"_acme-challenge.*", "_acme-challenge.a.b", false},
		{"_acme-challenge.**", "_acme-challenge.a.b", true},
		{"_acme-challenge.**", "_acme-challenge", true},
		{"_acme-challenge.**", "_acme-challenge.www", true},
		{"_acme-challenge.**", "x._acme-challenge", false},
		{"**.dyn", "dyn", true},
		{"**.dyn", "a.b.dyn", true},
		{"**.dyn", "a.dyn.b", false},
		{"*.dyn", "dyn", false},
		{"*.dyn", "*.dyn", true}, // the owner of a wildcard is a label like any other
		{"a.**.b", "a.b", true},
		{"a.**.b", "a", false},
		{"**", "@", true},
		{"**", "x.y.z", true},
		{`a\.b.*`, `a\.b.c`, true},
		{`a\.b`, "a.b", false},
		{"other,www", "www", true},
	} {
		z := &zones.Zone{Origin: "example.test", Update: []zones.Grant{{
			Key: "k", Names: strings.Split(c.names, ","),
			Types: []string{"TXT", "A"},
		}}}
		if p := zones.Validate(z); len(p.Errors()) > 0 {
			t.Errorf("%s: %v", c.names, p)
		}
		if got := z.Granted("k", c.owner, rr.TypeTXT); got != c.allowed {
			t.Errorf("%s allows %s: %v", c.names, c.owner, got)
		}
		if z.Granted("k", c.owner, rr.TypeMX) || z.Granted("other", c.owner, rr.TypeTXT) {
			t.Errorf("%s allows %s with a type or a key that it does not name", c.names, c.owner)
		}
		if !z.Granted("k", "", 0) || z.Granted("k", c.owner, 0) != c.allowed {
			t.Errorf("%s: the question whether anything is allowed", c.names)
		}
	}
	all := &zones.Zone{Origin: "example.test", Update: []zones.Grant{{
		Key: "k", Names: []string{"**"},
		Types: []string{"ANY"},
	}}}
	if !all.Granted("k", "www", 65280) {
		t.Error("ANY does not allow an unknown type")
	}
}

func TestGrantRefused(t *testing.T) {
	for value, want := range map[string]string{
		`[{"names":["@"],"types":["TXT"]}]`:                      "update[0].key",
		`[{"key":"K","names":["@"],"types":["TXT"]}]`:            "write k",
		`[{"key":"k","types":["TXT"]}]`:                          "update[0].names: 0 names",
		`[{"key":"k","names":["@"]}]`:                            "update[0].types: 0 types",
		`[{"key":"k","names":["**.**"],"types":["TXT"]}]`:        "once in a name",
		`[{"key":"k","names":["a*"],"types":["TXT"]}]`:           "whole labels",
		`[{"key":"k","names":["WWW"],"types":["TXT"]}]`:          "write www",
		`[{"key":"k","names":["a..b"],"types":["TXT"]}]`:         "update[0].names[0]",
		`[{"key":"k","names":[""],"types":["TXT"]}]`:             "write @",
		`[{"key":"k","names":["@"],"types":["txt"]}]`:            "write TXT",
		`[{"key":"k","names":["@"],"types":["AXFR"]}]`:           "exists in queries only",
		`[{"key":"k","names":["@"],"types":["NONSENSE"]}]`:       "unknown",
		`[{"key":"k","names":["@"],"types":["TXT"],"who":"me"}]`: "who",
		`{"key":"k","names":["@"],"types":["TXT"]}`:              "update",
	} {
		_, err := document.Decode("zones/example.test", []byte(`{"nameservers":["ns.example.test"],"update":`+value+`}`))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want something with %q", value, err, want)
		}
	}
	whole := `{"nameservers":["ns.example.test"],"update":[{"key":"certbot","names":["_acme-challenge","*._acme-challenge","**"],"types":["TXT","TYPE65280"]}]}`
	r, err := document.Decode("zones/example.test", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := zones.Encode(r); err != nil || string(text) != whole {
		t.Errorf("%s, %v", text, err)
	}
}
